/* Questions about a statement that PostgreSQL answers from what it has parsed, on a backend that would have to parse it first and cannot:
 * whether a Bind has the right number of values comes before tables, transaction and settings are looked at; what has no rows can be
 * described in a failed transaction. A statement that has the same parameters stands in: any transaction lets a ROLLBACK be parsed. */
#include "proxy/session/session_private.h"

#include "proxy/base/check.h"
#include "protocol/datum.h"
#include "protocol/write.h"

#include <stdlib.h>
#include <strings.h>

/* How many parameters it has, or -1: not known. */
static int parameters(const struct session *s, const struct stmt *stmt)
{
	const struct facts *f = stmt->facts;
	enum command c = f->nstmts == 1 ? f->stmts[0].command : COMMAND_OTHER;

	if (!txn_text_certain(s, stmt) || f->nstmts > 1 ||
	    (f->nparams > 0 && c != COMMAND_SELECT && c != COMMAND_DML))
		return -1; /* those inside of PREPARE are not its own */
	return stmt->noids > f->nparams ? stmt->noids : f->nparams;
}

static void push(struct session *s, enum expect_kind kind)
{
	struct expect e = {.kind = (uint8_t)kind, .why = WHY_PARSE};

	s->backend->broken |= expect_push(&s->backend->expects, &e) != 0;
}

static void stand_in(struct session *s, const uint32_t *types, unsigned n)
{
	struct buf *out = conn_out(s->backend->conn);
	struct span name = span_str(STANDIN_NAME);

	write_close(out, 'S', name);
	push(s, EXPECT_CLOSE);
	write_parse(out, name, span_str("ROLLBACK"), types, (uint16_t)n);
	push(s, EXPECT_PARSE);
}

bool standin_bind(struct session *s, struct span name, const struct stmt *stmt, struct span body,
		  struct expect *e_r)
{
	struct front_bind bind;
	const char *why;
	int n = parameters(s, stmt);
	uint32_t *types;

	if (n < 0 || hold_held(s, name) || front_bind_decode(body, &bind, &why) != 0 || bind.nparams == n)
		return false;
	types = check_alloc(((size_t)n + 1) * sizeof *types);
	for (int i = 0; i < n; i++)
		types[i] = DATUM_TEXT;
	stand_in(s, types, (unsigned)n);
	free(types);
	e_r->name_id = stmts_id(&s->stmts, name);
	e_r->again = true;
	return true;
}

static bool mentions(struct span text, const char *word)
{
	size_t n = strlen(word);

	for (size_t i = 0; i + n <= text.n; i++)
		if (strncasecmp((const char *)text.p + i, word, n) == 0)
			return true;
	return false;
}

/* Certain to return no rows. */
static bool silent(const struct stmt *stmt)
{
	const struct facts *f = stmt->facts;

	if (f->nstmts == 0)
		return true;
	switch (f->stmts[0].command) {
	case COMMAND_DML: return !mentions(stmt->text, "returning") && !mentions(stmt->text, "explain");
	case COMMAND_BEGIN:
	case COMMAND_COMMIT:
	case COMMAND_ROLLBACK:
	case COMMAND_TXN:
	case COMMAND_SET:
	case COMMAND_SET_TXN:
	case COMMAND_PREPARE:
	case COMMAND_DEALLOCATE:
	case COMMAND_DISCARD:
	case COMMAND_LISTEN:
	case COMMAND_UNLISTEN:
	case COMMAND_NOTIFY: return true;
	default: return false;
	}
}

bool standin_describe(struct session *s, struct span name, const struct stmt *stmt)
{
	const struct expects *q = &s->backend->expects;
	int n = parameters(s, stmt);

	if (s->backend->status != 'E' || q->batches_sent != q->batches_done || n != stmt->noids ||
	    hold_held(s, name) || !silent(stmt))
		return false;
	for (int i = 0; i < n; i++)
		if (stmt->oids[i] == 0)
			return false;
	stand_in(s, stmt->oids, (unsigned)n);
	return true;
}
