#include "tests/truth/lists.h"

#include "tests/truth/oracle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SLOT_ITEM LISTS_SLOT
#define SLOT_OWNER 900u
#define ATTRIBUTES LISTS_ATTRIBUTES
#define PAGE 3u

static unsigned nrows;

/* --- a row's attributes --- */

static const char *const names[ATTRIBUTES] = {"owner", "kind", "flag", "grp"};
static const unsigned ranges[ATTRIBUTES] = {LISTS_OWNERS, 3, 2, 2};

/* A new row of $1 at version $2. */
#define INSERT_ITEM                                                                                         \
	"INSERT INTO owned (id, version, owner, kind, flag, grp) VALUES ($1::bigint, $2::bigint, 1 + " HASH \
	" % 4, 1 + " HASH " / 4 % 3, 1 + " HASH " / 12 % 2, 1 + " HASH " / 24)"
#define HASH "(($1::bigint * 7 + $2::bigint / 2 * 13) % 48)"
#define SET                                                                                             \
	"version = $2::bigint, owner = 1 + " HASH " % 4, kind = 1 + " HASH " / 4 % 3, flag = 1 + " HASH \
	" / 12 % 2,"                                                                                    \
	" grp = 1 + " HASH " / 24"

int64_t lists_attribute(unsigned i, unsigned id, int64_t version)
{
	int64_t hash = (id * 7 + version / 2 * 13) % 48;
	static const int64_t part[ATTRIBUTES] = {1, 4, 12, 24};

	return 1 + hash / part[i] % ranges[i];
}

/* --- questions --- */

struct question {
	unsigned mask; /* attributes that are asked for */
	int64_t args[ATTRIBUTES];
	unsigned nargs;
	enum { LIST, COUNT, PAGED, JOINED, SLOW, NKINDS } kind;
};

static char texts[NKINDS][1u << ATTRIBUTES][256];

static void make_texts(void)
{
	for (unsigned mask = 1; mask < 1u << ATTRIBUTES; mask++) {
		char where[128] = "";

		for (unsigned i = 0, n = 0; i < ATTRIBUTES; i++)
			if ((mask >> i & 1) != 0) {
				size_t used = strlen(where);

				snprintf(where + used, sizeof(where) - used, "%s%s = $%u",
					 n == 0 ? "" : " AND ", names[i], n + 1);
				n++;
			}
		snprintf(texts[LIST][mask], sizeof(texts[LIST][mask]),
			 "SELECT id, version FROM owned WHERE %s", where);
		snprintf(texts[COUNT][mask], sizeof(texts[COUNT][mask]),
			 "SELECT count(*) FROM owned WHERE %s", where);
		snprintf(texts[PAGED][mask], sizeof(texts[PAGED][mask]),
			 "SELECT id, version FROM owned WHERE %s ORDER BY id LIMIT 3", where);
	}
	/* Its snapshot is old when the answer is there. */
	snprintf(
		texts[SLOW][1], sizeof(texts[SLOW][1]),
		"SELECT id, version FROM owned WHERE owner = $1 AND 0 <= (SELECT count(*) FROM slow a, slow b, slow c)");
	snprintf(
		texts[JOINED][1], sizeof(texts[JOINED][1]),
		"SELECT i.id, i.version, w.version FROM owners w LEFT JOIN owned i ON i.owner = w.id WHERE w.id = $1");
}

static struct question ask(unsigned dice)
{
	struct question q = {.kind = dice % NKINDS, .mask = 1};

	dice /= NKINDS;
	/* Mostly by owner: what many ask for is what is in the cache. */
	if (q.kind != JOINED && q.kind != SLOW && dice % 3 == 0)
		q.mask = 1 + dice / 3 % 15;
	dice /= 64;
	for (unsigned i = 0; i < ATTRIBUTES; i++) {
		if ((q.mask >> i & 1) != 0)
			q.args[q.nargs++] = 1 + dice % ranges[i];
		dice /= 4;
	}
	return q;
}

static bool matches(const struct question *q, unsigned id, int64_t version)
{
	for (unsigned i = 0, n = 0; i < ATTRIBUTES; i++)
		if ((q->mask >> i & 1) != 0 && lists_attribute(i, id, version) != q->args[n++])
			return false;
	return true;
}

/* --- judging --- */

struct judge {
	const struct question *q;
	const struct link *l;
	const char *how;
	int64_t floor[LISTS_ROWS + 1], ceiling[LISTS_ROWS + 1];
	bool found[LISTS_ROWS + 1];
};

/* Was the row there at some, or at all, versions that it may have had? */
static bool there(const struct judge *j, unsigned id, bool always)
{
	if (j->ceiling[id] - j->floor[id] > 50)
		return !always;
	for (int64_t v = j->floor[id]; v <= j->ceiling[id]; v++)
		if (matches(j->q, id, v) != always)
			return !always;
	return always;
}

static void judge_row(struct judge *j, int64_t id, int64_t version)
{
	const struct link *l = j->l;

	if (id < 1 || id > nrows || j->found[id] || !matches(j->q, (unsigned)id, version)) {
		oracle_torn(SLOT_ITEM + (unsigned)id % 100, version, l->target->name, j->how,
			    l->target->direct);
		return;
	}
	j->found[id] = true;
	oracle_returned(SLOT_ITEM + (unsigned)id, j->floor[id], version, l->target->name, j->how,
			l->target->direct);
}

/* Rows up to `last` must be in the answer if they were there for sure. */
static void judge_missing(struct judge *j, unsigned last)
{
	for (unsigned id = 1; id <= last; id++)
		if (!j->found[id] && there(j, id, true))
			oracle_missing(SLOT_ITEM + id, j->floor[id], j->l->target->name, j->how,
				       j->l->target->direct);
}

static void judge_count(struct judge *j, int64_t count)
{
	int64_t least = 0, most = 0;

	for (unsigned id = 1; id <= nrows; id++) {
		least += there(j, id, true);
		most += there(j, id, false);
	}
	if (count < least || count > most)
		oracle_torn(SLOT_ITEM, count, j->l->target->name, j->how, j->l->target->direct);
}

static void judge_answer(struct judge *j, const PGresult *result, int64_t owner_floor)
{
	unsigned rows = (unsigned)PQntuples(result), last = nrows;
	const struct link *l = j->l;

	if (j->q->kind == COUNT) {
		judge_count(j, link_value(result, 0, 0));
		return;
	}
	for (unsigned row = 0; row < rows; row++) {
		if (j->q->kind == JOINED)
			oracle_returned(SLOT_OWNER + (unsigned)j->q->args[0], owner_floor,
					link_value(result, (int)row, 2), l->target->name, j->how,
					l->target->direct);
		if (!PQgetisnull(result, (int)row, 0))
			judge_row(j, link_value(result, (int)row, 0), link_value(result, (int)row, 1));
	}
	if (j->q->kind == JOINED && rows == 0)
		oracle_missing(SLOT_OWNER + (unsigned)j->q->args[0], owner_floor, l->target->name, j->how,
			       l->target->direct);
	if (j->q->kind == PAGED && rows == PAGE)
		last = (unsigned)link_value(result, PAGE - 1, 0);
	judge_missing(j, last <= nrows ? last : nrows);
}

bool lists_read(struct link *l, enum protocol protocol, unsigned dice)
{
	struct question q = ask(dice);
	struct judge j = {.q = &q, .l = l, .how = protocol_names[protocol]};
	int64_t owner_floor = oracle_floor(SLOT_OWNER + (unsigned)q.args[0]);
	PGresult *result;

	for (unsigned id = 1; id <= nrows; id++)
		j.floor[id] = oracle_floor(SLOT_ITEM + id);
	result = link_run(l, protocol, texts[q.kind][q.mask], q.args, q.nargs);
	if (result == NULL)
		return false;
	for (unsigned id = 1; id <= nrows; id++)
		j.ceiling[id] = oracle_ceiling(SLOT_ITEM + id);
	judge_answer(&j, result, owner_floor);
	PQclear(result);
	return true;
}

/* --- writing --- */

static bool in_transaction(struct link *l, bool ok)
{
	return ok && link_commit(l);
}

static bool write_item(struct link *l, enum protocol protocol, unsigned id, int64_t version, unsigned dice)
{
	const int64_t args[2] = {id, version}, away[2] = {id, id + 1000};

	switch (dice % 8) {
	case 0:
		return in_transaction(
			l, link_begin(l) &&
				   link_do(l, protocol, "DELETE FROM owned WHERE id = $1::bigint", args, 1) &&
				   link_do(l, protocol, INSERT_ITEM, args, 2));
	case 1:
		return in_transaction(l, link_begin(l) &&
						 link_do(l, protocol,
							 "UPDATE owned SET id = $2, owner = 1 WHERE id = $1",
							 away, 2) &&
						 link_do(l, protocol,
							 "UPDATE owned SET id = $1::bigint, " SET
							 " WHERE id = $1::bigint + 1000",
							 args, 2));
	case 2: /* no trigger tells of it */
		return in_transaction(
			l, link_begin(l) &&
				   link_do(l, PROTOCOL_SIMPLE, "SET LOCAL session_replication_role = replica",
					   NULL, 0) &&
				   link_do(l, protocol, "UPDATE owned SET " SET " WHERE id = $1::bigint",
					   args, 2));
	default: return link_do(l, protocol, "UPDATE owned SET " SET " WHERE id = $1::bigint", args, 2);
	}
}

bool lists_write(struct link *l, enum protocol protocol, unsigned id, int64_t version, unsigned dice)
{
	oracle_issued(SLOT_ITEM + id, version);
	if (!write_item(l, protocol, id, version, dice))
		return false;
	oracle_acked(SLOT_ITEM + id, version);
	return true;
}

bool lists_write_owner(struct link *l, enum protocol protocol, unsigned owner, int64_t version)
{
	const int64_t args[2] = {owner, version};

	oracle_issued(SLOT_OWNER + owner, version);
	if (!link_do(l, protocol, "UPDATE owners SET version = $2 WHERE id = $1", args, 2))
		return false;
	oracle_acked(SLOT_OWNER + owner, version);
	return true;
}

static bool create(struct link *l, bool parted)
{
	static const char *const plain[] = {
		"CREATE TABLE owned (id int PRIMARY KEY, version bigint, owner int, kind int, flag int, grp int)",
		NULL};
	static const char *const parts[] = {
		"CREATE TABLE owned (id int, version bigint, owner int, kind int, flag int, grp int, PRIMARY KEY (id, flag)) "
		"PARTITION BY LIST (flag)",
		"CREATE TABLE owned_one (grp int, flag int NOT NULL, version bigint, kind int, owner int, id int NOT NULL)",
		"ALTER TABLE owned ATTACH PARTITION owned_one FOR VALUES IN (1)",
		"CREATE TABLE owned_two PARTITION OF owned FOR VALUES IN (2) PARTITION BY LIST (flag)",
		"CREATE TABLE owned_deep PARTITION OF owned_two DEFAULT",
		NULL};

	for (const char *const *text = parted ? parts : plain; *text != NULL; text++)
		if (!link_do(l, PROTOCOL_SIMPLE, *text, NULL, 0))
			return false;
	return true;
}

bool lists_set_up(struct link *l, unsigned rows, bool parted)
{
	static const char *const texts_before[] = {
		"DROP TABLE IF EXISTS owned, owners, slow",
		"CREATE TABLE owners (id int PRIMARY KEY, version bigint NOT NULL)",
		"INSERT INTO owners SELECT i, 0 FROM generate_series(1, 4) i",
		"CREATE TABLE slow AS SELECT i FROM generate_series(1, 13) i"};

	make_texts();
	nrows = rows < LISTS_ROWS ? rows : LISTS_ROWS;
	for (unsigned i = 0; i < sizeof(texts_before) / sizeof(texts_before[0]); i++)
		if (!link_do(l, PROTOCOL_SIMPLE, texts_before[i], NULL, 0))
			return false;
	if (!create(l, parted))
		return false;
	for (unsigned id = 1; id <= nrows; id++)
		if (!link_do(l, PROTOCOL_EXTENDED, INSERT_ITEM, (int64_t[]){id, 0}, 2))
			return false;
	return true;
}
