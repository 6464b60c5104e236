#include "proxy/sql/plain.h"

enum {
	BLANK = 1,
	LETTER = 2,
	DIGIT = 4,
	OPERATOR = 8, /* a minus beside one of these may be part of an operator of several signs */
	SIGN = 16,
	JOINS = 32, /* what would change a word or number that it directly follows; so do letters and digits */
};

static const uint8_t kinds[256] = {
	[' '] = BLANK,
	['\t'] = BLANK,
	['\r'] = BLANK,
	['\n'] = BLANK,
	['a' ... 'z'] = LETTER | JOINS,
	['A' ... 'Z'] = LETTER | JOINS,
	['_'] = LETTER | JOINS,
	['0' ... '9'] = DIGIT | JOINS,
	['='] = OPERATOR | SIGN,
	['<'] = OPERATOR | SIGN,
	['>'] = OPERATOR | SIGN,
	['*'] = OPERATOR | SIGN,
	['+'] = OPERATOR | SIGN,
	['-'] = OPERATOR | SIGN,
	['%'] = OPERATOR | SIGN,
	['|'] = OPERATOR | SIGN,
	[','] = SIGN,
	[';'] = SIGN,
	[':'] = SIGN,
	['('] = SIGN,
	[')'] = SIGN,
	['['] = SIGN,
	[']'] = SIGN,
	['.'] = SIGN,
	['$'] = JOINS,
	['\''] = JOINS,
	['"'] = JOINS,
	[0x80 ... 0xff] = JOINS,
};

static bool is(uint8_t c, unsigned kind)
{
	return (kinds[c] & kind) != 0;
}

static uint8_t byte_at(struct span text, size_t at)
{
	return at < text.n ? text.p[at] : '\0';
}

/* What directly follows a word or number must not change it. */
static size_t ends(struct span text, size_t to)
{
	return is(byte_at(text, to), JOINS) ? 0 : to;
}

static size_t word(struct span text, size_t at)
{
	while (is(byte_at(text, at), LETTER | DIGIT))
		at++;
	return ends(text, at);
}

static size_t digits(struct span text, size_t at)
{
	while (is(byte_at(text, at), DIGIT))
		at++;
	return ends(text, at);
}

static size_t integer(struct span text, size_t at)
{
	size_t to = digits(text, at);

	if (to == 0 || to - at > 9 || byte_at(text, to) == '.' || (at > 0 && text.p[at - 1] == '.'))
		return 0;
	return to;
}

/* Up to behind the closing quote; a doubled one stands for itself. A string may go on behind blanks. */
static size_t quoted(struct span text, size_t at, uint8_t quote)
{
	size_t to = at + 1, next;

	for (;; to++) {
		if (to >= text.n || text.p[to] <= 1)
			return 0;
		if (text.p[to] != quote)
			continue;
		if (byte_at(text, to + 1) != quote)
			break;
		to++;
	}
	to++;
	for (next = to; is(byte_at(text, next), BLANK); next++)
		;
	if (byte_at(text, next) == '\'' || (quote == '"' && to - at == 2))
		return 0;
	return ends(text, to);
}

static size_t sign(struct span text, size_t at)
{
	uint8_t c = text.p[at];

	if (c == '-' && ((at > 0 && is(text.p[at - 1], OPERATOR)) || is(byte_at(text, at + 1), OPERATOR)))
		return 0;
	return is(c, SIGN) ? at + 1 : 0;
}

enum plain plain_tokens(struct span text,
			bool (*see)(void *arg, enum parse_token token, uint32_t from, uint32_t to), void *arg)
{
	size_t at = 0, to;
	bool minus = false;

	while (at < text.n) {
		enum parse_token token = TOKEN_OTHER;
		uint8_t c = text.p[at];

		if (is(c, BLANK)) {
			at++;
			continue;
		}
		if (is(c, LETTER)) {
			to = word(text, at);
		} else if (is(c, DIGIT)) {
			token = TOKEN_INTEGER;
			to = integer(text, at);
		} else if (c == '\'' || c == '"') {
			token = c == '\'' ? TOKEN_STRING : TOKEN_OTHER;
			to = quoted(text, at, c);
		} else if (c == '$' && is(byte_at(text, at + 1), DIGIT)) {
			to = digits(text, at + 1);
		} else {
			token = c == '-' ? TOKEN_MINUS : TOKEN_OTHER;
			to = sign(text, at);
		}
		if (to == 0)
			return PLAIN_UNSURE;
		if ((minus || token != TOKEN_OTHER) && !see(arg, token, (uint32_t)at, (uint32_t)to))
			return PLAIN_REFUSED;
		minus = token == TOKEN_MINUS;
		at = to;
	}
	return PLAIN_OK;
}
