#include "proxy/sql/plain.h"

#define BLANKS " \t\r\n"
/* A minus beside one of these may be part of an operator of several signs. */
#define OPERATORS "=<>*+-%|"
#define SIGNS OPERATORS ",;:()[]."

static bool in(const char *set, uint8_t c)
{
	return c != '\0' && strchr(set, c) != NULL;
}

static bool is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

static bool is_letter(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static uint8_t byte_at(struct span text, size_t at)
{
	return at < text.n ? text.p[at] : '\0';
}

/* What directly follows a word or number must not change it. */
static size_t ends(struct span text, size_t to)
{
	uint8_t c = byte_at(text, to);

	return is_letter(c) || is_digit(c) || c == '$' || c == '\'' || c == '"' || c >= 0x80 ? 0 : to;
}

static size_t word(struct span text, size_t at)
{
	while (is_letter(byte_at(text, at)) || is_digit(byte_at(text, at)))
		at++;
	return ends(text, at);
}

static size_t digits(struct span text, size_t at)
{
	while (is_digit(byte_at(text, at)))
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
		if (to >= text.n)
			return 0;
		if (text.p[to] != quote)
			continue;
		if (byte_at(text, to + 1) != quote)
			break;
		to++;
	}
	to++;
	for (next = to; in(BLANKS, byte_at(text, next)); next++)
		;
	if (byte_at(text, next) == '\'' || (quote == '"' && to - at == 2))
		return 0;
	return ends(text, to);
}

static size_t sign(struct span text, size_t at)
{
	uint8_t c = text.p[at];

	if (c == '-' && ((at > 0 && in(OPERATORS, text.p[at - 1])) || in(OPERATORS, byte_at(text, at + 1))))
		return 0;
	return in(SIGNS, c) ? at + 1 : 0;
}

enum plain plain_tokens(struct span text,
			bool (*see)(void *arg, enum parse_token token, uint32_t from, uint32_t to), void *arg)
{
	size_t at = 0, to;

	while (at < text.n) {
		enum parse_token token = TOKEN_OTHER;
		uint8_t c = text.p[at];

		if (in(BLANKS, c)) {
			at++;
			continue;
		}
		if (is_letter(c)) {
			to = word(text, at);
		} else if (is_digit(c)) {
			token = TOKEN_INTEGER;
			to = integer(text, at);
		} else if (c == '\'' || c == '"') {
			token = c == '\'' ? TOKEN_STRING : TOKEN_OTHER;
			to = quoted(text, at, c);
		} else if (c == '$' && is_digit(byte_at(text, at + 1))) {
			to = digits(text, at + 1);
		} else {
			token = c == '-' ? TOKEN_MINUS : TOKEN_OTHER;
			to = sign(text, at);
		}
		if (to == 0)
			return PLAIN_UNSURE;
		if (!see(arg, token, (uint32_t)at, (uint32_t)to))
			return PLAIN_REFUSED;
		at = to;
	}
	return PLAIN_OK;
}
