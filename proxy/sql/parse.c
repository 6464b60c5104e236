#include "proxy/sql/parse.h"

#include <pg_query.h>

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
