#include "config/connstr.h"

#include <ctype.h>
#include <string.h>

static char *skip_space(char *s)
{
	while (isspace((unsigned char)*s))
		s++;
	return s;
}

/* s is behind the opening quote; returns what follows the closing one, or NULL. */
static char *unquote(char *s)
{
	char *to = s;

	for (; *s != '\0'; s++) {
		if (*s == '\'' && *++s != '\'') {
			*to = '\0'; /* at most on the closing quote: to never passes s - 1 */
			return s;
		}
		*to++ = *s;
	}
	return NULL;
}

enum connstr_status connstr_next(char **at, char **key_r, char **value_r, const char **why_r)
{
	char *key = skip_space(*at), *key_end, *value, *end;

	if (*key == '\0')
		return CONNSTR_END;
	for (key_end = key; *key_end != '\0' && *key_end != '=' && !isspace((unsigned char)*key_end);)
		key_end++;
	value = skip_space(key_end);
	if (*value != '=' || key_end == key) {
		*why_r = "expected key=value pairs";
		return CONNSTR_BAD;
	}
	value = skip_space(value + 1);
	*key_end = '\0';
	if (*value == '\'') {
		end = unquote(++value);
		if (end == NULL || (*end != '\0' && !isspace((unsigned char)*end))) {
			*why_r = end == NULL ? "a quoted value does not end"
					     : "there must be white space after a quoted value";
			return CONNSTR_BAD;
		}
	} else {
		for (end = value; *end != '\0' && !isspace((unsigned char)*end);)
			end++;
		if (*end != '\0')
			*end++ = '\0';
	}
	*key_r = key;
	*value_r = value;
	*at = end;
	return CONNSTR_PAIR;
}

char *connstr_quote(struct text_pool *pool, const char *value)
{
	char *s = text_alloc(pool, 2 * strlen(value) + 3), *to = s;

	*to++ = '\'';
	for (; *value != '\0'; value++) {
		if (*value == '\'')
			*to++ = '\'';
		*to++ = *value;
	}
	*to++ = '\'';
	*to = '\0';
	return s;
}
