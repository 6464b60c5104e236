#include "proxy/cache/change.h"

#include <stdlib.h>

/* A transaction over more tables than that is not worth telling apart. */
#define CHANGE_RELATIONS_MAX 1024u

void change_init(struct change *c, size_t max_keys)
{
	*c = (struct change){.max_keys = max_keys};
	buf_init(&c->row_bytes, CHANGE_ROWS_BYTES);
}

void change_free(struct change *c)
{
	free(c->rels);
	free(c->keys);
	buf_free(&c->row_bytes);
	change_init(c, c->max_keys);
}

void change_begin(struct change *c, uint32_t xid)
{
	c->xid = xid;
	c->nrels = 0;
	c->nkeys = 0;
	c->nchanges = 0;
	c->everything = false;
	c->nrows = 0;
	c->rows_off = false;
	buf_clear(&c->row_bytes);
}

/* Room for one more of `size` bytes each; -1 when memory is gone. */
static int grow(void **array, size_t n, size_t *cap, size_t size)
{
	size_t more = *cap == 0 ? 16 : *cap * 2;
	void *bigger;

	if (n < *cap)
		return 0;
	bigger = realloc(*array, more * size);
	if (bigger == NULL)
		return -1;
	*array = bigger;
	*cap = more;
	return 0;
}

/* Rows of one relation come in runs, so the last one is looked at first. */
static struct change_relation *find(struct change *c, uint32_t relid)
{
	for (size_t i = c->nrels; i > 0; i--) {
		if (c->rels[i - 1].relid == relid)
			return &c->rels[i - 1];
	}
	return NULL;
}

void change_relation(struct change *c, uint32_t relid, bool whole)
{
	struct change_relation *rel = find(c, relid);

	if (c->everything)
		return;
	if (rel == NULL) {
		if (c->nrels == CHANGE_RELATIONS_MAX ||
		    grow((void **)&c->rels, c->nrels, &c->caprels, sizeof(*c->rels)) != 0) {
			c->everything = true;
			return;
		}
		rel = &c->rels[c->nrels++];
		*rel = (struct change_relation){.relid = relid};
	}
	rel->whole = rel->whole || whole;
}

void change_gone(struct change *c, uint32_t relid)
{
	struct change_relation *rel = find(c, relid);

	if (rel != NULL)
		rel->gone = true;
}

/* Rows that come together often have the same foreign key: told once, it leaves room. */
static bool told_lately(const struct change *c, uint64_t key)
{
	for (size_t i = c->nkeys; i > 0 && i + 8 > c->nkeys; i--)
		if (c->keys[i - 1] == key)
			return true;
	return false;
}

void change_key(struct change *c, uint32_t relid, uint64_t key)
{
	const struct change_relation *rel = find(c, relid);

	if (c->everything || (rel != NULL && rel->whole) || told_lately(c, key))
		return;
	/* The relation must be listed even when only its key is told. */
	if (c->nkeys >= c->max_keys ||
	    grow((void **)&c->keys, c->nkeys, &c->capkeys, sizeof(*c->keys)) != 0) {
		change_relation(c, relid, true);
		return;
	}
	if (rel == NULL)
		change_relation(c, relid, false);
	if (!c->everything)
		c->keys[c->nkeys++] = key;
}

/* ---- rows that are kept hot ---- */

void change_row_end(struct change *c, uint32_t relid, uint64_t readkey)
{
	for (unsigned i = 0; i < c->nrows; i++)
		if (c->rows[i].relid == relid && c->rows[i].readkey == readkey)
			c->rows[i].ended = true;
}

void change_rows_off(struct change *c)
{
	c->rows_off = true;
	c->nrows = 0;
}

void change_row_add(struct change *c, uint32_t relid, uint64_t readkey, struct span key, struct span values)
{
	size_t at = c->row_bytes.len;

	change_row_end(c, relid, readkey);
	if (c->rows_off)
		return;
	buf_add_span(&c->row_bytes, key);
	buf_add_span(&c->row_bytes, values);
	/* A later version of a row that is here may be the one without room. */
	if (c->nrows == CHANGE_ROWS_MAX || c->row_bytes.failed) {
		change_rows_off(c);
		return;
	}
	c->rows[c->nrows++] = (struct change_row){
		.relid = relid, .readkey = readkey, .at = at, .key_n = key.n, .n = values.n};
}

struct span change_row_key(const struct change *c, const struct change_row *row)
{
	return span_of(c->row_bytes.p + row->at, row->key_n);
}

struct span change_row_values(const struct change *c, const struct change_row *row)
{
	return span_of(c->row_bytes.p + row->at + row->key_n, row->n);
}
