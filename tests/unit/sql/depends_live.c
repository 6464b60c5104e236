/* depends_live.c - random SELECTs on a live server: does an answer ever change by a row it is said not to depend on?
 * Run   PGHOST=.. PGUSER=.. sql-depends-live [rounds [seed]]; makes and drops a schema of its own.
 * Each round makes a statement, notes what reads_keys says, and changes one random row of one table. When the
 * answer's rows differ although none of the change's keys is among the statement's, the read set was wrong. */
#include "protocol/datum.h"
#include "proxy/base/check.h"
#include "proxy/sql/reads.h"

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
	switch (rnd(depth > 0 ? 18 : 14)) {
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
		put(t, "%sexists (", rnd(2) ? "not " : "");
		put_select(t, "1", depth - 1, alias, table);
		put(t, ")");
		break;
	case 15:
		put(t, "%s.%s %sin (", alias, key, rnd(3) ? "" : "not ");
		put_select(t, NULL, depth - 1, rnd(2) ? alias : NULL, table);
		put(t, ")");
		break;
	case 16:
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
	put(t, " %s %s %s", joins[join], table[1], alias[1]);
	if (join == 4)
		return;
	put(t, " on ");
	/* A full join takes only conditions that can be merged or hashed. */
	put(t, "%s.%s = %s.%s", alias[0], key_of(table[0]), alias[1], other_of(table[1]));
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

static void put_statement(struct text *t)
{
	unsigned n = 1 + rnd(2), kind = rnd(8);
	const char *table[2] = {tables[rnd(5)], tables[rnd(5)]};
	char alias[2][8];
	struct text from = {.n = 0};

	t->n = 0;
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
	if (kind == 5) {
		put(t, " order by 1, 2, 3 limit %u offset %u", 1 + rnd(3), rnd(2));
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

/* The keys that one change of a row has: the relation's, and the row's before and after. */
struct change {
	char text[256];
	uint64_t keys[3];
};

static uint64_t row_key(uint32_t relid, unsigned n, const unsigned *values)
{
	static const int16_t attnums[] = {1, 2};
	struct span spans[2] = {{0}};
	struct buf buf[2];
	char number[16];
	uint64_t key;

	for (unsigned i = 0; i < n; i++) {
		snprintf(number, sizeof(number), "%u", values[i]);
		buf_init(&buf[i], 64);
		check(datum_canon(23, false, span_str(number), &buf[i]) == DATUM_OK);
		spans[i] = buf_span(&buf[i]);
	}
	key = readkey_row(relid, (uint16_t)n, attnums, spans);
	for (unsigned i = 0; i < n; i++)
		buf_free(&buf[i]);
	return key;
}

static void make_change(struct change *ch, const struct catalog *c)
{
	const char *table = tables[rnd(5)];
	uint32_t relid = catalog_find(c, span_str("depends_live"), span_str(table))->oid;
	unsigned old[2] = {rnd(9), rnd(9)}, new[2] = {rnd(9), rnd(9)}, kind = rnd(4);
	bool is_pair = strcmp(table, "pair") == 0;

	if (is_pair)
		for (int i = 0; i < 2; i++) {
			old[i] %= 3;
			new[i] %= 3;
		}
	if (kind < 2)
		memcpy(new, old, sizeof(new));
	if (is_pair && kind == 0)
		snprintf(ch->text, sizeof(ch->text), "insert into pair values (%u, %u, 'v%u')", old[0],
			 old[1], rnd(3));
	else if (is_pair && kind == 3)
		snprintf(ch->text, sizeof(ch->text), "delete from pair where k1 = %u and k2 = %u", old[0],
			 old[1]);
	else if (is_pair)
		snprintf(ch->text, sizeof(ch->text),
			 "update pair set k1 = %u, k2 = %u, v = 'v%u' where k1 = %u and k2 = %u", new[0],
			 new[1], rnd(3), old[0], old[1]);
	else if (kind == 0)
		snprintf(ch->text, sizeof(ch->text), "insert into %s values (%u, %u, %u, 'v%u')", table,
			 old[0], rnd(4), rnd(9), rnd(3));
	else if (kind == 3)
		snprintf(ch->text, sizeof(ch->text), "delete from %s where id = %u", table, old[0]);
	else
		snprintf(ch->text, sizeof(ch->text),
			 "update %s set id = %u, a = %u, author = %u, v = 'v%u' where id = %u", table, new[0],
			 rnd(4), rnd(9), rnd(3), old[0]);
	ch->keys[0] = readkey_any(relid);
	ch->keys[1] = row_key(relid, is_pair ? 2 : 1, old);
	ch->keys[2] = row_key(relid, is_pair ? 2 : 1, new);
}

struct tally {
	unsigned cacheable, keyed, untouched, changed, wrong;
};

static void one_round(PGconn *conn, const struct catalog *c, struct tally *tally)
{
	struct reads_session session = {.search_path = span_str("depends_live"), .role = span_str("x")};
	struct text text;
	struct facts *facts;
	struct reads *r;
	uint64_t keys[64];
	uint32_t relids[8];
	unsigned nkeys, nrels;

	put_statement(&text);
	facts = facts_of_text(span_of(text.p, text.n));
	r = reads_resolve(facts, c, &session, NULL, 0);
	if (reads_keys(r, NULL, 0, keys, 64, &nkeys, relids, 8, &nrels) == REASON_NONE) {
		tally->cacheable++;
		tally->keyed += nkeys > nrels;
		for (int i = 0; i < 6; i++) {
			char *before = answer(conn, text.p), *after;
			struct change ch;
			bool touched = false;

			make_change(&ch, c);
			PQclear(query(conn, ch.text));
			after = answer(conn, text.p);
			for (unsigned k = 0; k < 3 * nkeys; k++)
				touched = touched || ch.keys[k % 3] == keys[k / 3];
			if (before != NULL && after != NULL) {
				bool same = strcmp(before, after) == 0;

				tally->untouched += !touched;
				tally->changed += !same;
				if (!touched && !same) {
					tally->wrong++;
					printf("WRONG: %s\n  by %s\n", text.p, ch.text);
				}
			}
			free(before);
			free(after);
		}
	}
	reads_unref(r);
	facts_unref(facts);
}

int main(int argc, char **argv)
{
	unsigned rounds = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 2000;
	PGconn *conn = PQconnectdb("");
	struct tally tally = {0};
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
		one_round(conn, c, &tally);
	printf("%u statements cacheable (%u by rows); of their changes %u touched nothing, %u changed an answer; %u wrong\n",
	       tally.cacheable, tally.keyed, tally.untouched, tally.changed, tally.wrong);
	command(conn, "drop schema depends_live cascade");
	catalog_unref(c);
	PQfinish(conn);
	return tally.wrong > 0 || tally.untouched == 0 || tally.changed == 0;
}
