/* slow.h - one piece of stalling work (PBKDF2, the name of a system user) for a gate or a login, in an offload thread.
 * Source  none.
 * Shape   operands are copied in, results are read in `done`; the owner may go away while the work runs.
 * Owner   slow.c from slow_start on; the owner keeps a pointer only to abandon it.
 * Thread  the loop's; the work runs in an offload thread and touches nothing but the struct.
 * Errors  -1 from slow_start: too much waits already (53300). */
#ifndef PROXY_AUTH_SLOW_H
#define PROXY_AUTH_SLOW_H

#include "proxy/auth/secrets.h"
#include "proxy/base/offload.h"
#include "proxy/net/loop.h"
#include "protocol/scram.h"

#include <sys/types.h>

struct slow {
	struct offload_job job;
	void (*work)(struct slow *slow);
	/* From the loop; slow is freed when it returns. */
	void (*done)(void *owner, struct slow *slow);
	void *owner; /* NULL = abandoned */

	bool ok;
	/* slow_salt */
	size_t password_n;
	char password[SECRET_MAX + 1];
	uint32_t iterations;
	size_t salt_n;
	uint8_t salt[SCRAM_SALT_MAX];
	uint8_t salted[SCRAM_KEY];
	/* slow_name */
	uid_t uid;
	char name[256];
};

/* Zeroed; NULL = no memory. */
struct slow *slow_new(void (*done)(void *owner, struct slow *slow), void *owner);
/* False = the password is too long. */
bool slow_set_salt(struct slow *slow, struct span password, struct span salt, uint32_t iterations);
void slow_set_name(struct slow *slow, uid_t uid);
/* Takes `slow` whatever it returns. */
int slow_start(struct slow *slow, struct loop *l, struct offload *o, struct err *err);
void slow_free(struct slow **slow); /* only what was not started */
/* The owner goes: `done` will not be called. */
void slow_abandon(struct slow **slow);

#endif
