#include "proxy/backend/custom_names.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

bool custom_name(const char *name)
{
	return strchr(name, '.') != NULL;
}

bool custom_name_byte(uint8_t c)
{
	return isalnum(c) || c == '_' || c == '$' || c == '.' || c >= 0x80;
}

bool custom_name_next(struct span text, size_t *at, char out[CUSTOM_NAME_MAX + 1], uint8_t *before_r)
{
	for (size_t i = *at; i < text.n;) {
		size_t from = i, dots = 0;

		while (i < text.n && custom_name_byte(text.p[i]))
			dots += text.p[i++] == '.';
		if (dots > 0 && i - from <= CUSTOM_NAME_MAX && text.p[from] != '.' && text.p[i - 1] != '.' &&
		    !isdigit(text.p[from])) {
			*before_r = from > 0 ? text.p[from - 1] : 0;
			memcpy(out, text.p + from, i - from);
			out[i - from] = '\0';
			*at = i;
			return true;
		}
		i += i == from;
	}
	*at = text.n;
	return false;
}

bool custom_name_mentioned(struct span text, const char *word, size_t n)
{
	for (size_t i = 0; n > 0 && i + n <= text.n; i++)
		if ((text.p[i] | 0x20) == ((uint8_t)word[0] | 0x20) &&
		    strncasecmp((const char *)text.p + i, word, n) == 0 &&
		    (i == 0 || !custom_name_byte(text.p[i - 1]) || text.p[i - 1] == '.') &&
		    (i + n == text.n || !custom_name_byte(text.p[i + n]) || text.p[i + n] == '.'))
			return true;
	return false;
}

bool custom_name_of(const char *name, const char *words)
{
	size_t n = strcspn(name, ".");

	if (name[n] == '\0')
		return false;
	for (const char *word = words; *word != '\0';) {
		size_t size = strcspn(word, " ");

		if (size == n && strncasecmp(word, name, n) == 0)
			return true;
		word += size + (word[size] == ' ');
	}
	return false;
}
