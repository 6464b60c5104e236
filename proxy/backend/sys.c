/* Statements of our own on a backend, always hidden from the session. */
#include "proxy/backend/backend.h"
#include "proxy/backend/role_value.h"

#include "protocol/write.h"

#include <stdio.h>

static const struct sys_row {
	const char *name;
	const char *text;
} sys_rows[NSYS_STMTS] = {
	[SYS_BEGIN] = {"pgweir_sys_begin", "BEGIN"},
	[SYS_COMMIT] = {"pgweir_sys_commit", "COMMIT"},
	[SYS_SET] = {"pgweir_sys_set", "SELECT pg_catalog.set_config($1, $2, false)"},
	[SYS_SET_LOCAL] = {"pgweir_sys_set_local", "SELECT pg_catalog.set_config($1, $2, true)"},
	[SYS_SET_ROLE] = {"pgweir_sys_set_role",
			  "SELECT pg_catalog.set_config($1, " ROLE_NAME_SQL("$2") ", false)"},
	/* .. if the session has not set it to anything else than the default. */
	[SYS_PUT_BACK] =
		{"pgweir_sys_put_back",
		 "SELECT pg_catalog.set_config($1, $2, $3) WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_settings "
		 "WHERE pg_catalog.lower(name) OPERATOR(pg_catalog.=) pg_catalog.lower($1) "
		 "AND source OPERATOR(pg_catalog.=) 'session' AND setting OPERATOR(pg_catalog.<>) reset_val)"},
	/* .. of those that pg_settings does not have: $4 is what they are then. */
	[SYS_PUT_BACK_UNLISTED] =
		{"pgweir_sys_put_back_unlisted",
		 "SELECT pg_catalog.set_config($1, $2, $3) "
		 "WHERE COALESCE(pg_catalog.current_setting($1, true), $4) OPERATOR(pg_catalog.=) $4"},
	/* .. of roles. */
	[SYS_PUT_BACK_ROLE] =
		{"pgweir_sys_put_back_role",
		 "SELECT pg_catalog.set_config($1, " ROLE_NAME_SQL("$2") ", $3) WHERE pg_catalog.split_part(" ROLE_OF_SQL(
			 "$1") ", ' ', 1) "
			       "OPERATOR(pg_catalog.=) pg_catalog.split_part($4, ' ', 1)"},
	[SYS_SERVER_ENCODING] = {"pgweir_sys_server_encoding",
				 "SELECT pg_catalog.set_config('client_encoding', "
				 "pg_catalog.current_setting('server_encoding'), true)"},
	[SYS_GET] = {"pgweir_sys_get",
		     "SELECT pg_catalog.current_setting($1, true), "
		     "(SELECT source FROM pg_catalog.pg_settings WHERE lower(name) = lower($1))"},
	/* .. of what was reset and then set locally: PostgreSQL takes what is left of that for a value that the session has set. */
	[SYS_GET_WAS_RESET] =
		{"pgweir_sys_get_was_reset",
		 "SELECT pg_catalog.current_setting($1, true), "
		 "(SELECT CASE WHEN setting OPERATOR(pg_catalog.=) reset_val THEN 'default' ELSE source END "
		 "FROM pg_catalog.pg_settings WHERE lower(name) = lower($1))"},
	[SYS_GET_CUSTOM] = {"pgweir_sys_get_custom", "SELECT pg_catalog.current_setting($1, true), NULL"},
	[SYS_GET_ROLE] = {"pgweir_sys_get_role", "SELECT " ROLE_OF_SQL("$1") ", NULL"},
	[SYS_RESET_ALL] = {"pgweir_sys_reset_all", "RESET ALL"},
	[SYS_DISCARD_SEQUENCES] = {"pgweir_sys_discard_sequences", "DISCARD SEQUENCES"},
	[SYS_SNAPSHOT] = {"pgweir_sys_snapshot", "SELECT pg_catalog.pg_current_snapshot()"},
};

static int push(struct backend *b, enum expect_kind kind, enum expect_why why, uint32_t index)
{
	struct expect e = {.kind = (uint8_t)kind, .why = (uint8_t)why, .index = index};

	return expect_push(&b->expects, &e);
}

void backend_unnamed(struct backend *b, uint64_t id)
{
	b->unnamed = id;
	b->unnamed_batch = b->expects.batches_sent;
}

const char *backend_sys_name(enum sys_stmt id)
{
	return sys_rows[id].name;
}

int backend_sys_hold(struct backend *b, enum sys_stmt id, enum expect_why why)
{
	/* Behind a Sync whose answer is outstanding its Parse may have been skipped. */
	if ((b->sys_prepared & (1u << id)) && expect_in_flight(&b->expects, b->sys_batch[id]))
		b->sys_doubtful |= 1u << id;
	else if (b->sys_prepared & (1u << id))
		return 0;
	if (b->sys_doubtful & (1u << id)) {
		write_close(conn_out(b->conn), 'S', span_str(sys_rows[id].name));
		if (push(b, EXPECT_CLOSE, why, 0) != 0)
			return -1;
		b->sys_doubtful &= ~(1u << id);
	}
	write_parse(conn_out(b->conn), span_str(sys_rows[id].name), span_str(sys_rows[id].text), NULL, 0);
	b->sys_prepared |= 1u << id;
	b->sys_batch[id] = b->expects.batches_sent;
	/* index carries the bit, so that a failed Parse is tried again. */
	return push(b, EXPECT_PARSE, why, 1 + (uint32_t)id);
}

int backend_sys(struct backend *b, enum sys_stmt id, const struct span *values, uint16_t n,
		enum expect_why why, uint32_t index)
{
	struct buf *out = conn_out(b->conn);
	struct span name = span_str(sys_rows[id].name);

	if (backend_sys_hold(b, id, why) != 0)
		return -1;
	write_bind_text(out, span_str(""), name, values, n);
	write_execute(out, span_str(""), 0);
	conn_flush_later(b->conn);
	return push(b, EXPECT_BIND, why, index) != 0 || push(b, EXPECT_EXECUTE, why, index) != 0 ? -1 : 0;
}

int backend_sys_apart(struct backend *b, enum sys_stmt id, const struct span *values, uint16_t n,
		      enum expect_why why, uint32_t index)
{
	struct buf *out = conn_out(b->conn);
	struct span portal = span_str("pgweir"), name = span_str(sys_rows[id].name);

	if (backend_sys_hold(b, id, why) != 0)
		return -1;
	write_bind_text(out, portal, name, values, n);
	write_execute(out, portal, 0);
	write_close(out, 'P', portal);
	conn_flush_later(b->conn);
	return push(b, EXPECT_BIND, why, index) != 0 || push(b, EXPECT_EXECUTE, why, index) != 0 ||
			       push(b, EXPECT_CLOSE, why, index) != 0
		       ? -1
		       : 0;
}

void backend_sys_close(struct backend *b)
{
	for (uint32_t id = 0; id < NSYS_STMTS; id++) {
		if (!((b->sys_prepared | b->sys_doubtful) & (1u << id)))
			continue;
		write_close(conn_out(b->conn), 'S', span_str(sys_rows[id].name));
		b->sys_prepared &= ~(1u << id);
		b->sys_doubtful &= ~(1u << id);
		/* index carries the bit: when the Close is skipped the server still has it. */
		if (push(b, EXPECT_CLOSE, WHY_EVICT, 1 + id) != 0)
			b->broken = true;
	}
	conn_flush_later(b->conn);
}

void backend_sys_doubt(struct backend *b)
{
	b->sys_doubtful |= b->sys_prepared;
	b->sys_prepared = 0;
}

unsigned backend_sys_count(const struct backend *b)
{
	return (unsigned)__builtin_popcount(b->sys_prepared | b->sys_doubtful);
}

void backend_sys_certain(struct backend *b)
{
	b->sys_prepared |= b->sys_doubtful;
	b->sys_doubtful = 0;
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
	b->unnamed = 0; /* a simple query drops it, and ours have nothing in front of them that could fail */
	b->unnamed_batch = UINT64_MAX;
	return push(b, EXPECT_QUERY, why, 0);
}
