#include "proxy/kin.h"

#include <stdio.h>
#include <unistd.h>

struct listener *kin_listen(const struct config *cfg, struct kin *kin_r)
{
	struct listener_settings set = {.backlog = cfg->listen_backlog};
	struct listener *li = NULL;
	struct kin kin = {0};
	struct err err;

	snprintf(kin.dir, sizeof kin.dir, "@pgweir-%u-%d", (unsigned)geteuid(), cfg->listen_port);
	for (kin.place = 0; kin.place < KIN_PLACES && li == NULL; kin.place++)
		li = listener_unix(kin.dir, kin.place, &set, &err);
	kin.place--;
	if (li != NULL)
		*kin_r = kin;
	return li;
}
