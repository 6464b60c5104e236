/* predicates.c - which values the conditions of a statement fix for the tables that it reads.
 *
 * A condition narrows an entry of FROM when rows of the entry that do not fulfil it cannot matter: WHERE narrows all, ON (or USING) of
 * an inner join both sides, of a left join its right side. Where conditions say column = value, rows with another value there do
 * not matter: take them away from the entry, and the answer is what it was, whatever else the database holds.
 *
 * Carried over T.y = S.x: let the condition C narrow T and have that equality, and let S.x = c stand in C itself or be so already that
 * rows of S with another value do not matter. A row of T with y <> c passes C only together with rows of S with x <> c. With S.x = c
 * in C it never passes; else take those rows of S away, which changes nothing, and nothing is left that it passes with. So rows of T
 * with y <> c do not matter either, and the same argument goes on from T.
 *
 * The same into a sub-select, in FROM (LATERAL), in a condition or in the list: S may be an entry of a SELECT around T's. Take the
 * rows of S with x <> c away, which changes nothing of the whole; for all that are left, rows of T with y <> c do not pass C.
 * And out of a sub-select in FROM, or a CTE: a column of it that is a column of a table as it is has the value c, or is NULL, where
 * rows of the table with another value do not matter.  NULL equals nothing, so it passes no C.
 * The columns of set operations are no table's. */
#include "proxy/sql/analysis.h"

#include "protocol/datum.h"

#define FIXES_MAX 64u
#define LINKS_MAX 64u

/* A column of an entry of FROM. `column` tells it apart from the others of the entry; `base` is the table's. */
struct spot {
	struct finding *of;
	size_t entry;
	const void *column;
	const struct catalog_column *base;
	const struct rel_read *read;
};

/* Rows of `entry` with other values in the column do not matter where `qual` counts. */
struct fix {
	size_t entry;
	const void *column;
	struct key_column values;
	const struct qual *qual; /* NULL: it was carried there, and narrows */
};

struct link {
	struct spot spot[2];
	const struct qual *qual;
};

struct finding { /* of one SELECT */
	struct selecting *s;
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

/* ---- columns ---- */

static bool plain(const struct catalog_column *column)
{
	return column != NULL && column->builtin_type && column->plain_equality &&
	       datum_known(column->type_oid);
}

static bool derived_spot(struct finding *f, const struct outputs *derived, struct span name,
			 struct spot *spot_r)
{
	for (size_t i = 0; i < derived->count; i++) {
		const struct column *column = &derived->columns[i];
		const struct catalog_relation *rel;

		if (!span_eq(column->name, name))
			continue;
		if (column->read == NULL)
			return false;
		rel = catalog_find_oid(f->s->a->catalog, column->read->relid);
		spot_r->column = column;
		spot_r->base = rel == NULL ? NULL : catalog_column_at(rel, column->attnum);
		spot_r->read = column->read;
		return plain(spot_r->base);
	}
	return false;
}

/* That column of that entry, when it is a table's as it is, of a type that is compared by its bytes. */
static bool entry_spot(struct finding *f, size_t at, struct span name, struct spot *spot_r)
{
	const struct entry *entry = &f->s->level.entries[at];

	*spot_r = (struct spot){.of = f, .entry = at};
	if (entry->rel == NULL)
		return derived_spot(f, entry->derived, name, spot_r);
	spot_r->base = catalog_column(entry->rel, name);
	spot_r->column = spot_r->base;
	spot_r->read = entry->read;
	return plain(spot_r->base);
}

/* What the node means to a condition of this SELECT: a column of it, or of a SELECT around it. */
static bool node_spot(struct finding *f, const struct qual *qual, const PgQuery__Node *node,
		      struct spot *spot_r)
{
	struct analysis *a = f->s->a;
	struct scope own = {
		.level = &f->s->level, .from = qual->seen_from, .to = qual->seen_to, .parent = f->s->parent};
	enum reason before = a->reason;
	const struct entry *found = NULL;
	const PgQuery__ColumnRef *ref;
	struct column meaning;

	if (node == NULL || node->node_case != PG_QUERY__NODE__NODE_COLUMN_REF)
		return false;
	ref = node->column_ref;
	if (!expr_column(a, &own, ref, &meaning, &found)) {
		a->reason = before;
		return false;
	}
	for (const struct scope *scope = &own; scope != NULL && found != NULL; scope = scope->parent) {
		const struct level *level = scope->level;

		if (level->finding != NULL && found >= level->entries &&
		    found < level->entries + level->count)
			return entry_spot(level->finding, (size_t)(found - level->entries),
					  tree_string(ref->fields[ref->n_fields - 1]), spot_r);
	}
	return false;
}

static bool same_spot(const struct spot *one, const struct spot *other)
{
	return one->of == other->of && one->entry == other->entry && one->column == other->column;
}

/* ---- what conditions say ---- */

static void add_fix(struct finding *f, struct fix fix)
{
	if (f->nfixes < FIXES_MAX)
		f->fix[f->nfixes++] = fix;
}

static void add_link(struct finding *f, const struct qual *qual, const struct spot *left,
		     const struct spot *right)
{
	if (f->nlinks < LINKS_MAX && !same_spot(left, right) && (left->of == f || right->of == f) &&
	    keys_same_family(left->base->type_oid, right->base->type_oid))
		f->link[f->nlinks++] = (struct link){.spot = {*left, *right}, .qual = qual};
}

static void see_equality(struct finding *f, const struct qual *qual, const PgQuery__AExpr *expr)
{
	const PgQuery__Node *sides[2] = {expr->lexpr, expr->rexpr};
	struct spot spot[2];
	bool found[2];

	for (int i = 0; i < 2; i++)
		found[i] = node_spot(f, qual, sides[i], &spot[i]);
	if (found[0] && found[1]) {
		if (expr->kind == PG_QUERY__A__EXPR__KIND__AEXPR_OP)
			add_link(f, qual, &spot[0], &spot[1]);
		return;
	}
	for (int i = 0; i < 2; i++) {
		struct fix fix = {.entry = spot[i].entry, .column = spot[i].column, .qual = qual};

		if (!found[i] || spot[i].of != f ||
		    (i == 1 && expr->kind != PG_QUERY__A__EXPR__KIND__AEXPR_OP))
			continue;
		if (keys_values(f->s->a, spot[i].base->type_oid, expr->kind, sides[1 - i], &fix.values))
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

static void see_merged(struct finding *f)
{
	struct spot left, right;

	for (const struct merged *m = f->s->level.merged; m != NULL; m = m->next)
		if (m->left != NO_ENTRY && m->right != NO_ENTRY && entry_spot(f, m->left, m->name, &left) &&
		    entry_spot(f, m->right, m->name, &right))
			add_link(f, m->qual, &left, &right);
}

/* ---- carrying ---- */

/* What is known of rows that matter: the values of the column, of several the fewest. `where` NULL: anywhere. */
static const struct fix *best_fix(const struct finding *f, size_t entry, const void *column,
				  const struct qual *where)
{
	const struct fix *best = NULL;

	for (unsigned i = 0; i < f->nfixes; i++) {
		const struct fix *fix = &f->fix[i];

		if (fix->entry == entry && fix->column == column && fixed_for(fix, where) &&
		    (best == NULL || fix->values.nsources < best->values.nsources))
			best = fix;
	}
	return best;
}

/* The same of the table that a sub-select's column comes from. */
static const struct fix *base_fix(const struct spot *spot)
{
	for (const struct selecting *s = spot->of->s->a->selects; s != NULL; s = s->next)
		for (size_t i = 0; i < s->level.count; i++)
			if (s->level.entries[i].read == spot->read)
				return best_fix(s->level.finding, i, spot->base, NULL);
	return NULL;
}

static const struct fix *known_of(const struct finding *f, const struct spot *spot, const struct qual *where)
{
	const struct fix *own = best_fix(spot->of, spot->entry, spot->column, spot->of == f ? where : NULL);

	return own != NULL || spot->column == (const void *)spot->base ? own : base_fix(spot);
}

/* One equality in one direction: true when something new came of it. */
static bool carry(struct finding *f, const struct link *link, int to)
{
	const struct spot *target = &link->spot[to];
	const struct fix *fix;

	if (target->of != f || !narrows(link->qual, target->entry) || f->nfixes == FIXES_MAX ||
	    best_fix(f, target->entry, target->column, NULL) != NULL)
		return false;
	fix = known_of(f, &link->spot[1 - to], link->qual);
	if (fix == NULL)
		return false;
	add_fix(f, (struct fix){.entry = target->entry, .column = target->column, .values = fix->values});
	return true;
}

static void carry_all(const struct analysis *a)
{
	for (bool more = true; more;) {
		more = false;
		for (const struct selecting *s = a->selects; s != NULL; s = s->next) {
			struct finding *f = s->level.finding;

			for (unsigned i = 0; i < f->nlinks; i++) {
				more |= carry(f, &f->link[i], 0);
				more |= carry(f, &f->link[i], 1);
			}
		}
	}
}

/* ---- what an entry depends on ---- */

static bool choose(struct finding *f, struct rel_read *read, const struct fix *const *fixes,
		   const struct catalog_column *const *of, unsigned n)
{
	struct key_choice *choice = arena_zero(f->s->a->mem, sizeof(*choice));
	struct key_column *columns = arena_zero(f->s->a->mem, n * sizeof(*columns));

	if (choice == NULL || columns == NULL)
		return false;
	for (unsigned i = 0; i < n; i++) {
		read->key[i] = of[i]->attnum;
		columns[i] = fixes[i]->values;
	}
	read->nkey = (uint16_t)n;
	choice->columns = columns;
	read->choices = choice;
	return true;
}

static bool choose_row(struct finding *f, size_t entry, struct rel_read *read, bool *done_r)
{
	const struct catalog_relation *rel = f->s->level.entries[entry].rel;
	const struct catalog_column *of[READS_KEY_MAX];
	const struct fix *fixes[READS_KEY_MAX];

	*done_r = false;
	if (rel->nkey == 0 || rel->nkey > READS_KEY_MAX)
		return true;
	for (unsigned i = 0; i < rel->nkey; i++) {
		of[i] = catalog_column_at(rel, rel->key[i]);
		fixes[i] = of[i] == NULL ? NULL : best_fix(f, entry, of[i], NULL);
		if (fixes[i] == NULL)
			return true;
	}
	*done_r = true;
	return choose(f, read, fixes, of, rel->nkey);
}

/* The columns of the predicate in rising order; those that leave most values go when there are too many. */
static bool choose_columns(struct finding *f, size_t entry, struct rel_read *read)
{
	const struct catalog_relation *rel = f->s->level.entries[entry].rel;
	const struct catalog_column *of[SIGNATURE_COLUMNS + 1];
	const struct fix *fixes[SIGNATURE_COLUMNS + 1];
	unsigned n = 0;

	for (unsigned i = 0; i < rel->ncolumns; i++) {
		const struct fix *fix = best_fix(f, entry, &rel->columns[i], NULL);
		unsigned worst = 0;

		if (fix == NULL)
			continue;
		of[n] = &rel->columns[i];
		fixes[n++] = fix;
		if (n <= SIGNATURE_COLUMNS)
			continue;
		for (unsigned k = 1; k < n; k++)
			if (fixes[k]->values.nsources > fixes[worst]->values.nsources)
				worst = k;
		memmove(&fixes[worst], &fixes[worst + 1], (n - worst - 1) * sizeof(fixes[0]));
		memmove(&of[worst], &of[worst + 1], (n - worst - 1) * sizeof(of[0]));
		n--;
	}
	if (n == 0)
		return true;
	read->predicate = true;
	return choose(f, read, fixes, of, n);
}

static bool choose_all(struct finding *f)
{
	const struct level *level = &f->s->level;

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

bool predicates_find(struct analysis *a)
{
	for (struct selecting *s = a->selects; s != NULL; s = s->next) {
		s->level.finding = arena_zero(a->mem, sizeof(*s->level.finding));
		if (s->level.finding == NULL)
			return false;
		s->level.finding->s = s;
	}
	for (struct selecting *s = a->selects; s != NULL; s = s->next) {
		for (const struct qual *q = s->quals; q != NULL; q = q->next)
			see(s->level.finding, q, q->node);
		see_merged(s->level.finding);
	}
	carry_all(a);
	for (struct selecting *s = a->selects; s != NULL; s = s->next) {
		if (!choose_all(s->level.finding))
			return false;
		if (s->shows)
			predicates_shown(&s->level, s->quals, s->outers, s->cut, s->outputs);
	}
	return true;
}
