#include "proxy/origin/ending.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* 1 = there was one, 0 = the end, -1 = something else. */
static int next_xid(const char **at, uint32_t *xid_r)
{
	unsigned long xid;
	char *end;

	while (**at == ' ')
		++*at;
	if (**at == '\0')
		return 0;
	if (**at < '0' || **at > '9')
		return -1;
	xid = strtoul(*at, &end, 10);
	if (xid > UINT32_MAX || (*end != ' ' && *end != '\0'))
		return -1;
	*at = end;
	*xid_r = (uint32_t)xid;
	return 1;
}

int ending_note(struct ending *e, const char *held, const struct snapshot *snapshot)
{
	size_t max = strlen(held) / 2 + 1;
	uint32_t *xids = malloc(max * sizeof *xids), xid;
	size_t n = 0;
	int more;

	if (xids == NULL)
		return -1;
	while ((more = next_xid(&held, &xid)) == 1)
		if (snapshot_completed(snapshot, xid))
			xids[n++] = xid;
	if (more != 0) {
		free(xids);
		return -1;
	}
	ending_free(e);
	e->xid = xids;
	e->n = n;
	return 0;
}

static bool has(const uint32_t *xids, size_t n, uint32_t xid)
{
	for (size_t i = 0; i < n; i++)
		if (xids[i] == xid)
			return true;
	return false;
}

/* Those that are held still move to the front. */
int ending_still(struct ending *e, const char *held)
{
	size_t kept = 0;
	uint32_t xid;
	int more;

	while ((more = next_xid(&held, &xid)) == 1) {
		for (size_t i = kept; i < e->n && !has(e->xid, kept, xid); i++) {
			if (e->xid[i] != xid)
				continue;
			e->xid[i] = e->xid[kept];
			e->xid[kept++] = xid;
			break;
		}
	}
	if (more != 0)
		return -1;
	e->n = kept;
	return 0;
}

void ending_free(struct ending *e)
{
	free(e->xid);
	*e = (struct ending){0};
}
