/* The key of an answer in the cache: two statements with the same key get the same answer from the same data. What the session
 * contributes is written once, when it changes; each statement is added behind it. */
#include "proxy/session/session_private.h"

#define KEY_MAX (1024u * 1024u)

void key_add(struct buf *b, struct span v)
{
	buf_add_u32(b, (uint32_t)v.n);
	buf_add_span(b, v);
}

struct buf *key_settings_begin(struct session *s, struct span path, struct span role)
{
	struct buf *k = &s->key;

	buf_clear(k);
	k->max = SETTINGS_BYTES * 2;
	buf_add_span(k, path);
	buf_add_span(k, role);
	s->key_path_n = (uint32_t)path.n;
	s->key_role_n = (uint32_t)role.n;
	key_add(k, span_str(s->user));
	key_add(k, span_str(s->target->user));
	buf_add_u32(k, 0); /* the length of the settings */
	s->key_prefix_n = (uint32_t)k->len;
	return k;
}

void key_settings_end(struct session *s)
{
	struct buf *k = &s->key;
	uint32_t n;

	if (k->failed || k->len > KEY_MAX) {
		s->key_prefix_n = 0; /* nothing is cached for it */
		return;
	}
#ifdef PGWEIR_MUTATE_SESSION
	k->len = s->key_prefix_n;
#endif
	n = (uint32_t)k->len - s->key_prefix_n;
	memcpy(k->p + s->key_prefix_n - sizeof n, &n, sizeof n);
	s->key_prefix_n = (uint32_t)k->len;
}

bool key_reads(const struct session *s, struct reads_session *rs_r)
{
	if (s->key_prefix_n == 0)
		return false;
	rs_r->search_path = span_of(s->key.p, s->key_path_n);
	rs_r->role = span_of(s->key.p + s->key_path_n, s->key_role_n);
	return true;
}

struct buf *key_statement(struct session *s)
{
	if (s->key_prefix_n == 0)
		return NULL;
	s->key.max = s->key_prefix_n + KEY_MAX;
	s->key.len = s->key_prefix_n;
	s->key.failed = false;
	return &s->key;
}

struct span key_span(const struct session *s)
{
	return span_skip(buf_span(&s->key), s->key_path_n + s->key_role_n);
}
