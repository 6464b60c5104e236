#include "config/names.h"

#include "proxy/base/check.h"

#include <stdlib.h>
#include <string.h>

/* A file that names itself, by whatever way, would have no end. */
#define DEPTH_MAX 10

struct names {
	struct text_pool *pool;
	const char *from;
	struct fields_item *items; /* owned */
	unsigned count, room;
	unsigned depth;
};

static bool is_file(const struct fields_item *item)
{
	return !item->quoted && item->text[0] == '@' && item->text[1] != '\0';
}

static void add(struct names *names, const struct fields_item *item)
{
	if (names->count == names->room) {
		names->room = names->room != 0 ? names->room * 2 : 16;
		names->items = realloc(names->items, names->room * sizeof *names->items);
		check(names->items != NULL);
	}
	names->items[names->count++] = *item;
}

static int add_file(struct names *names, const char *path, struct err *err);

static int add_list(struct names *names, const struct fields_field *list, struct err *err)
{
	for (unsigned i = 0; i < list->count; i++)
		if (!is_file(&list->items[i]))
			add(names, &list->items[i]);
		else if (add_file(names, list->items[i].text + 1, err) != 0)
			return -1;
	return 0;
}

static int add_line(void *names, const struct fields *line, struct err *err)
{
	for (unsigned i = 0; i < line->count; i++)
		if (add_list(names, &line->fields[i], err) != 0)
			return -1;
	return 0;
}

static const char *beside(struct text_pool *pool, const char *from, const char *path)
{
	const char *slash = strrchr(from, '/');
	size_t n = slash != NULL ? (size_t)(slash - from) + 1 : 0;
	char *whole;

	if (*path == '/')
		return path;
	whole = text_alloc(pool, n + strlen(path) + 1);
	memcpy(whole, from, n);
	strcpy(whole + n, path);
	return whole;
}

static int add_file(struct names *names, const char *path, struct err *err)
{
	const char *from = names->from;
	struct text_pool *pool;
	char *text;
	size_t n;
	int rc;

	if (names->depth == DEPTH_MAX)
		return err_set(err, "@%s: files within files, more than %d deep", path, DEPTH_MAX);
	pool = text_pool_new();
	names->depth++;
	names->from = beside(names->pool, from, path);
	rc = text_read(pool, names->from, &text, &n, err);
	if (rc == 0)
		rc = fields_each(names->pool, text, n, names->from, add_line, names, err);
	names->from = from;
	names->depth--;
	text_pool_free(&pool);
	return rc;
}

int names_expand(struct text_pool *pool, const char *from, struct fields_field *list, struct err *err)
{
	struct names names = {.pool = pool, .from = from};
	bool any = false;
	int rc;

	for (unsigned i = 0; i < list->count; i++)
		any |= is_file(&list->items[i]);
	if (!any)
		return 0;
	rc = add_list(&names, list, err);
	if (rc == 0) {
		list->items = text_alloc(pool, (names.count + 1) * sizeof *list->items);
		list->count = names.count;
		if (names.count > 0)
			memcpy(list->items, names.items, names.count * sizeof *list->items);
	}
	free(names.items);
	return rc;
}
