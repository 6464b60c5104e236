/* Errors that speak of a prepared statement by the name that we gave it: the client reads its own. */
#include "proxy/session/session_private.h"

#include "protocol/back.h"
#include "protocol/write.h"

/* Only these speak of a statement's name; the texts of others may hold what the client wrote. */
static bool speaks_of_names(struct span body)
{
	static const char *const states[] = {"42P05", "26000", "08P01"};
	struct back_error e = {0};
	const char *why;

	if (back_error_decode(body, &e, &why) != 0)
		return false;
	for (unsigned i = 0; i < sizeof states / sizeof *states; i++)
		if (span_eq(e.sqlstate, span_str(states[i])))
			return true;
	return false;
}

static const uint8_t *find(struct span text, struct span word)
{
	return word.n == 0 ? NULL : memmem(text.p, text.n, word.p, word.n);
}

/* The body with `ours` replaced by `theirs` in its message, field by field. */
static void write_renamed(struct buf *out, struct span body, struct span ours, struct span theirs)
{
	size_t mark = write_begin(out, 'E'), at = 0;

	while (at < body.n && body.p[at] != 0) {
		struct span rest = span_skip(body, at + 1), text = rest;
		const uint8_t *end = memchr(rest.p, 0, rest.n), *here;

		text.n = end != NULL ? (size_t)(end - rest.p) : rest.n;
		buf_add_u8(out, body.p[at]);
		here = body.p[at] == 'M' ? find(text, ours) : NULL;
		if (here != NULL) {
			buf_add_span(out, span_of(text.p, (size_t)(here - text.p)));
			buf_add_span(out, theirs);
			buf_add_span(out, span_skip(text, (size_t)(here - text.p) + ours.n));
		} else {
			buf_add_span(out, text);
		}
		buf_add_u8(out, 0);
		at += 1 + text.n + 1;
	}
	buf_add_u8(out, 0);
	write_end(out, mark);
}

static bool is_syntax(struct span body)
{
	struct back_error e = {0};
	const char *why;

	return back_error_decode(body, &e, &why) == 0 && span_eq(e.sqlstate, span_str("42601"));
}

bool rename_error(struct session *s, const struct expect *head, struct span body)
{
	struct span ours, theirs;
	char name[PREPARED_NAME_MAX];

	if (head->refused && is_syntax(body)) {
		write_error(conn_out(s->client), 'E', "ERROR", "54000",
			    "too many or too long prepared statements", NULL,
			    "Close statements that are not needed any more.");
		conn_flush_later(s->client);
		return true;
	}
	if (head->why != WHY_CLIENT || (head->change == 0 && head->name_id == 0) || !speaks_of_names(body))
		return false;
	if (head->again)
		ours = span_str(head->kind == EXPECT_BIND ? STANDIN_NAME : backend_sys_name(SYS_COMMIT));
	else if (head->kind != EXPECT_BIND && head->kind != EXPECT_DESCRIBE)
		return false;
	else
		ours = head->change != 0 ? span_str(HOLD_NO_SUCH) : prepared_name(head->stmt, name);
	theirs = head->change != 0 ? stmts_change_name(&s->stmts, head->change)
				   : stmts_id_name(&s->stmts, head->name_id);
	if (find(body, ours) == NULL)
		return false;
	write_renamed(conn_out(s->client), body, ours, theirs);
	conn_flush_later(s->client);
	return true;
}
