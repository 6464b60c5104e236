/* truth - is a read ever older than what was acknowledged, or returned, before it began?
 *
 *   truth --target NAME=CONNINFO.. --direct NAME=CONNINFO.. [--writers N] [--readers N] [--rows N] [--cycles N] [--seconds N]
 *         [--protocol simple|extended|prepared|binary|mix] [--async] [--ddl] [--faults] [--hung] [--patience SECONDS] [--first]
 *         [--pause US] [--lists] [--points] [--parted] [--mirror]
 *
 * Writers and readers spread over the targets. A cycle is a write, and a read of it through every target. The run ends after that
 * many cycles, or after that many seconds. --async: half of the writers commit with synchronous_commit = off. --faults: errors and lost
 * connections are part of the game, but everybody must be served again at the end. --hung: commits of half of the writers may hang
 * for ever; the other half use synchronous_commit = local, and readers must not hang. --ddl: a thread truncates, rewrites and alters tables.
 * --first: the first violation ends the run. --pause: half of the time a writer rests for up to so long, so that there is something
 * to hit. --lists: most reads and writes are those of lists.h; --points: those of points.h, and some of lists.h; --parted: of a partitioned table, whose rows move between its
 * partitions. --mirror: a trigger and cascades write each row a second time, into a table that no statement names; every other read is
 * of that one.
 *
 * The last line of the output is a summary. Exit: 0 fresh, 1 a violation, 2 somebody hangs or was not served again, 3 PostgreSQL
 * itself violated the rules (then this program is wrong), 4 errors without --faults. */
#include "tests/truth/link.h"
#include "tests/truth/lists.h"
#include "tests/truth/oracle.h"
#include "tests/truth/points.h"
#include "tests/truth/witness.h"

#include <getopt.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define TARGETS_MAX 8u
#define MEMBERS_MAX 128u
#define ROWS_MAX 500u
/* Where the slots of the small tables begin. */
#define SLOT_TRUNCATED 600u
#define SLOT_REWRITTEN 700u
#define SMALL_ROWS 4u
/* Written by transactions that roll back: must never be seen by others. */
#define BOGUS INT64_C(1000000000000)
#define LOOK_US 50000

static struct {
	struct target target[TARGETS_MAX];
	unsigned ntargets, writers, readers, rows, patience_s, pause_us;
	uint64_t cycles, seconds, least; /* it goes on for `least` seconds when the cycles are done sooner */
	int protocol;			 /* -1 = mix */
	bool async, ddl, faults, hung, first, lists, points, parted, mirror, two_phase;
} opt = {
	.writers = 6,
	.readers = 6,
	.rows = 16,
	.cycles = 1000,
	.seconds = 600,
	.protocol = -1,
	.patience_s = 20,
};

static atomic_bool over;
static _Atomic uint64_t cycles, writes, reads, alterations;
static _Atomic uint64_t least_us; /* before that it is not over */

struct member {
	pthread_t thread;
	unsigned number;
	const char *role;
	bool may_hang;
	bool finished; /* by main only */
	uint64_t seed;
	int64_t next[ROWS_MAX + 1]; /* a writer's: versions given out */
	int64_t items[LISTS_ROWS + 1];
	int64_t pairs[POINTS_PAIRS + 1];
	int64_t owner;
	struct link link;		/* its own */
	struct link check[TARGETS_MAX]; /* a writer's, to read through every target */
};

static struct member members[MEMBERS_MAX];
static unsigned nmembers;

static unsigned dice(struct member *self, unsigned n)
{
	self->seed = self->seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (unsigned)(self->seed >> 33) % n;
}

static enum protocol protocol_of(struct member *self)
{
	return opt.protocol >= 0 ? (enum protocol)opt.protocol : (enum protocol)dice(self, NPROTOCOLS);
}

/* --- reading --- */

static const char *const read_one = "SELECT version FROM truth WHERE id = $1";
static const char *const read_mirror = "SELECT version FROM mirror WHERE id = $1";
static const char *const read_some = "SELECT id, version FROM truth WHERE id IN ($1, $2, $3)";
static const char *const read_truncated = "SELECT version FROM truncated WHERE id = $1";
static const char *const read_rewritten = "SELECT version FROM rewritten WHERE id = $1";

/* Reads one row and judges it; false when the connection failed. */
static bool judge_one(struct member *self, struct link *l, unsigned id)
{
	enum protocol protocol = protocol_of(self);
	const char *how = protocol_names[protocol];
	const char *text = opt.mirror && dice(self, 2) == 0 ? read_mirror : read_one;
	int64_t floor = oracle_floor(id), arg = id;
	PGresult *result = link_run(l, protocol, text, &arg, 1);

	if (result == NULL)
		return false;
	if (PQntuples(result) != 1)
		oracle_missing(id, floor, l->target->name, how, l->target->direct);
	else
		oracle_returned(id, floor, link_value(result, 0, 0), l->target->name, how, l->target->direct);
	PQclear(result);
	atomic_fetch_add_explicit(&reads, 1, memory_order_relaxed);
	return true;
}

static bool judge_some(struct member *self, struct link *l)
{
	enum protocol protocol = protocol_of(self);
	const char *how = protocol_names[protocol];
	int64_t args[3], floors[3];
	unsigned first = dice(self, opt.rows), found = 0;
	PGresult *result;

	for (unsigned i = 0; i < 3; i++) {
		args[i] = 1 + (first + i * (opt.rows / 3 + 1)) % opt.rows;
		floors[i] = oracle_floor((unsigned)args[i]);
	}
	result = link_run(l, protocol, read_some, args, 3);
	if (result == NULL)
		return false;
	for (int row = 0; row < PQntuples(result); row++) {
		for (unsigned i = 0; i < 3; i++) {
			if (args[i] != link_value(result, row, 0))
				continue;
			found |= 1u << i;
			oracle_returned((unsigned)args[i], floors[i], link_value(result, row, 1),
					l->target->name, how, l->target->direct);
			break;
		}
	}
	for (unsigned i = 0; i < 3; i++) {
		bool same = (i > 0 && args[i] == args[0]) || (i > 1 && args[i] == args[1]);

		if (!same && (found & 1u << i) == 0)
			oracle_missing((unsigned)args[i], floors[i], l->target->name, how, l->target->direct);
	}
	PQclear(result);
	atomic_fetch_add_explicit(&reads, 1, memory_order_relaxed);
	return true;
}

/* TRUNCATE and rewrites are not MVCC-safe: a statement that was waiting for their lock may find no row. Not ours to judge. */
static bool judge_small(struct member *self, struct link *l)
{
	enum protocol protocol = protocol_of(self);
	bool truncated = dice(self, 2) == 0;
	int64_t id = 1 + dice(self, SMALL_ROWS);
	unsigned slot = (truncated ? SLOT_TRUNCATED : SLOT_REWRITTEN) + (unsigned)id;
	int64_t floor = oracle_floor(slot);
	PGresult *result = link_run(l, protocol, truncated ? read_truncated : read_rewritten, &id, 1);

	if (result == NULL)
		return false;
	if (PQntuples(result) == 1)
		oracle_returned(slot, floor, link_value(result, 0, 0), l->target->name,
				protocol_names[protocol], l->target->direct);
	PQclear(result);
	atomic_fetch_add_explicit(&reads, 1, memory_order_relaxed);
	return true;
}

static void judge_list(struct member *self, struct link *l)
{
	bool (*read)(struct link * l, enum protocol protocol, unsigned dice) =
		opt.points ? points_read : lists_read;

	if (read(l, protocol_of(self), dice(self, 1u << 30)))
		atomic_fetch_add_explicit(&reads, 1, memory_order_relaxed);
}

static void read_in_transaction(struct member *self, struct link *l)
{
	if (link_do(l, PROTOCOL_SIMPLE, "BEGIN", NULL, 0) && judge_one(self, l, 1 + dice(self, opt.rows)) &&
	    judge_some(self, l) && judge_one(self, l, 1 + dice(self, opt.rows)))
		link_do(l, PROTOCOL_SIMPLE, "COMMIT", NULL, 0);
}

static void *reader(void *arg)
{
	struct member *self = arg;

	while (!atomic_load(&over)) {
		unsigned kind = dice(self, 100);

		if (opt.lists && kind < 90)
			judge_list(self, &self->link);
		else if (opt.ddl && kind < 20)
			judge_small(self, &self->link);
		else if (kind < 30)
			judge_some(self, &self->link);
		else if (kind < 40)
			read_in_transaction(self, &self->link);
		else
			judge_one(self, &self->link, 1 + dice(self, opt.rows));
	}
	link_close(&self->link);
	return NULL;
}

/* --- writing: each row has one writer, so its versions rise in the order of commits --- */

static const char *const write_one = "UPDATE truth SET version = $2 WHERE id = $1";

static bool update(struct member *self, unsigned id, int64_t version)
{
	return link_do(&self->link, protocol_of(self), write_one, (int64_t[]){id, version}, 2);
}

/* Two rows in one transaction. */
static bool write_pair(struct member *self, unsigned id, unsigned other)
{
	return link_begin(&self->link) && update(self, id, self->next[id]) &&
	       update(self, other, self->next[other]) && link_commit(&self->link);
}

static bool write_in_savepoint(struct member *self, unsigned id)
{
	struct link *l = &self->link;

	return link_begin(l) && update(self, id, self->next[id] + BOGUS) &&
	       link_do(l, PROTOCOL_SIMPLE, "SAVEPOINT a", NULL, 0) && update(self, id, self->next[id]) &&
	       link_do(l, PROTOCOL_SIMPLE, "RELEASE a", NULL, 0) && link_commit(l);
}

/* What was rolled back to the savepoint never was. */
static bool write_around_savepoint(struct member *self, unsigned id)
{
	struct link *l = &self->link;

	return link_begin(l) && update(self, id, self->next[id]) &&
	       link_do(l, PROTOCOL_SIMPLE, "SAVEPOINT a", NULL, 0) &&
	       update(self, id, self->next[id] + BOGUS) &&
	       link_do(l, PROTOCOL_SIMPLE, "ROLLBACK TO a", NULL, 0) && link_commit(l);
}

static bool write_by_replacing(struct member *self, unsigned id)
{
	struct link *l = &self->link;

	return link_begin(l) &&
	       link_do(l, protocol_of(self), "DELETE FROM truth WHERE id = $1", (int64_t[]){id}, 1) &&
	       link_do(l, protocol_of(self), "INSERT INTO truth (id, version) VALUES ($1, $2)",
		       (int64_t[]){id, self->next[id]}, 2) &&
	       link_commit(l);
}

/* The key goes away and comes back. */
static bool write_by_moving(struct member *self, unsigned id)
{
	struct link *l = &self->link;
	int64_t away = id + 1000;

	return link_begin(l) &&
	       link_do(l, protocol_of(self), "UPDATE truth SET id = $2, version = $3 WHERE id = $1",
		       (int64_t[]){id, away, BOGUS}, 3) &&
	       link_do(l, protocol_of(self), "UPDATE truth SET id = $2, version = $3 WHERE id = $1",
		       (int64_t[]){away, id, self->next[id]}, 3) &&
	       link_commit(l);
}

/* Sees its own write, and nobody else ever does. */
static void roll_back(struct member *self, unsigned id)
{
	struct link *l = &self->link;
	enum protocol protocol = protocol_of(self);
	int64_t arg = id, bogus = self->next[id] + BOGUS;
	PGresult *result;

	if (!link_begin(l) || !update(self, id, bogus))
		return;
	result = link_run(l, protocol, read_one, &arg, 1);
	if (result == NULL)
		return;
	oracle_own(id, bogus, PQntuples(result) == 1 ? link_value(result, 0, 0) : -1, l->target->name,
		   protocol_names[protocol], l->target->direct);
	PQclear(result);
	link_do(l, PROTOCOL_SIMPLE, "ROLLBACK", NULL, 0);
}

static unsigned own_row(struct member *self)
{
	unsigned mine = (opt.rows - self->number - 1) / opt.writers + 1;

	return 1 + self->number + opt.writers * dice(self, mine);
}

static bool write_somehow(struct member *self, unsigned id, unsigned other)
{
	unsigned kind = dice(self, 100);

	if (kind < 60)
		return update(self, id, self->next[id]);
	if (kind < 80)
		return other == id ? update(self, id, self->next[id]) : write_pair(self, id, other);
	if (kind < 88)
		return kind % 2 == 0 ? write_in_savepoint(self, id) : write_around_savepoint(self, id);
	if (kind < 94)
		return write_by_replacing(self, id);
	return write_by_moving(self, id);
}

/* An item, sometimes its owner, and what the lists say after that. */
static void write_list(struct member *self, unsigned id)
{
	struct link *l = &self->link;
	bool owner = self->number < LISTS_OWNERS && dice(self, 10) == 0;
	bool twins = opt.points && dice(self, 2) == 0;
	bool ok = twins	  ? points_write(l, protocol_of(self), id, ++self->pairs[id], dice(self, 1u << 30))
		  : owner ? lists_write_owner(l, protocol_of(self), self->number + 1, ++self->owner)
			  : lists_write(l, protocol_of(self), id, ++self->items[id], dice(self, 1u << 30));

	atomic_fetch_add_explicit(&writes, ok, memory_order_relaxed);
	for (unsigned i = 0; i < opt.ntargets && ok && !atomic_load(&over); i++)
		judge_list(self, &self->check[i]);
}

static void *writer(void *arg)
{
	struct member *self = arg;

	while (!atomic_load(&over)) {
		unsigned id = own_row(self), other = own_row(self);
		int64_t version = ++self->next[id];

		if (opt.lists && id <= LISTS_ROWS)
			write_list(self, id);
		if (dice(self, 10) == 0)
			roll_back(self, id);
		oracle_issued(id, version);
		if (other != id)
			oracle_issued(other, ++self->next[other]);
		if (!write_somehow(self, id, other))
			continue; /* whether it was committed is not known */
		oracle_acked(id, version);
		atomic_fetch_add_explicit(&writes, 1, memory_order_relaxed);
		for (unsigned i = 0; i < opt.ntargets && !atomic_load(&over); i++)
			judge_one(self, &self->check[i], id);
		if (atomic_fetch_add(&cycles, 1) + 1 >= opt.cycles && link_now_us() >= atomic_load(&least_us))
			atomic_store(&over, true);
		if (opt.pause_us > 0 && dice(self, 2) == 0)
			nanosleep(&(struct timespec){.tv_nsec = 1000 * (long)dice(self, opt.pause_us)}, NULL);
	}
	link_close(&self->link);
	for (unsigned i = 0; i < opt.ntargets; i++)
		link_close(&self->check[i]);
	return NULL;
}

/* --- what the stream tells in other ways than by rows --- */

static bool truncate_and_fill(struct member *self, int64_t version)
{
	struct link *l = &self->link;
	char copy[160];

	snprintf(copy, sizeof(copy),
		 "COPY truncated FROM PROGRAM 'seq -f \"%%.0f,%" PRId64 "\" 1 4' WITH (FORMAT csv)", version);
	if (version % 4 == 0)
		return link_begin(l) && link_do(l, PROTOCOL_SIMPLE, "TRUNCATE truncated", NULL, 0) &&
		       link_do(l, PROTOCOL_SIMPLE, copy, NULL, 0) && link_commit(l);
	return link_begin(l) && link_do(l, PROTOCOL_SIMPLE, "TRUNCATE truncated", NULL, 0) &&
	       link_do(l, PROTOCOL_SIMPLE, "INSERT INTO truncated SELECT i, $1 FROM generate_series(1, 4) i",
		       &version, 1) &&
	       link_commit(l);
}

/* New values without a single row change in the stream. */
static bool rewrite(struct member *self, int64_t version)
{
	return link_do(&self->link, PROTOCOL_SIMPLE,
		       "ALTER TABLE rewritten ALTER version TYPE bigint USING $1", &version, 1);
}

static void *alterer(void *arg)
{
	struct member *self = arg;

	for (int64_t version = 1; !atomic_load(&over); version++) {
		bool truncates = version % 2 == 0;
		unsigned first = truncates ? SLOT_TRUNCATED : SLOT_REWRITTEN;
		bool ok;

		for (unsigned id = 1; id <= SMALL_ROWS; id++)
			oracle_issued(first + id, version);
		ok = truncates ? truncate_and_fill(self, version) : rewrite(self, version);
		for (unsigned id = 1; ok && id <= SMALL_ROWS; id++)
			oracle_acked(first + id, version);
		atomic_fetch_add(&alterations, ok);
		if (version % 8 == 0)
			link_do(&self->link, PROTOCOL_SIMPLE,
				"ALTER TABLE truth ADD COLUMN extra int DEFAULT 7", NULL, 0);
		if (version % 8 == 4)
			link_do(&self->link, PROTOCOL_SIMPLE, "ALTER TABLE truth DROP COLUMN IF EXISTS extra",
				NULL, 0);
		nanosleep(&(struct timespec){.tv_nsec = 300000000}, NULL);
	}
	link_close(&self->link);
	return NULL;
}

/* --- the run --- */

/* INSERT and UPDATE come by the trigger, DELETE and a new key by the cascades. */
static bool set_up_mirror(struct link *l)
{
	return link_do(l, PROTOCOL_SIMPLE,
		       "CREATE TABLE mirror (id int PRIMARY KEY REFERENCES truth ON DELETE CASCADE ON UPDATE CASCADE, "
		       "version bigint NOT NULL)",
		       NULL, 0) &&
	       link_do(l, PROTOCOL_SIMPLE, "INSERT INTO mirror SELECT id, version FROM truth", NULL, 0) &&
	       link_do(l, PROTOCOL_SIMPLE,
		       "CREATE OR REPLACE FUNCTION reflect() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
		       "INSERT INTO mirror VALUES (NEW.id, NEW.version) ON CONFLICT (id) DO UPDATE SET version = NEW.version; "
		       "RETURN NULL; END $$",
		       NULL, 0) &&
	       link_do(l, PROTOCOL_SIMPLE,
		       "CREATE TRIGGER reflects AFTER INSERT OR UPDATE ON truth FOR EACH ROW EXECUTE FUNCTION reflect()",
		       NULL, 0);
}

static void set_up(void)
{
	const struct target *direct = NULL;
	struct link l = {0};
	int64_t rows = opt.rows;

	for (unsigned i = 0; i < opt.ntargets; i++)
		direct = opt.target[i].direct ? &opt.target[i] : direct;
	if (direct == NULL) {
		fprintf(stderr, "truth: no --direct target\n");
		exit(64);
	}
	l.target = direct;
	if (opt.hung) /* nobody acknowledges our own commits either */
		l.setup = "SET synchronous_commit = local";
	if (!link_do(&l, PROTOCOL_SIMPLE, "DROP TABLE IF EXISTS mirror, truth, truncated, rewritten", NULL,
		     0) ||
	    !link_do(&l, PROTOCOL_SIMPLE, "CREATE TABLE truth (id int PRIMARY KEY, version bigint NOT NULL)",
		     NULL, 0) ||
	    !link_do(&l, PROTOCOL_SIMPLE,
		     "CREATE TABLE truncated (id int PRIMARY KEY, version bigint NOT NULL)", NULL, 0) ||
	    !link_do(&l, PROTOCOL_SIMPLE,
		     "CREATE TABLE rewritten (id int PRIMARY KEY, version bigint NOT NULL)", NULL, 0) ||
	    !link_do(&l, PROTOCOL_SIMPLE, "INSERT INTO truth SELECT i, 0 FROM generate_series(1, $1) i",
		     &rows, 1) ||
	    !link_do(&l, PROTOCOL_SIMPLE, "INSERT INTO truncated SELECT i, 0 FROM generate_series(1, 4) i",
		     NULL, 0) ||
	    !link_do(&l, PROTOCOL_SIMPLE, "INSERT INTO rewritten SELECT i, 0 FROM generate_series(1, 4) i",
		     NULL, 0)) {
		fprintf(stderr, "truth: cannot set up: %s\n", link_last_error());
		exit(4);
	}
	if (opt.mirror && !set_up_mirror(&l)) {
		fprintf(stderr, "truth: cannot set up mirror: %s\n", link_last_error());
		exit(4);
	}
	if (opt.lists && !lists_set_up(&l, opt.rows, opt.parted)) {
		fprintf(stderr, "truth: cannot set up lists: %s\n", link_last_error());
		exit(4);
	}
	if (opt.points && !points_set_up(&l, opt.rows)) {
		fprintf(stderr, "truth: cannot set up points: %s\n", link_last_error());
		exit(4);
	}
	link_close(&l);
}

static struct member *join(const char *role, unsigned number, void *(*run)(void *))
{
	struct member *self = &members[nmembers++];

	self->number = number;
	self->role = role;
	self->seed = link_now_us() * 2654435761u + nmembers;
	self->link.target = &opt.target[number % opt.ntargets];
	if (run == writer && opt.hung) {
		self->may_hang = number % 2 == 0;
		self->link.setup = self->may_hang ? NULL : "SET synchronous_commit = local";
	} else if (run == alterer && opt.hung) {
		self->link.setup = "SET synchronous_commit = local";
	} else if (run == writer && opt.async && number / opt.ntargets % 2 == 0) {
		self->link.setup = "SET synchronous_commit = off";
	}
	self->link.two_phase = opt.two_phase && run == writer;
	atomic_store(&self->link.ok_us, link_now_us());
	for (unsigned i = 0; i < opt.ntargets; i++) {
		self->check[i].target = &opt.target[i];
		atomic_store(&self->check[i].ok_us, link_now_us());
	}
	if (pthread_create(&self->thread, NULL, run, self) != 0) {
		fprintf(stderr, "truth: no thread\n");
		exit(64);
	}
	return self;
}

/* Who has been waiting for an answer for too long, or was not answered in the last `patience`. */
static unsigned stuck(const struct member *self, bool at_end)
{
	uint64_t now = link_now_us(), busy, ok;
	unsigned n = 0, links = self->role[0] == 'w' ? 1 + opt.ntargets : 1;

	if (self->may_hang)
		return 0;
	for (unsigned i = 0; i < links; i++) {
		const struct link *l = i == 0 ? &self->link : &self->check[i - 1];
		/* PostgreSQL itself is not on trial: on a machine full of readers its processes wait their turn. */
		uint64_t patience = (uint64_t)opt.patience_s * (l->target->direct ? 3000000 : 1000000);

		busy = atomic_load(&l->busy_us);
		ok = atomic_load(&l->ok_us);
		/* The times are noted by other threads: they may be a little later than ours. */
		if ((busy == 0 || busy + patience > now) && (!at_end || ok + patience > now))
			continue;
		fprintf(stderr,
			"HANG: %s %u through %s from port %u: %.1f s without an answer; last error: %s\n",
			self->role, self->number, l->target->name, link_port(l),
			(double)(now - (busy != 0 ? busy : ok)) / 1e6, link_last_error());
		n++;
	}
	return n;
}

static unsigned watch(void)
{
	uint64_t looked = link_now_us(), until = looked + opt.seconds * 1000000, pause_us = 0;
	unsigned hanging = 0;

	while (!atomic_load(&over) && hanging == 0) {
		uint64_t before = looked;

		nanosleep(&(struct timespec){.tv_nsec = LOOK_US * 1000}, NULL);
		looked = link_now_us();
		if (looked - before > pause_us)
			pause_us = looked - before;
		for (unsigned i = 0; i < nmembers; i++)
			hanging += stuck(&members[i], false);
		if (looked > until || (opt.first && oracle_violations() > 0))
			atomic_store(&over, true);
	}
	for (unsigned i = 0; i < nmembers && hanging == 0; i++)
		hanging += stuck(&members[i], true);
	if (hanging > 0) {
		/* A machine that stood still makes everybody wait, this thread too. */
		fprintf(stderr, "WITNESS: longest time between two looks %.1f s, meant to be %.2f\n",
			(double)pause_us / 1e6, LOOK_US / 1e6);
		witness_report(opt.target, opt.ntargets);
	}
	atomic_store(&over, true);
	return hanging;
}

static uint64_t errors(void)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < nmembers; i++) {
		n += atomic_load(&members[i].link.errors);
		for (unsigned t = 0; t < opt.ntargets; t++)
			n += atomic_load(&members[i].check[t].errors);
	}
	return n;
}

/* Waits for those who can end; a hung commit never does, so the process ends without it. */
static void leave(void)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += opt.patience_s;
	for (unsigned i = 0; i < nmembers; i++) {
		if (!members[i].may_hang)
			members[i].finished = pthread_timedjoin_np(members[i].thread, NULL, &until) == 0;
	}
}

static void add_target(char *arg, bool direct)
{
	char *eq = strchr(arg, '=');

	if (eq == NULL || opt.ntargets == TARGETS_MAX) {
		fprintf(stderr, "truth: --target NAME=CONNINFO, at most %u\n", TARGETS_MAX);
		exit(64);
	}
	*eq = '\0';
	opt.target[opt.ntargets++] = (struct target){.name = arg, .conninfo = eq + 1, .direct = direct};
}

static void set_protocol(const char *name)
{
	opt.protocol = -1;
	for (int i = 0; i < NPROTOCOLS; i++) {
		if (strcmp(name, protocol_names[i]) == 0)
			opt.protocol = i;
	}
	if (opt.protocol < 0 && strcmp(name, "mix") != 0) {
		fprintf(stderr, "truth: unknown protocol %s\n", name);
		exit(64);
	}
}

static void parse_options(int argc, char **argv)
{
	static const struct option options[] = {
		{"target", 1, NULL, 't'},  {"direct", 1, NULL, 'd'},	{"writers", 1, NULL, 'w'},
		{"readers", 1, NULL, 'r'}, {"rows", 1, NULL, 'n'},	{"cycles", 1, NULL, 'c'},
		{"seconds", 1, NULL, 's'}, {"protocol", 1, NULL, 'p'},	{"patience", 1, NULL, 'P'},
		{"lists", 0, NULL, 'l'},   {"pause", 1, NULL, 'u'},	{"async", 0, NULL, 'a'},
		{"ddl", 0, NULL, 'D'},	   {"faults", 0, NULL, 'f'},	{"hung", 0, NULL, 'h'},
		{"first", 0, NULL, 'F'},   {"parted", 0, NULL, 'R'},	{"mirror", 0, NULL, 'M'},
		{"points", 0, NULL, 'o'},  {"two-phase", 0, NULL, '2'}, {"least", 1, NULL, 'L'},
		{NULL, 0, NULL, 0},
	};
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 't': add_target(optarg, false); break;
		case 'd': add_target(optarg, true); break;
		case 'w': opt.writers = (unsigned)atoi(optarg); break;
		case 'r': opt.readers = (unsigned)atoi(optarg); break;
		case 'n': opt.rows = (unsigned)atoi(optarg); break;
		case 'c': opt.cycles = strtoull(optarg, NULL, 10); break;
		case 's': opt.seconds = strtoull(optarg, NULL, 10); break;
		case 'L': opt.least = strtoull(optarg, NULL, 10); break;
		case 'p': set_protocol(optarg); break;
		case 'a': opt.async = true; break;
		case 'D': opt.ddl = true; break;
		case 'f': opt.faults = true; break;
		case 'h': opt.hung = true; break;
		case 'F': opt.first = true; break;
		case 'l': opt.lists = true; break;
		case 'R': opt.parted = true; break;
		case 'M': opt.mirror = true; break;
		case '2': opt.two_phase = true; break;
		case 'o': opt.lists = opt.points = true; break;
		case 'u': opt.pause_us = (unsigned)atoi(optarg); break;
		case 'P': opt.patience_s = (unsigned)atoi(optarg); break;
		default: exit(64);
		}
	}
	if (opt.rows > ROWS_MAX || opt.rows < opt.writers || opt.writers == 0 ||
	    opt.writers + opt.readers + 1 > MEMBERS_MAX) {
		fprintf(stderr, "truth: needs 1 to %u rows, no fewer than writers, at most %u threads\n",
			ROWS_MAX, MEMBERS_MAX);
		exit(64);
	}
}

int main(int argc, char **argv)
{
	uint64_t began;
	unsigned hanging;
	int code;

	parse_options(argc, argv);
	set_up();
	began = link_now_us();
	atomic_store(&least_us, began + opt.least * 1000000);
	for (unsigned i = 0; i < opt.writers; i++)
		join("writer", i, writer);
	for (unsigned i = 0; i < opt.readers; i++)
		join("reader", i, reader);
	if (opt.ddl)
		join("alterer", 0, alterer);
	hanging = watch();
	if (hanging == 0)
		leave();
	code = oracle_unsound() > 0	     ? 3
	       : oracle_violations() > 0     ? 1
	       : hanging > 0		     ? 2
	       : !opt.faults && errors() > 0 ? 4
					     : 0;
	if (code == 4)
		fprintf(stderr, "ERROR: %s\n", link_last_error());
	printf("truth: cycles=%" PRIu64 " writes=%" PRIu64 " reads=%" PRIu64 " alterations=%" PRIu64
	       " violations=%" PRIu64 " unsound=%" PRIu64 " errors=%" PRIu64 " hanging=%u seconds=%.1f\n",
	       atomic_load(&cycles), atomic_load(&writes), atomic_load(&reads), atomic_load(&alterations),
	       oracle_violations(), oracle_unsound(), errors(), hanging,
	       (double)(link_now_us() - began) / 1e6);
	fflush(NULL);
	_exit(code);
}
