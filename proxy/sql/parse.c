#include "proxy/sql/parse.h"

#include "proxy/sql/arena.h"

#include <pg_query.h>
#include <pg_query/pg_query.pb-c.h>

#include <stdlib.h>
#include <strings.h>

/* Words that put several messages on top of each other, and those that put two. */
static const char *const deep_words[] = {"select", "case",  "with",   "over",
					 "values", "table", "filter", "within"};
static const char *const flat_words[] = {"not",	    "is",      "in",	 "like",      "ilike", "similar",
					 "between", "collate", "at",	 "union",     "join",  "when",
					 "isnull",  "notnull", "except", "intersect", "and",   "or",
					 "else",    "array",   "any",	 "all",	      "some",  "explain",
					 "by",	    "interval"};

static bool word_in(struct span word, const char *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strlen(list[i]) == word.n && strncasecmp(list[i], (const char *)word.p, word.n) == 0)
			return true;
	return false;
}

static bool word_char(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c >= 0x80;
}

static size_t word_weight(struct span word)
{
	if (word.n < 2 || word.n > 9)
		return 0;
	if (word_in(word, deep_words, sizeof(deep_words) / sizeof(deep_words[0])))
		return 8;
	return word_in(word, flat_words, sizeof(flat_words) / sizeof(flat_words[0])) ? 2 : 0;
}

/* Does not know strings and comments: what is inside them makes the bound higher, never lower. Digits do not
 * part words, as in `1or`: a word is looked at without what may stand before it. */
size_t parse_nesting(struct span text)
{
	size_t bound = 32;

	for (size_t i = 0; i < text.n; i++) {
		uint8_t c = text.p[i];

		if (word_char(c)) {
			size_t from = i;

			while (i + 1 < text.n && word_char(text.p[i + 1]))
				i++;
			bound += word_weight(span_of(text.p + from, i + 1 - from));
		} else if (c == '(' || c == '[') {
			bound += 4;
		} else if (c != '\0' && strchr("+-*/<>=~!@#%^&|`?:", c) != NULL) {
			bound += 2;
		}
	}
	return bound;
}

int parse_text(struct span text, uint8_t **packed_r, size_t *npacked_r)
{
	PgQueryProtobufParseResult result;
	uint8_t *packed = NULL;
	char *copy;

	if (text.n > 0 && memchr(text.p, '\0', text.n) != NULL)
		return -1;
	copy = malloc(text.n + 1);
	if (copy == NULL)
		return -1;
	if (text.n > 0)
		memcpy(copy, text.p, text.n);
	copy[text.n] = '\0';
	result = pg_query_parse_protobuf(copy);
	free(copy);
	if (result.error == NULL) {
		packed = malloc(result.parse_tree.len + 1);
		if (packed != NULL && result.parse_tree.len > 0)
			memcpy(packed, result.parse_tree.data, result.parse_tree.len);
	}
	if (packed != NULL) {
		*packed_r = packed;
		*npacked_r = result.parse_tree.len;
	}
	pg_query_free_protobuf_parse_result(result);
	return packed == NULL ? -1 : 0;
}

static void *token_alloc(void *arena, size_t n)
{
	return arena_get(arena, n);
}

static void token_free(void *arena, void *p)
{
	(void)arena;
	(void)p;
}

static enum parse_token token_kind(PgQuery__Token token)
{
	switch (token) {
	case PG_QUERY__TOKEN__ASCII_45: return TOKEN_MINUS;
	case PG_QUERY__TOKEN__ICONST: return TOKEN_INTEGER;
	case PG_QUERY__TOKEN__FCONST: return TOKEN_NUMBER;
	case PG_QUERY__TOKEN__SCONST: return TOKEN_STRING;
	case PG_QUERY__TOKEN__USCONST:
	case PG_QUERY__TOKEN__BCONST:
	case PG_QUERY__TOKEN__XCONST: return TOKEN_ODD;
	case PG_QUERY__TOKEN__SQL_COMMENT:
	case PG_QUERY__TOKEN__C_COMMENT: return TOKEN_COMMENT;
	default: return TOKEN_OTHER;
	}
}

static int see_all(const PgQuery__ScanResult *scan, size_t n,
		   bool (*see)(void *arg, enum parse_token token, uint32_t from, uint32_t to), void *arg)
{
	int32_t last = 0;

	for (size_t i = 0; i < scan->n_tokens; i++) {
		const PgQuery__ScanToken *token = scan->tokens[i];

		if (token->start < last || token->end < token->start || (size_t)token->end > n)
			return -1;
		last = token->end;
		if (!see(arg, token_kind(token->token), (uint32_t)token->start, (uint32_t)token->end))
			return -1;
	}
	return 0;
}

/* A token takes about 40 bytes unpacked. */
#define TOKENS_BYTES_MAX (8u << 20)

int parse_tokens(struct span text, bool (*see)(void *arg, enum parse_token token, uint32_t from, uint32_t to),
		 void *arg)
{
	ProtobufCAllocator allocator = {.alloc = token_alloc, .free = token_free};
	PgQuery__ScanResult *scan = NULL;
	PgQueryScanResult result;
	struct arena arena;
	char *copy;
	int rc = -1;

	if (text.n == 0 || memchr(text.p, '\0', text.n) != NULL || (copy = malloc(text.n + 1)) == NULL)
		return -1;
	memcpy(copy, text.p, text.n);
	copy[text.n] = '\0';
	result = pg_query_scan(copy);
	free(copy);
	arena_init(&arena, 8192, TOKENS_BYTES_MAX);
	allocator.allocator_data = &arena;
	if (result.error == NULL)
		scan = pg_query__scan_result__unpack(&allocator, result.pbuf.len,
						     (const uint8_t *)result.pbuf.data);
	if (scan != NULL)
		rc = see_all(scan, text.n, see, arg);
	arena_free(&arena);
	pg_query_free_scan_result(result);
	return rc;
}
