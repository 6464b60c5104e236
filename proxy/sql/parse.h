/* parse.h - a statement's text to libpg_query's packed parse tree, or to its tokens.
 * Source  libpg_query 15-4.0.
 * Shape   bytes in, bytes out; tree.h unpacks them.
 * Owner   the caller of parse_text frees *packed_r.
 * Thread  any; libpg_query keeps its state per thread.
 * Errors  -1: does not parse, or is not to be parsed (a NUL byte, nested deeper than PARSE_NESTING_MAX). */
#ifndef PROXY_SQL_PARSE_H
#define PROXY_SQL_PARSE_H

#include "protocol/span.h"

/* An upper bound of how deep the parse tree of this text can nest, in protobuf messages. libpg_query and
 * protobuf-c go down by recursion, 0.9 kB of stack a message, and know no limit: `select 1+1+1..` of 20 kB
 * overruns a thread's 8 MB. */
size_t parse_nesting(struct span text);

#define PARSE_NESTING_HERE 2500u /* safe on the stack of any thread that has 8 MB, sanitizers included */
#define PARSE_NESTING_MAX 10000u

/* The caller's stack must have room for PARSE_STACK(nesting) bytes. */
#define PARSE_STACK(nesting) ((size_t)(nesting)*2048u + (1u << 20))

int parse_text(struct span text, uint8_t **packed_r, size_t *npacked_r);

/* What the scanner sees; only what literals.c tells apart. */
enum parse_token {
	TOKEN_OTHER,
	TOKEN_MINUS,
	TOKEN_INTEGER, /* fits int4 */
	TOKEN_NUMBER,
	TOKEN_STRING,
	TOKEN_ODD, /* a literal of another form: U&'..', B'..', X'..' */
	TOKEN_COMMENT,
};

/* Calls `see` for each token, from and to in bytes; -1 when it is no text or `see` has said false. */
int parse_tokens(struct span text, bool (*see)(void *arg, enum parse_token token, uint32_t from, uint32_t to),
		 void *arg);

#endif
