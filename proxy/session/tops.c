#include "proxy/session/tops.h"

#include <stdio.h>
#include <string.h>

/* The text with `?` for its literals. */
static void write_shape(struct span text, struct buf *out)
{
	struct literals literals;

	if (!literals_scan(text, &literals, out)) {
		buf_clear(out);
		/* None at all, or some that cannot be told apart from the rest: then only a text without quotes and digits is shown. */
		for (size_t i = 0; i < text.n; i++)
			if (text.p[i] == '\'' ||
			    (text.p[i] >= '0' && text.p[i] <= '9' && (i == 0 || text.p[i - 1] != '$'))) {
				buf_add_span(out, span_str("(literals)"));
				return;
			}
		buf_add_span(out, text);
		return;
	}
	/* A literal stands there as two bytes: 1 and its kind. */
	for (size_t from = 0, to = 0;; from++, to++) {
		if (from >= out->len) {
			out->len = to;
			return;
		}
		if (out->p[from] == 1 && from + 1 < out->len)
			out->p[to] = '?', from++;
		else
			out->p[to] = out->p[from];
	}
}

/* Written to `shape` only when it has to be. */
static uint64_t shape_id(struct stmt *stmt, struct buf *shape)
{
	uint64_t *id = stmt_shape_id(stmt);

	if (*id == 0) {
		write_shape(stmt->text, shape);
		*id = toplist_group(buf_span(shape)) | 1;
	}
	return *id;
}

uint64_t tops_statement(struct house *h, const struct served *served, struct stmt *stmt,
			enum toplist_kind kind)
{
	struct buf shape;
	uint64_t id;

	buf_init(&shape, FACTS_SHAPE_MAX);
	id = toplist_id(served->group, shape_id(stmt, &shape));
	if (!toplist_count(h->statements, id, kind)) {
		if (shape.len == 0)
			write_shape(stmt->text, &shape);
		toplist_name(h->statements, id, span_str(served->database), buf_span(&shape));
	}
	buf_free(&shape);
	return id;
}

void tops_again(struct house *h, uint64_t id, enum toplist_kind kind)
{
	(void)toplist_count(h->statements, id, kind);
}

void tops_relations(struct house *h, const struct served *served, const uint32_t *relids, unsigned n,
		    enum toplist_kind kind)
{
	for (unsigned i = 0; i < n; i++) {
		uint64_t id = toplist_id(served->group, relids[i]);
		const struct catalog_relation *rel;
		char name[256];

		if (toplist_count(h->relations, id, kind))
			continue;
		rel = served->catalog != NULL ? catalog_find_oid(served->catalog, relids[i]) : NULL;
		if (rel == NULL)
			continue;
		snprintf(name, sizeof name, "%s.%s", rel->schema, rel->name);
		toplist_name(h->relations, id, span_str(served->database), span_str(name));
	}
}
