#include "tests/truth/points.h"

#include "tests/truth/lists.h"
#include "tests/truth/oracle.h"

#include <stdio.h>
#include <string.h>

#define SLOT_PAIR 950u
#define COLUMNS (LISTS_ATTRIBUTES + 2) /* and id, version */

static unsigned nrows, npairs;

/* --- rows of `owned` --- */

/* What is asked for: attributes by number, or these. */
enum { ID = LISTS_ATTRIBUTES, VERSION };

struct question {
	const char *sql;
	int column[COLUMNS];
	unsigned ncolumns, nkeys;
};

static const struct question questions[] = {
	{"SELECT version FROM owned WHERE id = $1", {VERSION}, 1, 1},
	{"SELECT owner, version FROM owned WHERE id = $1", {0, VERSION}, 2, 1},
	{"SELECT kind, id, flag FROM owned WHERE id = $1", {1, ID, 2}, 3, 1},
	{"SELECT grp, owner FROM owned WHERE id = $1 LIMIT 1", {3, 0}, 2, 1},
	{"SELECT version, grp, flag, kind, owner, id FROM owned WHERE id = $1",
	 {VERSION, 3, 2, 1, 0, ID},
	 6,
	 1},
	{"SELECT id, owner, kind, version FROM owned WHERE id IN ($1, $2, $3)", {ID, 0, 1, VERSION}, 4, 3},
	{"SELECT flag, version, id FROM owned WHERE id = ANY (ARRAY[$1, $2]::int[])", {2, VERSION, ID}, 3, 2},
};

struct row {
	int64_t floor, ceiling;
	unsigned id;
	bool found;
};

/* Is there a version that the row may have had, with all these values? */
static bool possible(const struct question *q, const struct row *row, const int64_t *values)
{
	if (row->ceiling - row->floor > 50)
		return true;
	for (int64_t v = row->floor; v <= row->ceiling; v++) {
		unsigned k = 0;

		while (k < q->ncolumns &&
		       values[k] == (q->column[k] == ID ? (int64_t)row->id
				     : q->column[k] == VERSION
					     ? v
					     : lists_attribute((unsigned)q->column[k], row->id, v)))
			k++;
		if (k == q->ncolumns)
			return true;
	}
	return false;
}

static void judge_row(const struct question *q, struct row *rows, const struct link *l, const char *how,
		      const int64_t *values)
{
	struct row *row = &rows[0];
	int64_t version = -1;

	for (unsigned k = 0; k < q->ncolumns; k++) {
		if (q->column[k] == VERSION)
			version = values[k];
		for (unsigned i = 0; i < q->nkeys && q->column[k] == ID; i++)
			if (rows[i].id == values[k])
				row = &rows[i];
	}
	row->found = true;
	if (version >= 0)
		oracle_returned(LISTS_SLOT + row->id, row->floor, version, l->target->name, how,
				l->target->direct);
	if (!possible(q, row, values) && version <= row->ceiling && version >= row->floor)
		oracle_torn(LISTS_SLOT + row->id, version, l->target->name, how, l->target->direct);
	else if (version < 0 && !possible(q, row, values))
		oracle_torn(LISTS_SLOT + row->id, values[0], l->target->name, how, l->target->direct);
}

static bool read_rows(struct link *l, enum protocol protocol, const struct question *q, unsigned first)
{
	const char *how = protocol_names[protocol];
	struct row rows[3] = {{0}};
	int64_t args[3] = {0}, values[COLUMNS];
	PGresult *result;

	for (unsigned i = 0; i < q->nkeys; i++) {
		rows[i] = (struct row){.id = 1 + (first + i * 5) % nrows};
		args[i] = rows[i].id;
		rows[i].floor = oracle_floor(LISTS_SLOT + rows[i].id);
	}
	result = link_run(l, protocol, q->sql, args, q->nkeys);
	if (result == NULL)
		return false;
	for (unsigned i = 0; i < q->nkeys; i++)
		rows[i].ceiling = oracle_ceiling(LISTS_SLOT + rows[i].id);
	for (int r = 0; r < PQntuples(result); r++) {
		for (unsigned k = 0; k < q->ncolumns; k++)
			values[k] = link_value(result, r, (int)k);
		judge_row(q, rows, l, how, values);
	}
	for (unsigned i = 0; i < q->nkeys; i++)
		for (unsigned k = 0; k < i; k++)
			rows[i].found = rows[i].found || (rows[k].id == rows[i].id && rows[k].found);
	for (unsigned i = 0; i < q->nkeys; i++)
		if (!rows[i].found)
			oracle_missing(LISTS_SLOT + rows[i].id, rows[i].floor, l->target->name, how,
				       l->target->direct);
	PQclear(result);
	return true;
}

/* --- twins --- */

static const char *const both = "SELECT version, id FROM twins WHERE id IN ($1, $2)";
static const char *const one = "SELECT id, version FROM twins WHERE id = $1";
static const char *const side = "SELECT * FROM twins WHERE side = $1";

static bool read_both(struct link *l, enum protocol protocol, unsigned pair)
{
	const int64_t args[2] = {2 * pair - 1, 2 * pair};
	const char *how = protocol_names[protocol];
	int64_t floor = oracle_floor(SLOT_PAIR + pair);
	PGresult *result = link_run(l, protocol, both, args, 2);

	if (result == NULL)
		return false;
	if (PQntuples(result) != 2 || link_value(result, 0, 0) != link_value(result, 1, 0))
		oracle_torn(SLOT_PAIR + pair, PQntuples(result), l->target->name, how, l->target->direct);
	else
		oracle_returned(SLOT_PAIR + pair, floor, link_value(result, 0, 0), l->target->name, how,
				l->target->direct);
	PQclear(result);
	return true;
}

static bool read_side(struct link *l, enum protocol protocol, const char *sql, int64_t arg, int id_at,
		      int version_at)
{
	int64_t floor[POINTS_PAIRS + 1];
	PGresult *result;

	for (unsigned pair = 1; pair <= npairs; pair++)
		floor[pair] = oracle_floor(SLOT_PAIR + pair);
	result = link_run(l, protocol, sql, &arg, 1);
	for (int r = 0; r < PQntuples(result); r++) {
		unsigned pair = (unsigned)(link_value(result, r, id_at) + 1) / 2;

		oracle_returned(SLOT_PAIR + pair, floor[pair], link_value(result, r, version_at),
				l->target->name, protocol_names[protocol], l->target->direct);
	}
	PQclear(result);
	return result != NULL;
}

bool points_read(struct link *l, enum protocol protocol, unsigned dice)
{
	unsigned kind = dice % 16, pair = 1 + dice / 64 % npairs;

	switch (kind) {
	case 0:
	case 1:
	case 2:
	case 3: return read_both(l, protocol, pair);
	case 4: return read_side(l, protocol, one, 1 + dice / 64 % (2 * npairs), 0, 1);
	case 5:
	case 6: return read_side(l, protocol, side, 1 + dice / 64 % 2, 0, 1);
	case 7: return lists_read(l, protocol, dice / 16);
	default:
		return read_rows(l, protocol,
				 &questions[dice / 16 % (sizeof(questions) / sizeof(questions[0]))],
				 dice / 1024);
	}
}

/* --- writing --- */

static bool write_both(struct link *l, enum protocol protocol, unsigned pair, int64_t version, bool at_once)
{
	const int64_t args[3] = {2 * pair - 1, version, 2 * pair}, other[2] = {2 * pair, version};

	if (at_once)
		return link_do(l, protocol, "UPDATE twins SET version = $2 WHERE id IN ($1, $3)", args, 3);
	return link_begin(l) &&
	       link_do(l, protocol, "UPDATE twins SET version = $2 WHERE id = $1", args, 2) &&
	       link_do(l, protocol, "UPDATE twins SET version = $2 WHERE id = $1", other, 2) &&
	       link_commit(l);
}

bool points_write(struct link *l, enum protocol protocol, unsigned pair, int64_t version, unsigned dice)
{
	oracle_issued(SLOT_PAIR + pair, version);
	if (!write_both(l, protocol, pair, version, dice % 2 == 0))
		return false;
	oracle_acked(SLOT_PAIR + pair, version);
	return true;
}

bool points_set_up(struct link *l, unsigned rows)
{
	const int64_t last = rows < POINTS_PAIRS ? rows : POINTS_PAIRS;

	nrows = rows < LISTS_ROWS ? rows : LISTS_ROWS;
	npairs = (unsigned)last;
	return link_do(l, PROTOCOL_SIMPLE, "DROP TABLE IF EXISTS twins", NULL, 0) &&
	       link_do(l, PROTOCOL_SIMPLE,
		       "CREATE TABLE twins (id int PRIMARY KEY, version bigint NOT NULL, side int)", NULL,
		       0) &&
	       link_do(l, PROTOCOL_SIMPLE,
		       "INSERT INTO twins SELECT i, 0, 1 + i % 2 FROM generate_series(1, 2 * $1) i", &last,
		       1);
}
