/* text.h - the memory of one configuration: many small strings that live and die together.
 * Source  none.
 * Shape   a chain of blocks; nothing is given back before all of it is.
 * Owner   text_pool_free(); the bytes are wiped first, for there may be secrets among them.
 * Thread  one at a time.
 * Errors  memory that is gone aborts: the sum is bounded by TEXT_FILE_MAX a file. */
#ifndef CONFIG_TEXT_H
#define CONFIG_TEXT_H

#include "proxy/base/err.h"

#include <stddef.h>

#define TEXT_FILE_MAX (16u << 20)

struct text_pool;

struct text_pool *text_pool_new(void);
void text_pool_free(struct text_pool **pool);

/* Zeroed, aligned for any type. */
void *text_alloc(struct text_pool *pool, size_t n);
char *text_dup(struct text_pool *pool, const char *p, size_t n);
char *text_dup_str(struct text_pool *pool, const char *s);
char *text_printf(struct text_pool *pool, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* A whole file into *text_r, with a NUL behind its *n_r bytes. */
int text_read(struct text_pool *pool, const char *path, char **text_r, size_t *n_r, struct err *err);

/* Position of the first byte that no text file of ours may hold (NUL and control bytes except white
 * space), or n; *line_r is its line, counted from 1. */
size_t text_bad_byte(const char *text, size_t n, int *line_r);

/* The word of a list (ends with NULL) nearest to s by edit distance, or NULL when none is near. */
const char *text_nearest(const char *s, const char *const *words);

#endif
