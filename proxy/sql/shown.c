/* shown.c - whose rows the answer of a statement shows, so that it depends on these rows alone.
 *
 * Shown: an entry T of the outermost SELECT whose primary key is in the answer, when taking away a row of T that is not in the answer
 * leaves the answer as it is. Without grouping, DISTINCT, OFFSET, window functions and set operations every row of the answer
 * comes from one combination of rows, and taking a row away takes its combinations away, which are not in the answer. It can only
 * bring new ones when T can be missing in an outer join: then a row of the other side would appear with NULLs. But if nothing
 * outside of that join looks at its nullable side, that row of the other side has the same fate with T's row and without it; and
 * there must be nothing behind the join that can drop it: no LIMIT, no lateral sub-select, no set-returning function (any function
 * counts as one). `cut` says that there is. */
#include "proxy/sql/analysis.h"

#include "protocol/datum.h"

struct mention {
	const struct level *level;
	size_t from, to;
	bool found;
};

static bool names_entry(const struct mention *m, const PgQuery__ColumnRef *ref)
{
	struct span first = tree_string(ref->fields[0]), second;
	struct column column;

	for (size_t i = m->from; i < m->to; i++) {
		const struct entry *entry = &m->level->entries[i];
		struct level one = {.entries = m->level->entries + i, .count = 1};

		if (first.n == 0)
			return true; /* `*` */
		if (ref->n_fields == 1) {
			if (expr_level_column(&one, first, &column))
				return true;
			continue;
		}
		second = tree_string(ref->fields[1]);
		if (span_eq(entry->alias, first) || (ref->n_fields > 2 && span_eq(entry->alias, second)))
			return true;
	}
	return false;
}

/* By name, whatever sub-select it stands in: rather once too often. */
static enum tree_step see_mention(const ProtobufCMessage *msg, void *arg)
{
	struct mention *m = arg;

	if (tree_is(msg, column_ref) && names_entry(m, (const PgQuery__ColumnRef *)(const void *)msg))
		m->found = true;
	return m->found ? TREE_STOP : TREE_ON;
}

/* Does a condition outside of the outer join look at its nullable side? */
static bool looked_at(const struct level *level, const struct qual *quals, const struct outer *outer)
{
	struct mention m = {.level = level, .from = outer->from, .to = outer->to};

	for (const struct qual *q = quals; q != NULL && !m.found; q = q->next) {
		bool inside = q->seen_from >= outer->from && q->seen_to <= outer->to && q->is_join;

		if (q->node != NULL && q->node != outer->on && !inside)
			(void)tree_walk(&q->node->base, see_mention, &m);
	}
	return m.found;
}

static void show(struct rel_read *read, const struct catalog_relation *rel, const struct outputs *outputs)
{
	uint16_t place[READS_KEY_MAX];

	if (rel->nkey == 0 || rel->nkey > READS_KEY_MAX)
		return;
	for (unsigned i = 0; i < rel->nkey; i++) {
		const struct catalog_column *column = catalog_column_at(rel, rel->key[i]);
		size_t k = 0;

		while (k < outputs->count &&
		       !(outputs->columns[k].read == read && outputs->columns[k].attnum == rel->key[i]))
			k++;
		if (k == outputs->count || k > UINT16_MAX || column == NULL || !column->builtin_type ||
		    !column->plain_equality || !datum_known(column->type_oid))
			return;
		place[i] = (uint16_t)k;
		read->shown_type[i] = column->type_oid;
	}
	memcpy(read->shown_at, place, sizeof(place));
	memcpy(read->shown_key, rel->key, rel->nkey * sizeof(rel->key[0]));
	read->nshown = rel->nkey;
}

void predicates_shown(const struct level *level, const struct qual *quals, const struct outer *outers,
		      bool cut, const struct outputs *outputs)
{
	for (size_t i = 0; i < level->count; i++) {
		const struct entry *entry = &level->entries[i];
		bool lost = entry->read == NULL || !entry->read->predicate;

		for (const struct outer *o = outers; o != NULL && !lost; o = o->next)
			if (i >= o->from && i < o->to)
				lost = cut || looked_at(level, quals, o);
		if (!lost)
			show(entry->read, entry->rel, outputs);
	}
}
