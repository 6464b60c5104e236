/* predicates.c - which values the conditions of one SELECT fix, and whose rows its answer shows.
 *
 * A condition narrows an entry of FROM when rows of the entry that do not fulfil it cannot matter: WHERE narrows all, ON of an inner
 * join both sides, ON of a left join its right side. Where conditions say column = value, rows with another value there do not
 * matter.
 *
 * Carried over T.y = S.x: let the condition C narrow T and have that equality, and let S.x = c stand in C itself or in a condition
 * that narrows S. A row of T with y <> c passes C only together with rows of S with x <> c. With S.x = c in C it never passes; else
 * what it is combined with falls to the other condition, before or after, whether the row is there or not. So rows of T with
 * y <> c do not matter either, and the same argument goes on from T.
 *
 * Shown: an entry T of the outermost SELECT whose primary key is in the answer, when taking away a row of T that is not in the answer
 * leaves the answer as it is. Without grouping, DISTINCT, OFFSET, window functions and set operations every row of the answer
 * comes from one combination of rows, and taking a row away takes its combinations away, which are not in the answer. It can only
 * bring new ones when T can be missing in an outer join: then a row of the other side would appear with NULLs. But if nothing
 * outside of that join looks at its nullable side, that row of the other side has the same fate with T's row and without it; and
 * there must be nothing behind the join that can drop it: no LIMIT, no lateral sub-select, no set-returning function (any function
 * counts as one). `cut` says that there is; a client may also cut an answer off with Execute's row limit (shown_uncut). */
#include "proxy/sql/analysis.h"

#include "protocol/datum.h"

#define FIXES_MAX 64u
#define LINKS_MAX 64u

/* Rows of `entry` with other values in the column do not matter where `qual` counts. */
struct fix {
	size_t entry;
	const struct catalog_column *column;
	struct key_column values;
	const struct qual *qual; /* NULL: it was carried there, and narrows */
};

struct link {
	size_t entry[2];
	const struct catalog_column *column[2];
	const struct qual *qual;
};

struct finding {
	struct analysis *a;
	struct level *level;
	const struct scope *parent;
	struct fix fix[FIXES_MAX];
	unsigned nfixes;
	struct link link[LINKS_MAX];
	unsigned nlinks;
};

static bool narrows(const struct qual *qual, size_t entry)
{
	return entry >= qual->from && entry < qual->to;
}

static bool fixed_for(const struct fix *fix, const struct qual *where)
{
	return fix->qual == NULL || fix->qual == where || narrows(fix->qual, fix->entry);
}

/* A column of a table of this level, of a type that is compared by its bytes. */
static const struct catalog_column *plain_column(struct finding *f, const struct qual *qual,
						 const PgQuery__Node *node, size_t *entry_r)
{
	struct scope scope = {
		.level = f->level, .from = qual->seen_from, .to = qual->seen_to, .parent = f->parent};
	enum reason before = f->a->reason;
	const struct entry *found = NULL;
	const struct catalog_column *column;
	struct column meaning;

	if (node == NULL || node->node_case != PG_QUERY__NODE__NODE_COLUMN_REF)
		return NULL;
	if (!expr_column(f->a, &scope, node->column_ref, &meaning, &found)) {
		f->a->reason = before;
		return NULL;
	}
	if (found == NULL || found->rel == NULL || found < f->level->entries ||
	    found >= f->level->entries + f->level->count)
		return NULL;
	column = catalog_column(found->rel, meaning.name);
	*entry_r = (size_t)(found - f->level->entries);
	return column != NULL && column->builtin_type && column->plain_equality &&
			       datum_known(column->type_oid)
		       ? column
		       : NULL;
}

static void add_fix(struct finding *f, struct fix fix)
{
	if (f->nfixes < FIXES_MAX)
		f->fix[f->nfixes++] = fix;
}

static void see_equality(struct finding *f, const struct qual *qual, const PgQuery__AExpr *expr)
{
	struct link link = {.qual = qual};
	struct fix fix = {.qual = qual};
	const PgQuery__Node *sides[2] = {expr->lexpr, expr->rexpr};

	for (int i = 0; i < 2; i++)
		link.column[i] = plain_column(f, qual, sides[i], &link.entry[i]);
	if (link.column[0] != NULL && link.column[1] != NULL) {
		if (expr->kind == PG_QUERY__A__EXPR__KIND__AEXPR_OP && f->nlinks < LINKS_MAX &&
		    keys_same_family(link.column[0]->type_oid, link.column[1]->type_oid))
			f->link[f->nlinks++] = link;
		return;
	}
	for (int i = 0; i < 2; i++) {
		if (link.column[i] == NULL || (i == 1 && expr->kind != PG_QUERY__A__EXPR__KIND__AEXPR_OP))
			continue;
		fix.entry = link.entry[i];
		fix.column = link.column[i];
		if (keys_values(f->a, fix.column->type_oid, expr->kind, sides[1 - i], &fix.values))
			add_fix(f, fix);
	}
}

static void see(struct finding *f, const struct qual *qual, const PgQuery__Node *node)
{
	if (node == NULL)
		return;
	if (node->node_case == PG_QUERY__NODE__NODE_A_EXPR) {
		if (span_eq(tree_catalog_name(node->a_expr->name, node->a_expr->n_name), span_str("=")))
			see_equality(f, qual, node->a_expr);
	} else if (node->node_case == PG_QUERY__NODE__NODE_BOOL_EXPR &&
		   node->bool_expr->boolop == PG_QUERY__BOOL_EXPR_TYPE__AND_EXPR) {
		for (size_t i = 0; i < node->bool_expr->n_args; i++)
			see(f, qual, node->bool_expr->args[i]);
	}
}

static bool known(const struct finding *f, size_t entry, const struct catalog_column *column)
{
	for (unsigned i = 0; i < f->nfixes; i++)
		if (f->fix[i].entry == entry && f->fix[i].column == column &&
		    (f->fix[i].qual == NULL || narrows(f->fix[i].qual, entry)))
			return true;
	return false;
}

/* One equality in one direction: true when something new came of it. */
static bool carry(struct finding *f, const struct link *link, int to)
{
	size_t target = link->entry[to], source = link->entry[1 - to];

	if (!narrows(link->qual, target) || known(f, target, link->column[to]))
		return false;
	for (unsigned i = 0; i < f->nfixes && f->nfixes < FIXES_MAX; i++) {
		const struct fix *fix = &f->fix[i];

		if (fix->entry != source || fix->column != link->column[1 - to] ||
		    !fixed_for(fix, link->qual))
			continue;
		add_fix(f, (struct fix){.entry = target, .column = link->column[to], .values = fix->values});
		return true;
	}
	return false;
}

static void carry_all(struct finding *f)
{
	for (bool more = true; more;) {
		more = false;
		for (unsigned i = 0; i < f->nlinks; i++) {
			more |= carry(f, &f->link[i], 0);
			more |= carry(f, &f->link[i], 1);
		}
	}
}

/* ---- what an entry depends on ---- */

/* The fix of that column with the fewest values. */
static const struct fix *best_fix(const struct finding *f, size_t entry, const struct catalog_column *column)
{
	const struct fix *best = NULL;

	for (unsigned i = 0; i < f->nfixes; i++) {
		const struct fix *fix = &f->fix[i];

		if (fix->entry == entry && fix->column == column &&
		    (fix->qual == NULL || narrows(fix->qual, entry)) &&
		    (best == NULL || fix->values.nsources < best->values.nsources))
			best = fix;
	}
	return best;
}

static bool choose(struct finding *f, struct rel_read *read, const struct fix *const *fixes, unsigned n)
{
	struct key_choice *choice = arena_zero(f->a->mem, sizeof(*choice));
	struct key_column *columns = arena_zero(f->a->mem, n * sizeof(*columns));

	if (choice == NULL || columns == NULL)
		return false;
	for (unsigned i = 0; i < n; i++) {
		read->key[i] = fixes[i]->column->attnum;
		columns[i] = fixes[i]->values;
	}
	read->nkey = (uint16_t)n;
	choice->columns = columns;
	read->choices = choice;
	return true;
}

static bool choose_row(struct finding *f, size_t entry, struct rel_read *read, bool *done_r)
{
	const struct catalog_relation *rel = f->level->entries[entry].rel;
	const struct fix *fixes[READS_KEY_MAX];

	*done_r = false;
	if (rel->nkey == 0 || rel->nkey > READS_KEY_MAX)
		return true;
	for (unsigned i = 0; i < rel->nkey; i++) {
		const struct catalog_column *column = catalog_column_at(rel, rel->key[i]);

		fixes[i] = column == NULL ? NULL : best_fix(f, entry, column);
		if (fixes[i] == NULL)
			return true;
	}
	*done_r = true;
	return choose(f, read, fixes, rel->nkey);
}

/* The columns of the predicate in rising order; those that leave most values go when there are too many. */
static bool choose_columns(struct finding *f, size_t entry, struct rel_read *read)
{
	const struct catalog_relation *rel = f->level->entries[entry].rel;
	const struct fix *fixes[SIGNATURE_COLUMNS + 1];
	unsigned n = 0;

	for (unsigned i = 0; i < rel->ncolumns; i++) {
		const struct fix *fix = best_fix(f, entry, &rel->columns[i]);
		unsigned worst = 0;

		if (fix == NULL)
			continue;
		fixes[n++] = fix;
		if (n <= SIGNATURE_COLUMNS)
			continue;
		for (unsigned k = 1; k < n; k++)
			if (fixes[k]->values.nsources > fixes[worst]->values.nsources)
				worst = k;
		memmove(&fixes[worst], &fixes[worst + 1], (n - worst - 1) * sizeof(fixes[0]));
		n--;
	}
	if (n == 0)
		return true;
	read->predicate = true;
	return choose(f, read, fixes, n);
}

bool predicates_find(struct analysis *a, struct level *level, const struct scope *parent,
		     const struct qual *quals)
{
	struct finding *f = arena_zero(a->mem, sizeof(*f));

	if (f == NULL)
		return false;
	f->a = a;
	f->level = level;
	f->parent = parent;
	for (const struct qual *q = quals; q != NULL; q = q->next)
		see(f, q, q->node);
	carry_all(f);
	for (size_t i = 0; i < level->count; i++) {
		struct rel_read *read = level->entries[i].read;
		bool done;

		if (read == NULL || read->choices != NULL) /* keys.c has found rows, perhaps by OR */
			continue;
		if (!choose_row(f, i, read, &done) || (!done && !choose_columns(f, i, read)))
			return false;
	}
	return true;
}

/* ---- whose rows are shown ---- */

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

		if (q->node != outer->on && !inside)
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
		bool lost = entry->read == NULL || !entry->read->predicate, nullable = false;

		for (const struct outer *o = outers; o != NULL && !lost; o = o->next)
			if (i >= o->from && i < o->to) {
				lost = cut || looked_at(level, quals, o);
				nullable = true;
			}
		if (lost)
			continue;
		show(entry->read, entry->rel, outputs);
		entry->read->shown_uncut = nullable;
	}
}
