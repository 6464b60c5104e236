/* custom.h - custom settings (app.x) whose names a statement takes from its parameters or data.
 * Source  docs/isolation.md, "Settings and roles": pg_settings does not show custom settings, so the probe that follows a
 *         statement whose effect its text does not show has to be told their names.
 * Shape   whatever looks like the name of one is asked for; asking for too many costs nothing but the question.
 * Owner   the session's `touched`.
 * Thread  its worker's.
 * Errors  none. */
#ifndef PROXY_SESSION_CUSTOM_H
#define PROXY_SESSION_CUSTOM_H

#include "proxy/session/session_private.h"

/* A statement with set_config goes to the backend: the strings in its text. */
void custom_note_text(struct session *s, const struct stmt *stmt);
/* .. and the text parameters of its Bind, whose body may be cut. */
void custom_note_bind(struct session *s, const struct stmt *stmt, struct span body);

#endif
