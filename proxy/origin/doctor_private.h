/* doctor_private.h - what the doctor's files share.
 * Source  none.
 * Shape   one examination after the other on one control connection.
 * Owner   doctor.c.
 * Thread  the caller's.
 * Errors  are findings. */
#ifndef PROXY_ORIGIN_DOCTOR_PRIVATE_H
#define PROXY_ORIGIN_DOCTOR_PRIVATE_H

#include "proxy/origin/doctor.h"
#include "proxy/origin/link.h"

#define DOCTOR_ANSWER_US 10000000u

/* A finding; `fix` may be NULL. */
void doctor_say(struct doctor *d, enum doctor_level level, const char *fix, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
struct link_wait doctor_wait(void);
/* Takes the connection over: the tables of the database. */
void doctor_tables(struct doctor *d, const struct origin_settings *set, PGconn *conn);

#endif
