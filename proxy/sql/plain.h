/* plain.h - the tokens of a plain text, without PostgreSQL's scanner, which takes longer than all else a known shape needs.
 * Source  PostgreSQL 15's scan.l, for words, plain integers, '..', "..", $1 and some signs.
 * Shape   the same calls as parse_tokens makes for the same text, but TOKEN_OTHER only directly behind TOKEN_MINUS, and never a text
 *         with NUL or the byte 1 in it. literals_test.c compares the two.
 * Owner   nothing.
 * Thread  pure; any.
 * Errors  PLAIN_UNSURE: the text has something else in it; what was seen so far does not count. */
#ifndef PROXY_SQL_PLAIN_H
#define PROXY_SQL_PLAIN_H

#include "proxy/sql/parse.h"

enum plain {
	PLAIN_OK,
	PLAIN_REFUSED, /* `see` has said false */
	PLAIN_UNSURE,
};

enum plain plain_tokens(struct span text,
			bool (*see)(void *arg, enum parse_token token, uint32_t from, uint32_t to),
			void *arg);

#endif
