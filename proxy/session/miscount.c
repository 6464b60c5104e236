/* A Bind with too many or too few values. PostgreSQL counts them before it looks at tables, transaction or settings; a backend that
 * would have to parse the statement first may find another error there. So it is given a statement that only has parameters: any
 * transaction lets a ROLLBACK be parsed. */
#include "proxy/session/session_private.h"

#include "proxy/base/check.h"
#include "protocol/write.h"

#include <stdlib.h>

#define TEXT_OID 25

/* How many parameters it has, or -1: not known. */
static int parameters(const struct session *s, const struct stmt *stmt)
{
	const struct facts *f = stmt->facts;

	if (!s->certain || f->nstmts < 0 || f->nstmts > 1)
		return -1;
	return stmt->noids > f->nparams ? stmt->noids : f->nparams;
}

static bool held(struct session *s, struct span name)
{
	uint64_t number = *stmts_number(&s->stmts, name);

	if (name.n == 0)
		return s->backend->unnamed == number && number != 0;
	return number != 0 && prepared_look(&s->backend->prepared, number) != PREPARED_NOT;
}

static void push(struct session *s, enum expect_kind kind)
{
	struct expect e = {.kind = (uint8_t)kind, .why = WHY_PARSE};

	s->backend->broken |= expect_push(&s->backend->expects, &e) != 0;
}

bool miscount(struct session *s, struct span name, const struct stmt *stmt, struct span body,
	      struct expect *e_r)
{
	struct buf *out = conn_out(s->backend->conn);
	struct span none = span_str(MISCOUNT_NAME);
	struct front_bind bind;
	const char *why;
	int n = parameters(s, stmt);
	uint32_t *types;

	if (n < 0 || stmts_is_literal(&s->stmts, name) || held(s, name) ||
	    front_bind_decode(body, &bind, &why) != 0 || bind.nparams == n)
		return false;
	types = check_alloc(((size_t)n + 1) * sizeof *types);
	for (int i = 0; i < n; i++)
		types[i] = TEXT_OID;
	write_close(out, 'S', none);
	push(s, EXPECT_CLOSE);
	write_parse(out, none, span_str("ROLLBACK"), types, (uint16_t)n);
	push(s, EXPECT_PARSE);
	free(types);
	e_r->name_id = stmts_id(&s->stmts, name);
	e_r->again = true;
	return true;
}
