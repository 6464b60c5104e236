/* depends_live.c - random SELECTs on a live server: does an answer ever change by a row it is said not to depend on?
 * Run   PGHOST=.. PGUSER=.. sql-depends-live [rounds [seed]]; makes and drops a schema of its own.
 * Each round makes a statement, notes what reads_keys says, and changes one random row of one table. When the
 * answer's rows differ although the change touches nothing of that, the read set was wrong. What a change touches is what the feed
 * makes of it under the default replica identity: the relation, the row by its old and new key, the new row by every
 * signature, and, unless it was an INSERT, what stands for old rows that are not known. An answer that shows its rows depends on
 * these instead. The analysis is that of another text with other literals. */
#include "protocol/datum.h"
#include "proxy/base/check.h"
#include "proxy/sql/memo.h"
#include "proxy/sql/slots.h"

#include <libpq-fe.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static uint32_t seed = 1;

static unsigned rnd(unsigned below)
{
	seed = seed * 1664525u + 1013904223u;
	return (seed >> 9) % below;
}

/* ---- statements ---- */

struct text {
	char p[8192];
	size_t n;
};

static void put(struct text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void put(struct text *t, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (t->n < sizeof(t->p) - 512)
		t->n += (size_t)vsnprintf(t->p + t->n, 512, fmt, ap);
	va_end(ap);
}

static const char *const tables[] = {"u", "p", "u", "p", "pair"};

/* Columns of a table: its key, and two others. */
static const char *key_of(const char *table)
{
	return strcmp(table, "pair") == 0 ? "k1" : "id";
}

static const char *other_of(const char *table)
{
	return strcmp(table, "pair") == 0 ? (rnd(2) ? "k2" : "k1") : rnd(2) ? "a" : "author";
}

static void put_select(struct text *t, const char *columns, unsigned depth, const char *outer,
		       const char *outer_table);

static void put_condition(struct text *t, const char *alias, const char *table, unsigned depth);

static void put_pair_key(struct text *t, const char *alias)
{
	switch (rnd(4)) {
	case 0: put(t, "%s.k1 = %u and %s.k2 = %u", alias, rnd(3), alias, rnd(3)); break;
	case 1:
		put(t, "%s.k2 in (%u, %u) and %s.k1 = any('{%u,%u}')", alias, rnd(3), rnd(3), alias, rnd(3),
		    rnd(3));
		break;
	case 2:
		put(t, "(%s.k1 = %u and %s.k2 = %u or %s.k2 = %u and %s.k1 = %u)", alias, rnd(3), alias,
		    rnd(3), alias, rnd(3), alias, rnd(3));
		break;
	default:
		put(t, "%s.k1 = %u and (%s.k2 = %u or %s.v = 'v%u')", alias, rnd(3), alias, rnd(3), alias,
		    rnd(3));
		break;
	}
}

static void put_condition(struct text *t, const char *alias, const char *table, unsigned depth)
{
	const char *key = key_of(table), *other = other_of(table);

	if (strcmp(table, "pair") == 0 && rnd(3) > 0) {
		put_pair_key(t, alias);
		return;
	}
	switch (rnd(depth > 0 ? 23 : 19)) {
	case 0:
	case 1: put(t, "%s.%s = %u", alias, key, rnd(9)); break;
	case 2: put(t, "%s.%s in (%u, %u, null)", alias, key, rnd(9), rnd(9)); break;
	case 3: put(t, "%s.%s = any('{%u,%u}')", alias, key, rnd(9), rnd(9)); break;
	case 4: put(t, "%u = %s.%s", rnd(9), alias, key); break;
	case 5: put(t, "%s.%s = any(array[%u,%u]::bigint[])", alias, key, rnd(9), rnd(9)); break;
	case 6: put(t, "%s.%s = %u and %s.%s = %u", alias, key, rnd(9), alias, other, rnd(4)); break;
	case 7: put(t, "%s.%s > %u", alias, other, rnd(4)); break;
	case 8: put(t, "not (%s.%s = %u)", alias, key, rnd(9)); break;
	case 9: put(t, "%s.%s is not null", alias, key); break;
	case 10: put(t, "%s.%s = '%u'::smallint", alias, key, rnd(9)); break;
	case 11:
		put(t, "(");
		put_condition(t, alias, table, 0);
		put(t, " or ");
		put_condition(t, alias, table, 0);
		put(t, ")");
		break;
	case 12:
		put(t, "(");
		put_condition(t, alias, table, 0);
		put(t, ") and (");
		put_condition(t, alias, table, 0);
		put(t, ")");
		break;
	case 13: put(t, "%s.%s between %u and %u", alias, key, rnd(5), 4 + rnd(5)); break;
	case 14:
	case 15: put(t, "%s.%s = %u", alias, other, rnd(4)); break;
	case 16: put(t, "%s.%s in (%u, %u)", alias, other, rnd(4), rnd(4)); break;
	case 17:
		put(t, "%s.%s = any('{%u,NULL,%u}') and %s.v = 'v%u'", alias, other, rnd(4), rnd(4), alias,
		    rnd(3));
		break;
	case 18: put(t, "%s.%s is null", alias, rnd(2) ? key : other); break;
	case 19:
		put(t, "%sexists (", rnd(2) ? "not " : "");
		put_select(t, "1", depth - 1, alias, table);
		put(t, ")");
		break;
	case 20:
		put(t, "%s.%s %sin (", alias, key, rnd(3) ? "" : "not ");
		put_select(t, NULL, depth - 1, rnd(2) ? alias : NULL, table);
		put(t, ")");
		break;
	case 21:
		put(t, "%s.%s >= (select count(*) from (", alias, key);
		put_select(t, NULL, depth - 1, NULL, table);
		put(t, ") x)");
		break;
	default:
		put(t, "%s.%s = (select min(1) from (", alias, key);
		put_select(t, NULL, depth - 1, rnd(2) ? alias : NULL, table);
		put(t, ") x)");
		break;
	}
}

/* USING or NATURAL. */
static void put_merging_join(struct text *t, const char *join, const char **table, char alias[2][8])
{
	bool first = strcmp(table[0], "pair") == 0, second = strcmp(table[1], "pair") == 0;

	if (rnd(4) == 0) {
		put(t, " natural %s %s %s", join, table[1], alias[1]);
		return;
	}
	put(t, " %s %s %s using (", join, table[1], alias[1]);
	if (first != second)
		put(t, "v)");
	else if (first)
		put(t, rnd(2) ? "k1)" : "k2, k1)");
	else
		put(t, rnd(3) ? "id)" : rnd(2) ? "author)" : "a, id)");
}

/* FROM one table or a join of two; gives back the aliases. */
static void put_from(struct text *t, unsigned n, const char **table, char alias[2][8], unsigned depth)
{
	static const char *const joins[] = {"join", "left join", "right join", "full join", "cross join"};
	unsigned join = rnd(5);

	for (unsigned i = 0; i < n; i++)
		snprintf(alias[i], sizeof(alias[i]), "t%u", rnd(1000) + 1000 * i);
	put(t, " from %s %s", table[0], alias[0]);
	if (n < 2)
		return;
	if (rnd(4) == 0) {
		put(t, ", %s %s", table[1], alias[1]);
		return;
	}
	if (rnd(5) == 0) {
		put_merging_join(t, joins[rnd(4)], table, alias);
		return;
	}
	put(t, " %s %s %s", joins[join], table[1], alias[1]);
	if (join == 4)
		return;
	put(t, " on ");
	/* A full join takes only conditions that can be merged or hashed. */
	if (rnd(2))
		put(t, "%s.%s = %s.%s", alias[0], key_of(table[0]), alias[1], other_of(table[1]));
	else
		put(t, "%s.%s = %s.%s", alias[1], rnd(2) ? key_of(table[1]) : other_of(table[1]), alias[0],
		    other_of(table[0]));
	if (join == 3)
		return;
	if (rnd(2)) {
		put(t, " and ");
		put_condition(t, alias[0], table[0], depth > 0 ? depth - 1 : 0);
	}
	if (rnd(2)) {
		put(t, " and ");
		put_condition(t, alias[1], table[1], depth > 0 ? depth - 1 : 0);
	}
}

static void put_where(struct text *t, unsigned n, const char **table, char alias[2][8], unsigned depth,
		      const char *outer, const char *outer_table)
{
	put(t, " where true");
	for (unsigned i = 0; i < n; i++)
		if (rnd(4) > 0) {
			put(t, " and ");
			put_condition(t, alias[i], table[i], depth);
		}
	if (outer != NULL)
		put(t, " and %s.%s = %s.%s", alias[0], other_of(table[0]), outer, key_of(outer_table));
}

/* A sub-select of `columns`, or of one integer column. */
static void put_select(struct text *t, const char *columns, unsigned depth, const char *outer,
		       const char *outer_table)
{
	unsigned n = 1 + (rnd(4) == 0);
	const char *table[2] = {tables[rnd(5)], tables[rnd(5)]};
	char alias[2][8];
	struct text from = {.n = 0};

	put_from(&from, n, table, alias, depth);
	if (columns != NULL)
		put(t, "select %s", columns);
	else
		put(t, "select %s.%s", alias[0], rnd(2) ? key_of(table[0]) : other_of(table[0]));
	put(t, "%s", from.p);
	put_where(t, n, table, alias, depth, outer, outer_table);
}

/* So that there is but one answer. */
static void put_all_columns(struct text *t, const char *alias, const char *table)
{
	if (strcmp(table, "pair") == 0)
		put(t, "%s.k1, %s.k2, %s.v, ", alias, alias, alias);
	else
		put(t, "%s.id, %s.a, %s.author, %s.v, ", alias, alias, alias, alias);
}

/* A sub-select that sees the table before it, as ORMs load what belongs to a row. */
static void put_lateral(struct text *t)
{
	const char *outer = tables[rnd(5)], *inner = tables[rnd(5)];

	put(t, "select o.*, x.* from %s o %s lateral (select ", outer, rnd(2) ? "left join" : "join");
	if (rnd(2))
		put(t, "coalesce(json_agg(i.v order by i.v), '[]') as d from (select * from %s s", inner);
	else
		put(t, "count(*) as d from (select s.%s from %s s", key_of(inner), inner);
	put(t, " where s.%s = o.%s", rnd(2) ? other_of(inner) : key_of(inner),
	    rnd(3) ? key_of(outer) : other_of(outer));
	if (rnd(2)) {
		put(t, " and ");
		put_condition(t, "s", inner, 1);
	}
	put(t, ") i) x on ");
	if (rnd(3) == 0)
		put_condition(t, "o", outer, 0);
	else
		put(t, "true");
	put(t, " where ");
	put_condition(t, "o", outer, 1);
}

/* A sub-select in FROM, or a CTE, and a table that is joined to its columns. */
static void put_derived(struct text *t)
{
	const char *inner = tables[rnd(5)], *outer = tables[rnd(5)];
	bool cte = rnd(2) == 0;

	put(t, cte ? "with c (x, y) as (" : "select * from (");
	if (rnd(3) == 0) {
		const char *other[2] = {inner, tables[rnd(5)]};

		put(t, "select %st0.%s as x, t1.%s as y", rnd(3) ? "" : "distinct ", key_of(other[0]),
		    other_of(other[1]));
		put(t, " from %s t0 left join %s t1 on t1.%s = t0.%s and ", other[0], other[1],
		    other_of(other[1]), key_of(other[0]));
		put_condition(t, "t1", other[1], 0);
		put(t, " where ");
		put_condition(t, "t0", other[0], 0);
	} else {
		put(t, "select t0.%s as x, t0.%s as y from %s t0 where ", key_of(inner), other_of(inner),
		    inner);
		put_condition(t, "t0", inner, 1);
		if (rnd(3) == 0)
			put(t, " order by 1, 2 limit 2");
		else if (rnd(6) == 0)
			put(t, " union select 1, 2");
	}
	put(t, cte ? ") select * from c as d" : ") d");
	put(t, " %s %s o on o.%s = d.%s where true",
	    rnd(3)   ? "left join"
	    : rnd(2) ? "join"
		     : "right join",
	    outer, rnd(2) ? key_of(outer) : other_of(outer), rnd(2) ? "x" : "y");
	if (rnd(2)) {
		put(t, " and ");
		put_condition(t, "o", outer, 1);
	}
	if (rnd(3) == 0)
		put(t, " and d.%s = %u", rnd(2) ? "x" : "y", rnd(5));
}

static void put_recursive(struct text *t)
{
	const char *first = tables[rnd(5)], *next = tables[rnd(5)], *last = tables[rnd(5)];

	put(t, "with recursive r (i) as (select f.%s from %s f where ", key_of(first), first);
	put_condition(t, "f", first, 0);
	put(t, " union select n.%s from %s n join r on n.%s = r.i where ", other_of(next), next,
	    key_of(next));
	put_condition(t, "n", next, 0);
	put(t, ") select * from r left join %s l on l.%s = r.i where ", last, key_of(last));
	put_condition(t, "l", last, 1);
}

static void put_values(struct text *t)
{
	const char *table = tables[rnd(5)];

	put(t, "select * from %s o %s (values (%u, 'v1'), (%u, 'v2')) w (n, v) on o.%s = w.n where ", table,
	    rnd(2) ? "join" : "left join", rnd(9), rnd(9), key_of(table));
	put_condition(t, "o", table, 1);
	if (rnd(2))
		put(t, " and exists (select 1 from %s s where s.%s = w.n and s.%s = o.%s)", table,
		    key_of(table), other_of(table), key_of(table));
}

static void put_statement(struct text *t)
{
	unsigned n = 1 + rnd(2), kind = rnd(12), newer = rnd(10);
	const char *table[2] = {tables[rnd(5)], tables[rnd(5)]};
	char alias[2][8];
	struct text from = {.n = 0};

	t->n = 0;
	switch (newer) {
	case 0:
	case 1: put_lateral(t); return;
	case 2:
	case 3: put_derived(t); return;
	case 4: put_recursive(t); return;
	case 5: put_values(t); return;
	default: break;
	}
	put_from(&from, n, table, alias, 2);
	if (kind == 0) {
		put(t, "with c as (");
		put_select(t, NULL, 1, NULL, NULL);
		put(t, "), d as (select * from c) select * from d, %s x where ", table[0]);
		put_condition(t, "x", table[0], 1);
		return;
	}
	if (kind == 1)
		put(t, "select count(*), max(%s.%s)%s", alias[0], key_of(table[0]), from.p);
	else if (kind == 2)
		put(t, "select distinct %s.%s%s", alias[0], other_of(table[0]), from.p);
	else if (kind == 3)
		put(t, "select %s.*, rank() over (order by %s.%s)%s", alias[0], alias[0], key_of(table[0]),
		    from.p);
	else if (kind == 4) {
		put(t, "select %s.*, (select count(*) from (", alias[0]);
		put_select(t, NULL, 1, alias[0], table[0]);
		put(t, ") s)%s", from.p);
	} else
		put(t, "select *%s", from.p);
	put_where(t, n, table, alias, 2, NULL, NULL);
	if (kind == 5 || kind == 8) {
		put(t, " order by ");
		for (unsigned i = 0; i < n; i++)
			put_all_columns(t, alias[i], table[i]);
		put(t, rnd(2) ? "1 limit %u" : "1 limit %u offset 1", 1 + rnd(3));
	} else if (kind == 6) {
		t->n = 0;
		put_select(t, NULL, 1, NULL, NULL);
		put(t, " %s ", rnd(2) ? "union all" : rnd(2) ? "except" : "intersect");
		put_select(t, NULL, 1, NULL, NULL);
	}
}

/* ---- the database ---- */

static PGresult *query(PGconn *conn, const char *text)
{
	return PQexec(conn, text);
}

static void command(PGconn *conn, const char *text)
{
	PGresult *res = query(conn, text);

	if (PQresultStatus(res) != PGRES_COMMAND_OK && PQresultStatus(res) != PGRES_TUPLES_OK) {
		fprintf(stderr, "%s: %s", text, PQerrorMessage(conn));
		exit(2);
	}
	PQclear(res);
}

static uint32_t relid_of(PGconn *conn, const char *table)
{
	char text[128];
	PGresult *res;
	uint32_t oid;

	snprintf(text, sizeof(text), "select '%s'::regclass::oid", table);
	res = query(conn, text);
	oid = (uint32_t)strtoul(PQgetvalue(res, 0, 0), NULL, 10);
	PQclear(res);
	return oid;
}

#define INT(num, name_)                                                                 \
	{                                                                               \
		.attnum = (num), .name = (name_), .type_oid = 23, .builtin_type = true, \
		.plain_equality = true                                                  \
	}
#define STR(num, name_)                                                                 \
	{                                                                               \
		.attnum = (num), .name = (name_), .type_oid = 25, .builtin_type = true, \
		.plain_equality = true                                                  \
	}

static struct catalog *make_catalog(PGconn *conn)
{
	static const struct catalog_column plain[] = {INT(1, "id"), INT(2, "a"), INT(3, "author"),
						      STR(4, "v")};
	static const struct catalog_column pair[] = {INT(1, "k1"), INT(2, "k2"), STR(3, "v")};
	static const int16_t one[] = {1}, two[] = {1, 2};
	static const char *const names[] = {"u", "p", "pair"};
	struct catalog *c = catalog_new();

	for (int i = 0; i < 3; i++) {
		struct catalog_relation rel = {.oid = relid_of(conn, names[i]),
					       .schema = "depends_live",
					       .name = names[i],
					       .kind = 'r',
					       .persistence = 'p',
					       .replica_identity = 'd',
					       .columns = i < 2 ? plain : pair,
					       .ncolumns = i < 2 ? 4 : 3,
					       .nkey = i < 2 ? 1 : 2,
					       .key = i < 2 ? one : two};

		check(catalog_add_relation(c, &rel) == 0);
	}
	catalog_freeze(c);
	return c;
}

/* The answer as a sorted list of its rows. */
static int row_order(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static char *answer(PGconn *conn, const char *text)
{
	PGresult *res = query(conn, text);
	int n = PQntuples(res), columns = PQnfields(res);
	char **rows = calloc((size_t)n + 1, sizeof(*rows));
	char *all = calloc(1, (size_t)n * 128 + 1);

	if (PQresultStatus(res) != PGRES_TUPLES_OK) {
		PQclear(res);
		free(rows);
		free(all);
		return NULL;
	}
	for (int i = 0; i < n; i++) {
		rows[i] = calloc(1, 128);
		for (int k = 0; k < columns; k++) {
			size_t used = strlen(rows[i]);

			snprintf(rows[i] + used, 120 - used, "%s|",
				 PQgetisnull(res, i, k) ? "~" : PQgetvalue(res, i, k));
		}
	}
	qsort(rows, (size_t)n, sizeof(*rows), row_order);
	for (int i = 0; i < n; i++) {
		strcat(strcat(all, rows[i]), "\n");
		free(rows[i]);
	}
	free(rows);
	PQclear(res);
	return all;
}

/* ---- what a change touches ---- */

#define COLUMNS_MAX 4

struct change {
	char text[256];
	uint32_t relid;
	bool inserts, deletes;
	unsigned nkey;
	unsigned old[2], new[COLUMNS_MAX]; /* the old key; the new row, the text column by its digit */
};

static uint64_t key_of_values(uint32_t relid, unsigned n, const int16_t *attnums, const uint32_t *types,
			      const struct span *texts)
{
	struct span spans[8] = {{0}};
	struct buf buf[8];
	uint64_t key;

	for (unsigned i = 0; i < n; i++) {
		buf_init(&buf[i], 256);
		check(datum_canon(types[i], false, texts[i], &buf[i]) == DATUM_OK);
		spans[i] = buf_span(&buf[i]);
	}
	key = readkey_row(relid, (uint16_t)n, attnums, spans);
	for (unsigned i = 0; i < n; i++)
		buf_free(&buf[i]);
	return key;
}

/* The key of some columns of the new row. */
static uint64_t new_key(const struct change *ch, unsigned n, const int16_t *attnums)
{
	unsigned last = ch->nkey == 2 ? 3 : 4; /* the text column */
	char text[8][16];
	struct span spans[8];
	uint32_t types[8];

	for (unsigned i = 0; i < n; i++) {
		bool is_text = attnums[i] == (int16_t)last;

		snprintf(text[i], sizeof(text[i]), is_text ? "v%u" : "%u", ch->new[attnums[i] - 1]);
		spans[i] = span_str(text[i]);
		types[i] = is_text ? 25 : 23;
	}
	return key_of_values(ch->relid, n, attnums, types, spans);
}

static uint64_t old_key(const struct change *ch)
{
	static const int16_t attnums[] = {1, 2};
	static const uint32_t types[] = {23, 23};
	char text[2][16];
	struct span spans[2];

	for (unsigned i = 0; i < ch->nkey; i++) {
		snprintf(text[i], sizeof(text[i]), "%u", ch->old[i]);
		spans[i] = span_str(text[i]);
	}
	return key_of_values(ch->relid, ch->nkey, attnums, types, spans);
}

static void make_pair_change(struct change *ch, unsigned kind)
{
	ch->nkey = 2;
	for (int i = 0; i < 2; i++) {
		ch->old[i] = rnd(3);
		ch->new[i] = kind < 2 ? ch->old[i] : rnd(3);
	}
	ch->new[2] = rnd(3);
	if (kind == 0)
		snprintf(ch->text, sizeof(ch->text), "insert into pair values (%u, %u, 'v%u')", ch->old[0],
			 ch->old[1], ch->new[2]);
	else if (kind == 3)
		snprintf(ch->text, sizeof(ch->text), "delete from pair where k1 = %u and k2 = %u", ch->old[0],
			 ch->old[1]);
	else
		snprintf(ch->text, sizeof(ch->text),
			 "update pair set k1 = %u, k2 = %u, v = 'v%u' where k1 = %u and k2 = %u", ch->new[0],
			 ch->new[1], ch->new[2], ch->old[0], ch->old[1]);
}

static void make_change(struct change *ch, const struct catalog *c)
{
	const char *table = tables[rnd(5)];
	unsigned kind = rnd(4);

	*ch = (struct change){.relid = catalog_find(c, span_str("depends_live"), span_str(table))->oid,
			      .inserts = kind == 0,
			      .deletes = kind == 3};
	if (strcmp(table, "pair") == 0) {
		make_pair_change(ch, kind);
		return;
	}
	ch->nkey = 1;
	ch->old[0] = rnd(9);
	ch->new[0] = kind < 2 ? ch->old[0] : rnd(9);
	ch->new[1] = rnd(4);
	ch->new[2] = rnd(9);
	ch->new[3] = rnd(3);
	if (kind == 0)
		snprintf(ch->text, sizeof(ch->text), "insert into %s values (%u, %u, %u, 'v%u')", table,
			 ch->old[0], ch->new[1], ch->new[2], ch->new[3]);
	else if (kind == 3)
		snprintf(ch->text, sizeof(ch->text), "delete from %s where id = %u", table, ch->old[0]);
	else
		snprintf(ch->text, sizeof(ch->text),
			 "update %s set id = %u, a = %u, author = %u, v = 'v%u' where id = %u", table,
			 ch->new[0], ch->new[1], ch->new[2], ch->new[3], ch->old[0]);
}

/* ---- what a statement depends on ---- */

#define SIGNATURES 16

static struct {
	uint32_t relid;
	uint16_t ncols;
	int16_t attnums[SIGNATURE_COLUMNS];
} wanted[SIGNATURES];
static unsigned nwanted;

static bool applied(void *arg, uint32_t relid, uint16_t ncols, const int16_t *attnums)
{
	(void)arg;
	if (nwanted == SIGNATURES)
		return false;
	wanted[nwanted].relid = relid;
	wanted[nwanted].ncols = ncols;
	memcpy(wanted[nwanted++].attnums, attnums, ncols * sizeof(*attnums));
	return true;
}

struct depends {
	enum reason reason;
	uint64_t keys[64];
	uint32_t relids[8];
	struct reads_set set;
};

static const struct reads_signatures signatures = {.applied = applied};

static void ask(struct reads *r, const struct reads_param *params, unsigned n, struct depends *d)
{
	d->set = (struct reads_set){.keys = d->keys, .max = 64, .relids = d->relids, .maxrels = 8};
	nwanted = 0;
	d->reason = reads_keys(r, params, (uint16_t)n, &signatures, &d->set);
}

/* The text with other literals. */
static void disguise(const char *text, char *out)
{
	for (; *text != '\0'; text++)
		*out++ = (char)(*text >= '0' && *text <= '8' && text[1] == '\0' ? *text + 1 : *text);
	*out = '\0';
}

static void ask_by_shape(struct memo *m, const struct catalog *c, const struct reads_session *session,
			 const char *text, struct depends *d)
{
	struct reads_param params[LITERALS_MAX];
	struct buf values[LITERALS_MAX];
	char other[sizeof(((struct text *)NULL)->p)];
	struct stmt *first, *stmt;

	disguise(text, other);
	first = memo_get(m, span_str(other), span_of(NULL, 0));
	stmt = memo_get(m, span_str(text), span_of(NULL, 0));
	for (unsigned i = 0; i < stmt->facts->nslots; i++) {
		buf_init(&values[i], 256);
		literal_value(stmt->text, &stmt->literals[i], stmt->facts->slots[i].negative, &values[i]);
		params[i] = (struct reads_param){.value = buf_span(&values[i])};
	}
	ask(memo_reads(stmt, c, session), params, stmt->facts->nslots, d);
	for (unsigned i = 0; i < stmt->facts->nslots; i++)
		buf_free(&values[i]);
	stmt_unref(first);
	stmt_unref(stmt);
}

static bool has_key(const struct depends *d, uint64_t key)
{
	for (unsigned i = 0; i < d->set.nkeys; i++)
		if (d->keys[i] == key)
			return true;
	return false;
}

/* Does the answer show the row with that key? */
static bool shows(const struct reads_rule *rule, const PGresult *answer, uint64_t key)
{
	for (int row = 0; row < PQntuples(answer); row++) {
		struct span spans[READS_KEY_MAX];
		bool null = false;

		for (unsigned i = 0; i < rule->ncols; i++) {
			null = null || PQgetisnull(answer, row, rule->at[i]);
			check(PQftable(answer, rule->at[i]) == rule->relid &&
			      PQftablecol(answer, rule->at[i]) == rule->attnums[i]);
			spans[i] = span_str(PQgetvalue(answer, row, rule->at[i]));
		}
		if (!null &&
		    key_of_values(rule->relid, rule->ncols, rule->attnums, rule->types, spans) == key)
			return true;
	}
	return false;
}

static bool touches(const struct change *ch, const struct depends *d, const PGresult *answer)
{
	static const int16_t key[] = {1, 2};
	uint64_t rows[2] = {old_key(ch), ch->deletes ? old_key(ch) : new_key(ch, ch->nkey, key)};

	if (has_key(d, readkey_any(ch->relid)) || (!ch->inserts && has_key(d, readkey_gone(ch->relid))))
		return true;
	for (int i = 0; i < 2; i++) {
		if (has_key(d, rows[i]))
			return true;
		for (unsigned r = 0; r < d->set.nrules; r++)
			if (d->set.rule[r].relid == ch->relid && shows(&d->set.rule[r], answer, rows[i]))
				return true;
	}
	for (unsigned i = 0; i < nwanted && !ch->deletes; i++)
		if (wanted[i].relid == ch->relid &&
		    has_key(d, new_key(ch, wanted[i].ncols, wanted[i].attnums)))
			return true;
	return false;
}

/* ---- */

struct tally {
	unsigned cacheable, keyed, predicates, shown, asked, untouched, changed, wrong;
};

static void one_change(PGconn *conn, const struct catalog *c, const char *text, const struct depends *d,
		       struct tally *tally)
{
	PGresult *shown = query(conn, text);
	char *before = answer(conn, text), *after;
	struct change ch;

	make_change(&ch, c);
	PQclear(query(conn, ch.text));
	after = answer(conn, text);
	if (before != NULL && after != NULL) {
		bool same = strcmp(before, after) == 0, touched = touches(&ch, d, shown);

		tally->asked++;
		tally->untouched += !touched;
		tally->changed += !same;
		if (!touched && !same) {
			tally->wrong++;
			printf("WRONG: %s\n  by %s\n", text, ch.text);
		}
	}
	PQclear(shown);
	free(before);
	free(after);
}

static void one_round(PGconn *conn, const struct catalog *c, struct memo *m, struct tally *tally)
{
	struct reads_session session = {.search_path = span_str("depends_live"), .role = span_str("x")};
	struct depends own, d;
	struct text text;
	struct facts *facts;
	struct reads *r;

	put_statement(&text);
	facts = facts_of_text(span_of(text.p, text.n));
	r = reads_resolve(facts, c, &session, NULL, 0);
	ask(r, NULL, 0, &own);
	ask_by_shape(m, c, &session, text.p, &d);
	if (own.reason != d.reason) {
		tally->wrong++;
		printf("WRONG: not cacheable for the same reason as by itself: %s\n", text.p);
	}
	if (d.reason == REASON_NONE) {
		tally->cacheable++;
		tally->keyed += d.set.nkeys > d.set.nrels;
		tally->predicates += nwanted > 0;
		tally->shown += d.set.nrules > 0;
		for (int i = 0; i < 6; i++)
			one_change(conn, c, text.p, &d, tally);
	}
	reads_unref(r);
	facts_unref(facts);
}

int main(int argc, char **argv)
{
	unsigned rounds = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 2000;
	PGconn *conn = PQconnectdb("");
	struct tally tally = {0};
	struct memo *m = memo_new(16 << 20);
	struct catalog *c;

	if (argc > 2)
		seed = (uint32_t)strtoul(argv[2], NULL, 10);
	if (PQstatus(conn) != CONNECTION_OK) {
		fprintf(stderr, "%s", PQerrorMessage(conn));
		PQfinish(conn);
		return 2;
	}
	command(conn,
		"set client_min_messages = error; drop schema if exists depends_live cascade; create schema depends_live;"
		"set search_path = depends_live; create table u (id int primary key, a int, author int, v text);"
		"create table p (like u including all); create table pair (k1 int, k2 int, v text, primary key (k1, k2));"
		"insert into u select i, i % 4, i % 9, 'v' || i % 3 from generate_series(0, 8, 2) i;"
		"insert into p select i, i % 4, i % 9, 'v' || i % 3 from generate_series(1, 8, 2) i;"
		"insert into pair select i / 3, i % 3, 'v' || i % 3 from generate_series(0, 8, 2) i");
	c = make_catalog(conn);
	for (unsigned i = 0; i < rounds; i++)
		one_round(conn, c, m, &tally);
	printf("%u statements cacheable (%u by rows or predicates, %u with predicates, %u showing rows); of %u changes %u touched nothing, %u changed an answer; %u wrong\n",
	       tally.cacheable, tally.keyed, tally.predicates, tally.shown, tally.asked, tally.untouched,
	       tally.changed, tally.wrong);
	memo_free(&m);
	command(conn, "drop schema depends_live cascade");
	catalog_unref(c);
	PQfinish(conn);
	return tally.wrong > 0 || tally.untouched == 0 || tally.changed == 0;
}
