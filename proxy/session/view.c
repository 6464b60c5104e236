/* pg_prepared_statements shows what a backend holds, with the texts: of this client only. */
#include "proxy/session/session_private.h"

#include "protocol/write.h"

#include <strings.h>

static bool looks(const struct stmt *stmt)
{
	static const char word[] = "pg_prepared_statement";
	size_t n = sizeof word - 1;

	for (size_t i = 0; i + n <= stmt->text.n; i++)
		if (strncasecmp((const char *)stmt->text.p + i, word, n) == 0)
			return true;
	return false;
}

static bool is_own(void *arg, uint64_t id)
{
	return stmts_has_number(arg, id);
}

void view_hide_others(struct session *s, const struct stmt *stmt)
{
	struct backend *b = s->backend;
	char name[PREPARED_NAME_MAX];
	uint64_t id;

	if (s->replication != NULL || s->policy.pool_mode == POOL_MODE_SESSION || !looks(stmt))
		return;
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
	backend_sys_close(b);
}
