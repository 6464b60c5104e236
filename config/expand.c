#include "config/expand.h"

#include <stdlib.h>
#include <string.h>

#define FILE_BYTES_MAX 65536u

static const char *read_file(struct text_pool *pool, const char *path, const char *beside, struct err *err)
{
	const char *slash = strrchr(beside, '/');
	char *text;
	size_t n;
	int line;

	if (*path != '/' && slash != NULL)
		path = text_printf(pool, "%.*s/%s", (int)(slash - beside), beside, path);
	if (text_read(pool, path, &text, &n, err) != 0)
		return NULL;
	if (n > 0 && text[n - 1] == '\n')
		n--;
	if (n > 0 && text[n - 1] == '\r')
		n--;
	if (n > FILE_BYTES_MAX || text_bad_byte(text, n, &line) != n || memchr(text, '\n', n) != NULL) {
		err_set(err, "%s is not one line of text", path);
		return NULL;
	}
	return text_dup(pool, text, n);
}

/* `what` is between the braces. */
static const char *expand_one(struct text_pool *pool, const char *what, const char *beside, struct err *err)
{
	const char *value;

	if (strcmp(what, "file:") == 0 || strcmp(what, "env:") == 0) {
		err_set(err, "${%s} names no %s", what, *what == 'f' ? "file" : "variable");
		return NULL;
	}
	if (strncmp(what, "file:", 5) == 0)
		return read_file(pool, what + 5, beside, err);
	if (strncmp(what, "env:", 4) != 0) {
		err_set(err, "${%s}: only ${env:NAME} and ${file:PATH} are known", what);
		return NULL;
	}
	value = getenv(what + 4);
	if (value == NULL)
		err_set(err, "there is no environment variable %s", what + 4);
	return value;
}

int expand_value(struct text_pool *pool, const char *value, const char *beside, const char **value_r,
		 struct err *err)
{
	const char *begin, *end, *put, *out = "";

	while ((begin = strstr(value, "${")) != NULL) {
		end = strchr(begin, '}');
		if (end == NULL)
			return err_set(err, "${ without }");
		put = expand_one(pool, text_dup(pool, begin + 2, (size_t)(end - begin - 2)), beside, err);
		if (put == NULL)
			return -1;
		out = text_printf(pool, "%s%.*s%s", out, (int)(begin - value), value, put);
		value = end + 1;
	}
	*value_r = *out == '\0' ? value : text_printf(pool, "%s%s", out, value);
	return 0;
}
