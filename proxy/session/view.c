/* pg_prepared_statements shows what a backend holds, with the texts: of this client only. */
#include "proxy/session/session_private.h"

#include "protocol/write.h"

#include <strings.h>

static bool looks(const struct stmt *stmt)
{
	static const char word[] = "pg_prepared_statement";
	struct span text = stmt->text;
	size_t n = sizeof word - 1;
	const uint8_t *at;

	/* Every statement is looked at, and few have an underscore behind "pg". */
	while (text.n >= n && (at = memchr(text.p + 2, '_', text.n - 2)) != NULL) {
		text = span_skip(text, (size_t)(at - 2 - text.p));
		if ((text.p[1] | 0x20) == 'g' && text.n >= n &&
		    strncasecmp((const char *)text.p, word, n) == 0)
			return true;
		text = span_skip(text, 1);
	}
	return false;
}

static bool is_own(void *arg, uint64_t id)
{
	return stmts_has_number(arg, id);
}

bool view_hide_others(struct session *s, const struct stmt *stmt)
{
	struct backend *b = s->backend;
	char name[PREPARED_NAME_MAX];
	uint64_t id;

	if (s->replication != NULL || s->policy->pool_mode == POOL_MODE_SESSION || !looks(stmt))
		return false;
	while ((id = prepared_held_but(&b->prepared, is_own, &s->stmts)) != 0) {
		struct expect e = {.kind = EXPECT_CLOSE, .why = WHY_EVICT, .stmt = id};

		write_close(conn_out(b->conn), 'S', prepared_name(id, name));
		if (expect_push(&b->expects, &e) != 0)
			b->broken = true;
		prepared_closing(&b->prepared, id);
	}
	if (expect_push(&b->expects, &(struct expect){.kind = EXPECT_CLOSE, .why = WHY_PARSE}) != 0)
		b->broken = true;
	write_close(conn_out(b->conn), 'S', span_str(STANDIN_NAME));
	return true;
}
