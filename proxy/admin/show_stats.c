/* SHOW STATS and its parts. */
#include "proxy/admin/shows.h"

#include "proxy/base/check.h"

#include <stdio.h>

/* ROW(tally, total's name, average's name) in PgBouncer's order; OURS behind them. */
#define STATS_THEIRS(ROW)                                                  \
	ROW(assignments, server_assignment_count, server_assignment_count) \
	ROW(transactions, xact_count, xact_count)                          \
	ROW(statements, query_count, query_count)                          \
	ROW(bytes_received, received, recv)                                \
	ROW(bytes_sent, sent, sent)                                        \
	ROW(transaction_us, xact_time, xact_time)                          \
	ROW(statement_us, query_time, query_time)                          \
	ROW(wait_us, wait_time, wait_time)                                 \
	ROW(client_parses, client_parse_count, client_parse_count)         \
	ROW(server_parses, server_parse_count, server_parse_count)         \
	ROW(binds, bind_count, bind_count)

#define STATS_OURS(ROW)                                         \
	ROW(logins, client_login_count, client_login_count)     \
	ROW(hits, cache_hit_count, cache_hit_count)             \
	ROW(row_hits, cache_row_hit_count, cache_row_hit_count) \
	ROW(misses, cache_miss_count, cache_miss_count)         \
	ROW(fills, cache_fill_count, cache_fill_count)

#define NUM(name) {#name, COLUMN_NUMERIC},
#define TOTAL(tally, total, average) NUM(total_##total)
#define AVERAGE(tally, total, average) NUM(avg_##average)
#define ID(tally, total, average) TALLY_##tally,

/* In STATS_TOTALS and STATS_AVERAGES two names differ. */
#define PLAIN(tally, total, average) {plain_##total, COLUMN_NUMERIC},
#define plain_server_assignment_count "server_assignment_count"
#define plain_xact_count "xact_count"
#define plain_query_count "query_count"
#define plain_received "bytes_received"
#define plain_sent "bytes_sent"
#define plain_xact_time "xact_time"
#define plain_query_time "query_time"
#define plain_wait_time "wait_time"
#define plain_client_parse_count "client_parse_count"
#define plain_server_parse_count "server_parse_count"
#define plain_bind_count "bind_count"
#define plain_client_login_count "client_login_count"
#define plain_cache_hit_count "cache_hit_count"
#define plain_cache_row_hit_count "cache_row_hit_count"
#define plain_cache_miss_count "cache_miss_count"
#define plain_cache_fill_count "cache_fill_count"

/* The last one is total_query_count by the name that it had before PgBouncer 1.8: some exporters still look for it. */
const struct column columns_stats[] = {{"database", COLUMN_TEXT},
				       STATS_THEIRS(TOTAL) STATS_THEIRS(AVERAGE) STATS_OURS(TOTAL)
					       STATS_OURS(AVERAGE) NUM(total_requests){NULL, 0}};
const struct column columns_totals_of[] = {{"database", COLUMN_TEXT},
					   STATS_THEIRS(PLAIN) STATS_OURS(PLAIN){NULL, 0}};
const struct column columns_averages[] = {{"database", COLUMN_TEXT},
					  STATS_THEIRS(PLAIN) STATS_OURS(PLAIN){NULL, 0}};
const struct column columns_totals[] = {{"name", COLUMN_TEXT}, {"value", COLUMN_NUMERIC}, {NULL, 0}};

static const enum tally_id theirs[] = {STATS_THEIRS(ID)}, ours[] = {STATS_OURS(ID)};
#define THEIRS (sizeof theirs / sizeof theirs[0])
#define OURS (sizeof ours / sizeof ours[0])
_Static_assert(THEIRS + OURS == NTALLIES, "every tally is shown");

static void values(struct table *t, const enum tally_id *ids, unsigned n, const uint64_t v[NTALLIES])
{
	for (unsigned i = 0; i < n; i++)
		table_unsigned(t, v[ids[i]]);
}

enum part { PART_TOTALS = 1, PART_AVERAGES = 2 };

static void stats_row(struct run *run, const struct database_totals *d, uint64_t now_us, unsigned parts)
{
	uint64_t avg[NTALLIES] = {0};

	if (!run_wants(run, d->database))
		return;
	if (parts & PART_AVERAGES)
		averages_of(run->averages, d, now_us, avg);
	table_text(&run->table, d->database);
	if (parts & PART_TOTALS)
		values(&run->table, theirs, THEIRS, d->v);
	if (parts & PART_AVERAGES)
		values(&run->table, theirs, THEIRS, avg);
	if (parts & PART_TOTALS)
		values(&run->table, ours, OURS, d->v);
	if (parts & PART_AVERAGES)
		values(&run->table, ours, OURS, avg);
	if (parts == (PART_TOTALS | PART_AVERAGES))
		table_unsigned(&run->table, d->v[TALLY_statements]);
}

/* The console's own row, as PgBouncer has one. */
static void own_row(const struct run *run, struct database_totals *d)
{
	*d = (struct database_totals){.database = "pgbouncer"};
	d->v[TALLY_transactions] = d->v[TALLY_statements] = run->commands;
}

static void stats(struct run *run, unsigned parts)
{
	struct database_totals own;
	struct totals t;

	totals_take(&t, run->parts->pools);
	for (unsigned i = 0; i < t.n; i++)
		stats_row(run, &t.at[i], t.taken_us, parts);
	own_row(run, &own);
	stats_row(run, &own, t.taken_us, parts);
	totals_free(&t);
	run_done(run);
}

void show_stats(struct run *run)
{
	stats(run, PART_TOTALS | PART_AVERAGES);
}

void show_stats_totals(struct run *run)
{
	stats(run, PART_TOTALS);
}

void show_stats_averages(struct run *run)
{
	stats(run, PART_AVERAGES);
}

void show_totals(struct run *run)
{
	struct database_totals all = {.database = ""};
	uint64_t avg[NTALLIES] = {0}, one[NTALLIES];
	struct totals t;
	unsigned column = 1;

	totals_take(&t, run->parts->pools);
	for (unsigned i = 0; i < t.n; i++) {
		averages_of(run->averages, &t.at[i], t.taken_us, one);
		for (unsigned j = 0; j < NTALLIES; j++) {
			all.v[j] += t.at[i].v[j];
			avg[j] += one[j];
		}
	}
	totals_free(&t);
	for (unsigned i = 0; i < 2 * (THEIRS + OURS); i++, column++) {
		bool our = i >= 2 * THEIRS;
		unsigned at = our ? (unsigned)((i - 2 * THEIRS) % OURS) : (unsigned)(i % THEIRS);
		bool average = our ? i - 2 * THEIRS >= OURS : i >= THEIRS;
		enum tally_id id = our ? ours[at] : theirs[at];

		table_text(&run->table, columns_stats[column].name);
		table_unsigned(&run->table, average ? avg[id] : all.v[id]);
	}
	run_done(run);
}
