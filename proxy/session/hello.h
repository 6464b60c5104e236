/* hello.h - words of a startup packet, read as PostgreSQL reads them.
 * Source  PostgreSQL's ProcessStartupPacket(), parse_bool() and the check of application_name.
 * Shape   called by startup.c while the packet is read, before anybody is asked for a password.
 * Owner   the session's.
 * Thread  the session's loop.
 * Errors  a value that may not be is noted in arrival->bad_wish (22023). */
#ifndef PROXY_SESSION_HELLO_H
#define PROXY_SESSION_HELLO_H

#include "proxy/session/session_private.h"

/* replication=: none, a walsender (physical), or one within a database (logical). */
void hello_replication(struct session *s, struct span value);
bool hello_is_physical(const struct session *s);

/* Names longer than PostgreSQL's are cut, unless the configuration has them as they are. */
void hello_clip_names(struct session *s);

#define HELLO_NAME 64 /* PostgreSQL's NAMEDATALEN: a name with its NUL */
/* What of an application_name PostgreSQL would take: no more than a name's length, of which the client is told when it is in, and
 * no bytes that are no text, which could not be set on a backend. */
struct span hello_application_name(struct session *s, struct span value, char room[HELLO_NAME]);
/* It reads the same wherever it is set: nothing that the server would write in its own way. */
bool hello_is_plain(const char *application_name);
/* Of a name that was cut, to a client that is in. */
void hello_tell_notice(struct session *s);

#endif
