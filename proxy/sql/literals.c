#include "proxy/sql/literals.h"

#include "proxy/sql/plain.h"

#define MARK 1 /* stands before the kind of a literal in the skeleton; texts that have it are not taken */

/* '..' with quotes only in pairs: no continuation on another line. */
static bool plain_quotes(struct span s)
{
	if (s.n < 2 || s.p[0] != '\'' || s.p[s.n - 1] != '\'')
		return false;
	for (size_t i = 1; i + 1 < s.n; i++) {
		if (s.p[i] != '\'')
			continue;
		if (i + 2 >= s.n || s.p[i + 1] != '\'')
			return false;
		i++;
	}
	return true;
}

static size_t dollar_quote(struct span s)
{
	const uint8_t *end = s.n < 4 ? NULL : memchr(s.p + 1, '$', s.n - 1);
	size_t n = end == NULL ? 0 : (size_t)(end - s.p) + 1;

	return 2 * n <= s.n ? n : 0;
}

static uint8_t string_kind(struct span s)
{
	if (s.n == 0)
		return 0;
	if (s.p[0] == '\'')
		return plain_quotes(s) ? 's' : 0;
	if (s.p[0] == 'e' || s.p[0] == 'E')
		return plain_quotes(span_skip(s, 1)) && memchr(s.p, '\\', s.n) == NULL ? 'e' : 0;
	return s.p[0] == '$' && dollar_quote(s) > 0 ? 'd' : 0;
}

struct scan {
	struct span text;
	struct literals *out;
	struct buf *skeleton;
	size_t done; /* bytes of the text that are in the skeleton */
	bool minus;
	uint32_t minus_at;
};

static bool add_literal(struct scan *scan, uint32_t at, uint32_t n, uint8_t kind)
{
	if (kind == 0 || scan->out->count == LITERALS_MAX)
		return false;
	scan->out->list[scan->out->count++] = (struct literal){.at = at,
							       .n = n,
							       .kind = kind,
							       .minus = scan->minus,
							       .minus_at = scan->minus ? scan->minus_at : 0};
	buf_add_u8(scan->skeleton, MARK);
	buf_add_u8(scan->skeleton, kind);
	return true;
}

static bool see_token(void *arg, enum parse_token token, uint32_t from, uint32_t to)
{
	struct scan *scan = arg;
	struct span s = span_of(scan->text.p + from, to - from);
	bool ok = true;

	if (token != TOKEN_OTHER && token != TOKEN_MINUS) {
		buf_add(scan->skeleton, scan->text.p + scan->done, from - scan->done);
		scan->done = to;
	}
	switch (token) {
	case TOKEN_INTEGER: ok = add_literal(scan, from, to - from, 'i'); break;
	case TOKEN_NUMBER: ok = add_literal(scan, from, to - from, 'f'); break;
	case TOKEN_STRING: ok = add_literal(scan, from, to - from, string_kind(s)); break;
	case TOKEN_COMMENT: buf_add_u8(scan->skeleton, ' '); return true;
	case TOKEN_ODD: return false;
	case TOKEN_OTHER:
	case TOKEN_MINUS: break;
	}
	scan->minus = token == TOKEN_MINUS;
	scan->minus_at = from;
	return ok;
}

static bool finish(struct scan *scan)
{
	buf_add(scan->skeleton, scan->text.p + scan->done, scan->text.n - scan->done);
	return scan->out->count > 0 && !scan->skeleton->failed;
}

bool literals_scan_exact(struct span text, struct literals *literals_r, struct buf *skeleton)
{
	struct scan scan = {.text = text, .out = literals_r, .skeleton = skeleton};

	literals_r->count = 0;
	buf_clear(skeleton);
	if (text.n == 0 || memchr(text.p, MARK, text.n) != NULL || parse_tokens(text, see_token, &scan) != 0)
		return false;
	return finish(&scan);
}

bool literals_scan(struct span text, struct literals *literals_r, struct buf *skeleton)
{
	struct scan scan = {.text = text, .out = literals_r, .skeleton = skeleton};

	literals_r->count = 0;
	literals_r->plain = false;
	buf_clear(skeleton);
	if (text.n == 0)
		return false;
	switch (plain_tokens(text, see_token, &scan)) {
	case PLAIN_OK: literals_r->plain = true; return finish(&scan);
	case PLAIN_REFUSED: return false;
	case PLAIN_UNSURE: break;
	}
	return memchr(text.p, '\0', text.n) == NULL && literals_scan_exact(text, literals_r, skeleton);
}

/* The length of a literal of that kind at the begin of `text`, of those that need no second look; 0 = another one. What stands behind
 * it in the model, and is compared next, ends it. */
static size_t simple_value(struct span text, uint8_t kind)
{
	size_t n = 0;

	if (kind == 'i') {
		while (n < text.n && n <= 9 && text.p[n] >= '0' && text.p[n] <= '9')
			n++;
		return n <= 9 ? n : 0;
	}
	if (kind != 's' || text.n == 0 || text.p[0] != '\'')
		return 0;
	for (n = 1; n < text.n && text.p[n] > MARK; n++)
		if (text.p[n] == '\'')
			return n + 1;
	return 0;
}

bool literals_like(struct span text, struct span model, const struct literal *list, unsigned n,
		   struct literals *literals_r)
{
	size_t at = 0, from = 0; /* in the text, in the model */

	for (unsigned i = 0; i < n; i++) {
		const struct literal *l = &list[i];
		size_t same = l->at - from, value;

		if (text.n - at < same || memcmp(text.p + at, model.p + from, same) != 0)
			return false;
		at += same;
		value = simple_value(span_skip(text, at), l->kind);
		if (value == 0)
			return false;
		literals_r->list[i] =
			(struct literal){.at = (uint32_t)at,
					 .n = (uint32_t)value,
					 .kind = l->kind,
					 .minus = l->minus,
					 .minus_at = l->minus ? (uint32_t)(l->minus_at + at - l->at) : 0};
		at += value;
		from = l->at + (size_t)l->n;
	}
	literals_r->count = n;
	literals_r->plain = true;
	return n > 0 && span_eq(span_skip(text, at), span_skip(model, from));
}

void literal_value(struct span text, const struct literal *literal, bool negative, struct buf *out)
{
	struct span s = span_of(text.p + literal->at, literal->n);
	size_t quote;

	switch (literal->kind) {
	case 'i':
	case 'f':
		if (negative)
			buf_add_u8(out, '-');
		buf_add_span(out, s);
		return;
	case 'd':
		quote = dollar_quote(s);
		buf_add(out, s.p + quote, s.n - 2 * quote);
		return;
	default: break;
	}
	s = span_skip(s, literal->kind == 'e' ? 2 : 1);
	for (size_t i = 0; i + 1 < s.n; i++) {
		buf_add_u8(out, s.p[i]);
		i += s.p[i] == '\'';
	}
}
