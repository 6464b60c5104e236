/* meaning.h - settings as far as they say what the literals of a text mean.
 * Source  PostgreSQL 15: literals become values when a statement is parsed, under the settings of that moment.
 * Shape   one object for each image that a session has had and prepared something under.
 * Owner   counted: the session, and each of its prepared statements.
 * Thread  its worker's.
 * Errors  none. */
#ifndef PROXY_SESSION_MEANING_H
#define PROXY_SESSION_MEANING_H

#include "proxy/backend/settings.h"
#include "proxy/sql/memo.h"

struct meaning {
	unsigned refs;
	unsigned statements; /* of one client that were parsed under it .. */
	size_t counted; /* .. and what they count for it (stmts.c): the image may grow when it is learned */
	uint64_t id;	/* image_ids.h */
	struct settings image; /* what was set then, as far as it is known */
	bool assumed;	       /* .. if code that nobody saw has changed none */
	bool passing;	       /* of one transaction: no other client has that id */
	struct settings names; /* those that the backend is asked for; values unused */
	bool asked;
	unsigned waiting;     /* answers that are still to come */
	struct meaning *next; /* of a session: that waits behind it (parsing.c) */
};

struct meaning *meaning_new(uint64_t id, const struct settings *image);
struct meaning *meaning_ref(struct meaning *m); /* NULL is none */
void meaning_unref(struct meaning *m);

/* Is it a setting that can change what some text means? */
bool meaning_setting(const char *name);
/* .. and what this text means? NULL = any text. */
bool meaning_changes(const char *name, const struct stmt *stmt);
/* Does the text mean the same under both? NULL = any text. */
bool meaning_same(const struct meaning *a, const struct meaning *b, const struct stmt *stmt);

#endif
