/* Statements of our own on a backend, always hidden from the session. */
#include "proxy/backend/backend.h"

#include "protocol/write.h"

#include <stdio.h>

static const struct sys_row {
	const char *name;
	const char *text;
} sys_rows[NSYS_STMTS] = {
	[SYS_BEGIN] = {"pgweir_sys_begin", "BEGIN"},
	[SYS_COMMIT] = {"pgweir_sys_commit", "COMMIT"},
	[SYS_SET] = {"pgweir_sys_set", "SELECT pg_catalog.set_config($1, $2, false)"},
	[SYS_GET] = {"pgweir_sys_get",
		     "SELECT pg_catalog.current_setting($1, true), "
		     "(SELECT source FROM pg_catalog.pg_settings WHERE lower(name) = lower($1))"},
	[SYS_SNAPSHOT] = {"pgweir_sys_snapshot", "SELECT pg_catalog.pg_current_snapshot()"},
};

static int push(struct backend *b, enum expect_kind kind, enum expect_why why, uint32_t index)
{
	struct expect e = {.kind = (uint8_t)kind, .why = (uint8_t)why, .index = index};

	return expect_push(&b->expects, &e);
}

int backend_sys(struct backend *b, enum sys_stmt id, const struct span *values, uint16_t n,
		enum expect_why why, uint32_t index)
{
	struct buf *out = conn_out(b->conn);
	struct span name = span_str(sys_rows[id].name);

	if (!(b->sys_prepared & (1u << id))) {
		write_parse(out, name, span_str(sys_rows[id].text), NULL, 0);
		/* stmt carries the bit, so that a failed Parse is tried again. */
		struct expect e = {.kind = EXPECT_PARSE, .why = (uint8_t)why, .index = 1 + (uint32_t)id};

		if (expect_push(&b->expects, &e) != 0)
			return -1;
		b->sys_prepared |= 1u << id;
	}
	write_bind_text(out, span_str(""), name, values, n);
	write_execute(out, span_str(""), 0);
	conn_flush_later(b->conn);
	return push(b, EXPECT_BIND, why, index) != 0 || push(b, EXPECT_EXECUTE, why, index) != 0 ? -1 : 0;
}

int backend_sync(struct backend *b, enum expect_why why)
{
	write_sync(conn_out(b->conn));
	conn_flush_later(b->conn);
	b->ignoring = false;
	return push(b, EXPECT_SYNC, why, 0);
}

int backend_query(struct backend *b, const char *text, enum expect_why why)
{
	write_query(conn_out(b->conn), span_str(text));
	conn_flush_later(b->conn);
	b->unnamed = 0; /* a simple query drops the unnamed statement */
	return push(b, EXPECT_QUERY, why, 0);
}
