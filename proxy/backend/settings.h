/* settings.h - a set of settings (name = value): a session's image, a backend's image, reported parameters.
 * Source  docs/isolation.md.
 * Shape   sorted by name; names are compared without case, values exactly. Equal sets may share their memory: what
 *         a thousand idle clients were told is there once. Whoever changes a shared one gets a copy first.
 * Owner   the embedding object; settings_free.
 * Thread  one at a time for each struct settings; the shared part is counted and not changed while it is shared.
 * Errors  -1 when memory is gone or a bound is exceeded (SETTINGS_MAX names, SETTINGS_BYTES in all). */
#ifndef PROXY_BACKEND_SETTINGS_H
#define PROXY_BACKEND_SETTINGS_H

#include "protocol/span.h"

#include <stdatomic.h>
#include <stddef.h>

#define SETTINGS_MAX 512
#define SETTINGS_BYTES (1024u * 1024u)

struct setting {
	char *name;  /* owned */
	char *value; /* owned */
};

struct settings_set {
	atomic_uint refs;
	unsigned n, cap;
	uint64_t hash; /* of all names and values; equal sets have equal hashes */
	struct setting at[];
};

struct settings {
	const struct setting *at; /* in a counted settings_set; NULL = empty */
	uint32_t n;
	uint32_t bytes; /* of all names and values */
};

static inline struct settings_set *settings_shared(const struct settings *s)
{
	return s->at == NULL ? NULL
			     : (struct settings_set *)((uintptr_t)s->at - offsetof(struct settings_set, at));
}

void settings_init(struct settings *s);
void settings_free(struct settings *s);
int settings_copy(const struct settings *from, struct settings *to);
/* value NULL removes the name. 1 = changed, 0 = it was so already, -1 = no memory or bound. */
int settings_set(struct settings *s, struct span name, const struct span *value);
const char *settings_get(const struct settings *s, const char *name);
const char *settings_spelling(const struct settings *s, const char *name); /* the name as it was first set */
bool settings_equal(const struct settings *a, const struct settings *b);
/* The same, and when they are equal `mine` shares the memory of `other`: the next comparison is one of pointers. */
bool settings_same(struct settings *mine, const struct settings *other);
/* The same for two of one thread: they share the memory of the one that has more sharers already. */
bool settings_unite(struct settings *a, struct settings *b);
void settings_clear(struct settings *s);
/* All but role and session_authorization go. */
int settings_keep_roles(struct settings *s); /* -1: no memory */

/* Calls fn for each name whose value in `have` differs from `want`: value NULL = it has to be reset. */
void settings_diff(const struct settings *have, const struct settings *want,
		   void (*fn)(void *arg, const char *name, const char *value), void *arg);

#endif
