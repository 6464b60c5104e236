#include "proxy/identity.h"

#include "proxy/base/check.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <unistd.h>

int identity_find(const char *name, struct identity *id_r, struct err *err)
{
	const struct passwd *pw;

	*id_r = (struct identity){.name = name, .uid = geteuid(), .gid = getegid(), .self = geteuid()};
	if (name[0] == '\0')
		return 0;
	pw = getpwnam(name);
	if (pw == NULL)
		return err_set(err, "there is no system user %s", name);
	id_r->other = pw->pw_uid != id_r->self;
	id_r->uid = pw->pw_uid;
	id_r->gid = pw->pw_gid;
	return 0;
}

static int cannot(const struct identity *id, struct err *err)
{
	return err_set(err, "cannot become system user %s: %s", id->name, strerror(errno));
}

int identity_borrow(const struct identity *id, struct err *err)
{
	if (!id->other)
		return 0;
	if (initgroups(id->name, id->gid) != 0 || setgid(id->gid) != 0 || seteuid(id->uid) != 0)
		return cannot(id, err);
	return 0;
}

void identity_return(const struct identity *id)
{
	if (id->other)
		check(seteuid(id->self) == 0);
}

int identity_become(const struct identity *id, struct err *err)
{
	if (!id->other)
		return 0;
	if (initgroups(id->name, id->gid) != 0 || setgid(id->gid) != 0 || setuid(id->uid) != 0)
		return cannot(id, err);
	return 0;
}
