/* identity.h - the system user that a process goes on as when root has started it.
 * Source  the option user; setuid(2): groups first, and the last id for good.
 * Shape   root opens its ports and keys; what the process must be able to open again, replace or remove later (log file, pid file,
 *         unix socket) is the user's from the beginning.
 * Owner   the caller's struct; the name is borrowed.
 * Thread  the main thread; the ids are the whole process's.
 * Errors  -1 with the reason, which does not name the option. */
#ifndef PROXY_IDENTITY_H
#define PROXY_IDENTITY_H

#include "proxy/base/err.h"

#include <stdbool.h>
#include <sys/types.h>

struct identity {
	const char *name;
	uid_t uid;
	gid_t gid;
	uid_t self; /* who we are */
	bool other; /* uid is not */
};

/* "" = as who we are. */
int identity_find(const char *name, struct identity *id_r, struct err *err);
/* Files are opened and made as that user, until identity_return. The groups are the user's for good. */
int identity_borrow(const struct identity *id, struct err *err);
void identity_return(const struct identity *id);
/* For good. */
int identity_become(const struct identity *id, struct err *err);

#endif
