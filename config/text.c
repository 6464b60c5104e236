#include "config/text.h"

#include "proxy/base/check.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_MIN 4096
#define WORD_MAX 64

struct block {
	struct block *next;
	size_t size;
	size_t used;
	_Alignas(max_align_t) unsigned char bytes[];
};

struct text_pool {
	struct block *blocks;
};

struct text_pool *text_pool_new(void)
{
	return check_alloc(sizeof(struct text_pool));
}

void text_pool_free(struct text_pool **pool)
{
	struct block *b;

	if (*pool == NULL)
		return;
	while ((b = (*pool)->blocks) != NULL) {
		(*pool)->blocks = b->next;
		explicit_bzero(b->bytes, b->size);
		free(b);
	}
	free(*pool);
	*pool = NULL;
}

void *text_alloc(struct text_pool *pool, size_t n)
{
	struct block *b = pool->blocks;
	size_t need = (n + _Alignof(max_align_t) - 1) & ~(_Alignof(max_align_t) - 1);
	void *p;

	if (b == NULL || b->size - b->used < need) {
		size_t size = need > BLOCK_MIN ? need : BLOCK_MIN;

		b = check_alloc(sizeof *b + size);
		b->size = size;
		b->next = pool->blocks;
		pool->blocks = b;
	}
	p = b->bytes + b->used;
	b->used += need;
	return p;
}

char *text_dup(struct text_pool *pool, const char *p, size_t n)
{
	char *s = text_alloc(pool, n + 1);

	if (n > 0)
		memcpy(s, p, n);
	return s;
}

char *text_dup_str(struct text_pool *pool, const char *s)
{
	return text_dup(pool, s, strlen(s));
}

char *text_printf(struct text_pool *pool, const char *fmt, ...)
{
	va_list ap;
	char *s;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	check(n >= 0);
	s = text_alloc(pool, (size_t)n + 1);
	va_start(ap, fmt);
	vsnprintf(s, (size_t)n + 1, fmt, ap);
	va_end(ap);
	return s;
}

int text_read(struct text_pool *pool, const char *path, char **text_r, size_t *n_r, struct err *err)
{
	FILE *f = fopen(path, "re");
	char *text = NULL, *more;
	size_t n = 0, size = 0, got;
	int rc = -1;

	if (f == NULL)
		return err_set(err, "cannot open %s: %s", path, strerror(errno));
	do {
		if (size - n < 2) {
			size = size ? size * 2 : 8192;
			more = realloc(text, size);
			if (more == NULL) {
				err_set(err, "no memory for %s", path);
				goto out;
			}
			text = more;
		}
		got = fread(text + n, 1, size - n - 1, f);
		n += got;
		if (n > TEXT_FILE_MAX) {
			err_set(err, "%s is longer than %u bytes", path, TEXT_FILE_MAX);
			goto out;
		}
	} while (got > 0);
	if (ferror(f)) {
		err_set(err, "cannot read %s: %s", path, strerror(errno));
		goto out;
	}
	*text_r = text_dup(pool, text, n);
	*n_r = n;
	rc = 0;
out:
	if (text != NULL)
		explicit_bzero(text, n);
	free(text);
	fclose(f);
	return rc;
}

size_t text_bad_byte(const char *text, size_t n, int *line_r)
{
	int line = 1;
	size_t i;

	for (i = 0; i < n; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c == '\n')
			line++;
		else if ((c < ' ' && strchr("\t\r\f\v", c) == NULL) || c == 0 || c == 0x7f)
			break;
	}
	*line_r = line;
	return i;
}

/* Levenshtein's distance; words longer than WORD_MAX count as far away. */
static size_t distance(const char *a, const char *b)
{
	size_t row[WORD_MAX + 1], na = strlen(a), nb = strlen(b);

	if (na > WORD_MAX || nb > WORD_MAX)
		return SIZE_MAX;
	for (size_t j = 0; j <= nb; j++)
		row[j] = j;
	for (size_t i = 1; i <= na; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= nb; j++) {
			size_t best = diagonal + (a[i - 1] != b[j - 1]);

			diagonal = row[j];
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
		}
	}
	return row[nb];
}

const char *text_nearest(const char *s, const char *const *words)
{
	const char *nearest = NULL;
	size_t best = (strlen(s) + 1) / 2;

	for (; *words != NULL; words++) {
		size_t d = distance(s, *words);

		if (d < best || (d == best && nearest == NULL)) {
			best = d;
			nearest = *words;
		}
	}
	return nearest;
}
