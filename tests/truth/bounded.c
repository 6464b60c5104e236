/* bounded - what coherence = bounded promises: own writes are seen, no answer is older than the bound, nobody goes back in time.
 *
 *   bounded --target NAME=CONNINFO.. --direct NAME=CONNINFO --bound US [--sessions N] [--rows N] [--readers N] [--cycles N] [--seconds N]
 *           [--pause US] [--async]
 *   bounded --direct NAME=CONNINFO --set-up        makes the tables, first
 *
 * Each row has one writer. A write changes `parent`; a trigger writes `copy` and a foreign key cascades into `child`, all in
 * the same transaction. A cycle is a write and the reads of its three rows by the same session, which must see it; then reads
 * of somebody else's rows: no older than what was acknowledged `bound` before they began, never older than what this session
 * has read or caused before, also not in another table.
 *
 * --readers: so many more sessions only read. --async: half of the writers commit with synchronous_commit = off, so that the stream is
 * far behind what was acknowledged. The last line is a summary; `older` counts answers that were allowed to be behind, and were. Exit: 0 right, 1 a violation, 4
 * errors. */
#include "tests/truth/link.h"

#include <getopt.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define TARGETS_MAX 8u
#define SESSIONS_MAX 64u
#define ROWS_MAX 256u
#define HISTORY 4096u
#define PRINTED_MAX 20u

static struct {
	struct target target[TARGETS_MAX];
	unsigned ntargets, sessions, readers, rows, pause_us;
	bool async, set_up;
	uint64_t cycles, seconds, bound_us;
} opt = {.sessions = 8, .rows = 16, .cycles = 1000, .seconds = 600, .bound_us = 100000};

/* When which version of a row was acknowledged; written by its writer only. */
struct history {
	_Atomic uint64_t n;
	struct {
		_Atomic int64_t version;
		_Atomic uint64_t us;
	} at[HISTORY];
};

static struct history history[ROWS_MAX + 1];
static atomic_bool over;
static _Atomic uint64_t cycles, reads, older, violations, errors;

struct session {
	pthread_t thread;
	unsigned number;
	uint64_t seed;
	int64_t next[ROWS_MAX + 1];
	int64_t floor[ROWS_MAX + 1]; /* what it has read or written */
	struct link link;
};

static struct session sessions[SESSIONS_MAX];

static unsigned dice(struct session *self, unsigned n)
{
	self->seed = self->seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (unsigned)(self->seed >> 33) % n;
}

static void acknowledged(unsigned row, int64_t version)
{
	struct history *h = &history[row];
	uint64_t n = atomic_load(&h->n);

	atomic_store(&h->at[n % HISTORY].version, version);
	atomic_store(&h->at[n % HISTORY].us, link_now_us());
	atomic_store(&h->n, n + 1);
}

/* The newest version that was acknowledged at that time; 0 when it is not known any more. */
static int64_t known_at(unsigned row, uint64_t us)
{
	const struct history *h = &history[row];
	uint64_t n = atomic_load(&h->n);

	for (uint64_t i = n; i > 0 && n - i < HISTORY - 2; i--)
		if (atomic_load(&h->at[(i - 1) % HISTORY].us) <= us) {
			int64_t version = atomic_load(&h->at[(i - 1) % HISTORY].version);

			/* Somebody may have gone round meanwhile. */
			return atomic_load(&h->n) - i < HISTORY - 2 ? version : 0;
		}
	return 0;
}

static void violation(struct session *self, const char *what, const char *table, unsigned row, int64_t want,
		      int64_t got)
{
	if (atomic_fetch_add(&violations, 1) < PRINTED_MAX)
		fprintf(stderr, "%s: %s %u through %s: got %" PRId64 ", not %" PRId64 "\n", what, table, row,
			self->link.target->name, got, want);
}

static const char *const tables[] = {"parent", "copy", "child"};
/* Of two kinds, so that rows which one brings answer the other. */
static const char *const texts[2][3] = {
	{"SELECT v FROM parent WHERE id = $1", "SELECT v FROM copy WHERE id = $1",
	 "SELECT v FROM child WHERE id = $1"},
	{"SELECT v, id FROM parent WHERE id IN ($1)", "SELECT v, id FROM copy WHERE id IN ($1)",
	 "SELECT v, id FROM child WHERE id IN ($1)"},
};

/* -1: no answer. */
static int64_t read_version(struct session *self, unsigned table, unsigned row)
{
	int64_t arg = row, version = -1;
	PGresult *result = link_run(&self->link, (enum protocol)dice(self, NPROTOCOLS),
				    texts[dice(self, 2)][table], &arg, 1);

	if (result == NULL) {
		atomic_fetch_add(&errors, 1);
		return -1;
	}
	if (PQntuples(result) == 1)
		version = link_value(result, 0, 0);
	PQclear(result);
	atomic_fetch_add(&reads, 1);
	return version;
}

static void read_own(struct session *self, unsigned row)
{
	for (unsigned table = 0; table < 3; table++) {
		int64_t got = read_version(self, table, row);

		if (got != self->next[row])
			violation(self, "OWN WRITE", tables[table], row, self->next[row], got);
	}
}

static void read_other(struct session *self)
{
	unsigned row = 1 + dice(self, opt.rows), table = dice(self, 3);

	for (unsigned i = 0; i < 3; i++, table = (table + 1) % 3) {
		uint64_t began = link_now_us();
		int64_t floor = known_at(row, began - opt.bound_us), newest = known_at(row, began);
		int64_t got = read_version(self, table, row);

		if (got < 0)
			continue;
		if (got < floor)
			violation(self, "TOO OLD", tables[table], row, floor, got);
		if (got < self->floor[row])
			violation(self, "BACK IN TIME", tables[table], row, self->floor[row], got);
		else
			self->floor[row] = got;
		if (got < newest)
			atomic_fetch_add(&older, 1);
	}
}

static bool write_row(struct session *self, unsigned row)
{
	static const char *const update = "UPDATE parent SET v = $2 WHERE id = $1";
	int64_t args[] = {row, ++self->next[row]};
	struct link *l = &self->link;
	bool ok;

	if (dice(self, 2) == 0)
		ok = link_do(l, (enum protocol)dice(self, NPROTOCOLS), update, args, 2);
	else
		ok = link_do(l, PROTOCOL_SIMPLE, "BEGIN", NULL, 0) &&
		     link_do(l, (enum protocol)dice(self, NPROTOCOLS), update, args, 2) &&
		     link_do(l, PROTOCOL_SIMPLE, "COMMIT", NULL, 0);
	if (!ok) {
		atomic_fetch_add(&errors, 1);
		return false;
	}
	acknowledged(row, self->next[row]);
	self->floor[row] = self->next[row];
	return true;
}

static void *run(void *arg)
{
	struct session *self = arg;
	unsigned mine = (opt.rows - self->number - 1) / opt.sessions + 1;

	while (!atomic_load(&over)) {
		unsigned row = 1 + self->number + opt.sessions * dice(self, mine);

		if (write_row(self, row))
			read_own(self, row);
		for (unsigned n = dice(self, 8); n > 0 && !atomic_load(&over); n--)
			read_other(self);
		if (atomic_fetch_add(&cycles, 1) + 1 >= opt.cycles)
			atomic_store(&over, true);
		if (opt.pause_us > 0)
			nanosleep(&(struct timespec){.tv_nsec = 1000 * (long)dice(self, opt.pause_us)}, NULL);
	}
	link_close(&self->link);
	return NULL;
}

static void *watch(void *arg)
{
	struct session *self = arg;

	while (!atomic_load(&over))
		read_other(self);
	link_close(&self->link);
	return NULL;
}

static void set_up(const struct target *direct)
{
	static const char *const statements[] = {
		"DROP TABLE IF EXISTS parent, copy, child CASCADE",
		"CREATE TABLE parent (id int PRIMARY KEY, v bigint, UNIQUE (id, v))",
		"CREATE TABLE copy (id int PRIMARY KEY, v bigint)",
		"CREATE TABLE child (id int PRIMARY KEY, pid int, v bigint, FOREIGN KEY (pid, v) REFERENCES parent (id, v)"
		" ON UPDATE CASCADE)",
		"CREATE OR REPLACE FUNCTION copy_row() RETURNS trigger LANGUAGE plpgsql AS"
		" 'BEGIN UPDATE copy SET v = NEW.v WHERE id = NEW.id; RETURN NULL; END'",
		"CREATE TRIGGER copy_row AFTER UPDATE ON parent FOR EACH ROW EXECUTE FUNCTION copy_row()",
		"INSERT INTO parent SELECT i, 0 FROM generate_series(1, 256) i",
		"INSERT INTO copy SELECT i, 0 FROM generate_series(1, 256) i",
		"INSERT INTO child SELECT i, i, 0 FROM generate_series(1, 256) i"};
	struct link l = {.target = direct};

	for (unsigned i = 0; i < sizeof(statements) / sizeof(*statements); i++)
		if (!link_do(&l, PROTOCOL_SIMPLE, statements[i], NULL, 0)) {
			fprintf(stderr, "bounded: cannot set up: %s\n", link_last_error());
			exit(4);
		}
	link_close(&l);
}

static void add_target(char *arg, bool direct)
{
	char *eq = strchr(arg, '=');

	if (eq == NULL || opt.ntargets == TARGETS_MAX)
		exit(64);
	*eq = '\0';
	opt.target[opt.ntargets++] = (struct target){.name = arg, .conninfo = eq + 1, .direct = direct};
}

static void parse_options(int argc, char **argv)
{
	static const struct option options[] = {
		{"target", 1, NULL, 't'},   {"direct", 1, NULL, 'd'}, {"bound", 1, NULL, 'b'},
		{"sessions", 1, NULL, 'n'}, {"rows", 1, NULL, 'r'},   {"cycles", 1, NULL, 'c'},
		{"readers", 1, NULL, 'R'},  {"async", 0, NULL, 'a'},  {"seconds", 1, NULL, 's'},
		{"pause", 1, NULL, 'p'},    {"set-up", 0, NULL, 'S'}, {NULL, 0, NULL, 0},
	};
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1)
		switch (c) {
		case 't': add_target(optarg, false); break;
		case 'd': add_target(optarg, true); break;
		case 'b': opt.bound_us = strtoull(optarg, NULL, 10); break;
		case 'n': opt.sessions = (unsigned)atoi(optarg); break;
		case 'r': opt.rows = (unsigned)atoi(optarg); break;
		case 'c': opt.cycles = strtoull(optarg, NULL, 10); break;
		case 's': opt.seconds = strtoull(optarg, NULL, 10); break;
		case 'R': opt.readers = (unsigned)atoi(optarg); break;
		case 'a': opt.async = true; break;
		case 'p': opt.pause_us = (unsigned)atoi(optarg); break;
		case 'S': opt.set_up = true; break;
		default: exit(64);
		}
	if (opt.set_up)
		return;
	if (opt.sessions == 0 || opt.sessions + opt.readers > SESSIONS_MAX || opt.rows < opt.sessions ||
	    opt.rows > ROWS_MAX || opt.ntargets == 0)
		exit(64);
}

int main(int argc, char **argv)
{
	uint64_t until;

	parse_options(argc, argv);
	if (opt.set_up) {
		for (unsigned i = 0; i < opt.ntargets; i++)
			if (opt.target[i].direct)
				set_up(&opt.target[i]);
		return 0;
	}
	until = link_now_us() + opt.seconds * 1000000;
	for (unsigned i = 0; i < opt.sessions + opt.readers; i++) {
		struct session *self = &sessions[i];

		self->number = i;
		self->seed = link_now_us() * 2654435761u + i;
		self->link.target = &opt.target[i % opt.ntargets];
		if (opt.async && i % 2 == 0)
			self->link.setup = "SET synchronous_commit = off";
		if (pthread_create(&self->thread, NULL, i < opt.sessions ? run : watch, self) != 0)
			exit(64);
	}
	while (!atomic_load(&over)) {
		nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
		if (link_now_us() > until)
			atomic_store(&over, true);
	}
	for (unsigned i = 0; i < opt.sessions + opt.readers; i++)
		pthread_join(sessions[i].thread, NULL);
	if (atomic_load(&errors) > 0)
		fprintf(stderr, "ERROR: %s\n", link_last_error());
	printf("bounded: cycles=%" PRIu64 " reads=%" PRIu64 " older=%" PRIu64 " violations=%" PRIu64
	       " errors=%" PRIu64 "\n",
	       atomic_load(&cycles), atomic_load(&reads), atomic_load(&older), atomic_load(&violations),
	       atomic_load(&errors));
	return atomic_load(&violations) > 0 ? 1 : atomic_load(&errors) > 0 ? 4 : 0;
}
