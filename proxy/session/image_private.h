/* image_private.h - what the image*.c files share.
 * Source  see docs/isolation.md.
 * Shape   image.c notes what statements do with settings, and puts back what a RESET leaves; image_link.c brings a backend to the session's
 *         image; image_ask.c asks a backend what has become of it. image_key.c and image_ids.c are about what of it changes answers.
 * Owner   the session.
 * Thread  its worker's.
 * Errors  a backend that cannot take a request is marked as broken. */
#ifndef PROXY_SESSION_IMAGE_PRIVATE_H
#define PROXY_SESSION_IMAGE_PRIVATE_H

#include "proxy/backend/role_value.h"
#include "proxy/session/session_private.h"

/* Images are in the server's encoding, whatever their clients speak: only so can values be compared, and be put onto a backend that
 * another client has had. So client_encoding is the last that is set and the first that is asked for. */
static const char encoding[] = "client_encoding";

/* It counts for statements of ours, too, so it goes back first and comes last. */
static const char timeout[] = "statement_timeout";

/* How a setting was touched, in s->touched: what a RESET has left is told and put back by its startup value. */
static const char mark_set[] = "set", mark_reset[] = "reset", mark_was_reset[] = "was reset",
		  mark_local[] = "local reset", mark_maybe[] = "maybe";

static inline bool is_marked(const char *how, const char *mark)
{
	return how != NULL && strcmp(how, mark) == 0;
}

static inline bool is_reset(const char *how)
{
	return is_marked(how, mark_reset) || is_marked(how, mark_was_reset);
}

/* Does that mark in `touched` mean that a value which is not there any more has been reset? */
static inline bool may_be_reset(const char *how)
{
	return is_reset(how) || is_marked(how, mark_maybe);
}

/* What the backend had when it had logged in. */
static inline const char *login_value(const struct session *s, const char *name, const char *otherwise)
{
	const char *v = settings_get(&s->backend->defaults, name);

	return v != NULL ? v : otherwise;
}

static inline bool speaks_server_encoding(const struct backend *b)
{
	const char *client = settings_get(&b->params, encoding);
	const char *server = settings_get(&b->params, "server_encoding");

	return client == NULL || server == NULL || strcasecmp(client, server) == 0;
}

/* May a statement of ours meet the statement_timeout of that image? */
bool image_hurries(const struct session *s, const struct settings *image);

#endif
