/* SHOW CONFIG, VERSION, STATE, HELP and others that need no worker. */
#include "proxy/admin/shows.h"

#include "proxy/backend/gates.h"
#include "proxy/base/check.h"
#include "proxy/net/resolve.h"
#include "proxy/session/peer_cancel.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

const struct column columns_config[] = {{"key", COLUMN_TEXT},
					{"value", COLUMN_TEXT},
					{"default", COLUMN_TEXT},
					{"changeable", COLUMN_TEXT},
					{NULL, 0}};
const struct column columns_peers[] = {{"peer_id", COLUMN_INT4},
				       {"host", COLUMN_TEXT},
				       {"port", COLUMN_INT4},
				       {"pool_size", COLUMN_INT4},
				       {NULL, 0}};
const struct column columns_peer_pools[] = {{"peer_id", COLUMN_INT4},
					    {"cl_active_cancel_req", COLUMN_INT4},
					    {"cl_waiting_cancel_req", COLUMN_INT4},
					    {"sv_active_cancel", COLUMN_INT4},
					    {"sv_login", COLUMN_INT4},
					    {NULL, 0}};
const struct column columns_fds[] = {{"fd", COLUMN_INT4}, {NULL, 0}};
const struct column columns_mem[] = {{"name", COLUMN_TEXT}, {"size", COLUMN_INT8},     {"used", COLUMN_INT8},
				     {"free", COLUMN_INT8}, {"memtotal", COLUMN_INT8}, {NULL, 0}};
const struct column columns_dns_hosts[] = {
	{"hostname", COLUMN_TEXT}, {"ttl", COLUMN_INT8}, {"addrs", COLUMN_TEXT}, {NULL, 0}};
const struct column columns_dns_zones[] = {
	{"zonename", COLUMN_TEXT}, {"serial", COLUMN_INT8}, {"count", COLUMN_INT4}, {NULL, 0}};
const struct column columns_version[] = {{"version", COLUMN_TEXT}, {NULL, 0}};
const struct column columns_state[] = {{"key", COLUMN_TEXT}, {"value", COLUMN_TEXT}, {NULL, 0}};
const struct column columns_help[] = {
	{"command", COLUMN_TEXT}, {"rights", COLUMN_TEXT}, {"help", COLUMN_TEXT}, {NULL, 0}};
const struct column columns_one[] = {{"?column?", COLUMN_INT4}, {NULL, 0}};

static struct config *config_of(struct run *run)
{
	return run->parts->control.config(run->parts->control.arg);
}

void show_config(struct run *run)
{
	unsigned n;
	const struct config_option *rows = config_options(&n);
	char value[4096];

	for (unsigned i = 0; i < n; i++) {
		if ((rows[i].scope & CONFIG_GLOBAL) == 0)
			continue;
		config_option_text(config_of(run), &rows[i], value, sizeof value);
		table_text(&run->table, rows[i].name);
		table_text(&run->table, value);
		table_text(&run->table, rows[i].def);
		table_text(&run->table, rows[i].life == CONFIG_LIVE ? "yes" : "no");
	}
	run_done(run);
}

void show_peers(struct run *run)
{
	const struct config *cfg = config_of(run);

	for (unsigned i = 0; i < cfg->peer_count; i++) {
		table_int(&run->table, cfg->peers[i].id);
		table_text(&run->table, cfg->peers[i].host[0] != '\0' ? cfg->peers[i].host : NULL);
		table_int(&run->table, cfg->peers[i].port);
		table_int(&run->table, cfg->peers[i].pool_size);
	}
	run_done(run);
}

struct peer_part {
	int id;
	struct peer_cancel_tally tally;
};

static void count_peers(struct house *h, const struct round_order *order, struct round_part *part)
{
	(void)order;
	for (unsigned i = 0; i < h->config->peer_count; i++) {
		struct peer_part mine = {.id = h->config->peers[i].id};

		peer_cancel_count(h, mine.id, &mine.tally);
		buf_add(&part->text, &mine, sizeof mine);
	}
}

static struct peer_cancel_tally of_all_workers(const struct round *r, int id)
{
	struct peer_cancel_tally sum = {0};
	struct peer_part one;

	for (unsigned i = 0; i < r->nparts; i++) {
		struct span got = r->parts[i].back ? buf_span(&r->parts[i].text) : (struct span){0};

		for (size_t at = 0; at + sizeof one <= got.n; at += sizeof one) {
			memcpy(&one, got.p + at, sizeof one);
			if (one.id != id)
				continue;
			sum.waiting += one.tally.waiting;
			sum.connecting += one.tally.connecting;
			sum.sent += one.tally.sent;
		}
	}
	return sum;
}

static void have_peer_pools(struct run *run, struct round *r)
{
	const struct config *cfg = config_of(run);
	struct table *t = &run->table;

	for (unsigned i = 0; i < cfg->peer_count; i++) {
		struct peer_cancel_tally n = of_all_workers(r, cfg->peers[i].id);

		table_int(t, cfg->peers[i].id);
		table_unsigned(t, n.sent);
		table_unsigned(t, n.waiting + n.connecting);
		table_unsigned(t, n.sent);
		table_unsigned(t, n.connecting);
	}
	run_done(run);
}

void show_peer_pools(struct run *run)
{
	struct round_order order = {.work = count_peers};

	run_round(run, &order, have_peer_pools);
}

void show_fds(struct run *run)
{
	run_fail(
		run, "0A000",
		"SHOW FDS is not supported: descriptors and cancel keys are not handed out; for a new process "
		"without a gap see so_reuseport and socket activation");
}

/* --- SHOW DNS_HOSTS --- */

static void host_row(void *arg, const struct resolve_seen *seen)
{
	char addrs[RESOLVE_MAX * (INET6_ADDRSTRLEN + 1)] = "";
	struct run *run = arg;
	size_t n = 0;

	for (unsigned i = 0; i < seen->answer->n; i++) {
		const struct sockaddr_storage *addr = &seen->answer->addr[i].addr;
		const void *bytes = addr->ss_family == AF_INET6
					    ? (const void *)&((const struct sockaddr_in6 *)addr)->sin6_addr
					    : (const void *)&((const struct sockaddr_in *)addr)->sin_addr;

		if (n > 0)
			addrs[n++] = ',';
		if (inet_ntop(addr->ss_family, bytes, addrs + n, INET6_ADDRSTRLEN) != NULL)
			n += strlen(addrs + n);
	}
	table_text(&run->table, seen->host);
	table_unsigned(&run->table, seen->ttl_us / 1000000);
	table_text(&run->table, addrs);
}

void show_dns_hosts(struct run *run)
{
	resolve_each(host_row, run);
	run_done(run);
}

static void mem_row(struct run *run, const char *name, uint64_t used)
{
	table_text(&run->table, name);
	table_int(&run->table, 0);
	table_unsigned(&run->table, used);
	table_int(&run->table, 0);
	table_unsigned(&run->table, used);
}

/* Pages in memory, from /proc/self/statm. */
static uint64_t resident(void)
{
	unsigned long size = 0, pages = 0;
	FILE *f = fopen("/proc/self/statm", "re");

	if (f == NULL)
		return 0;
	if (fscanf(f, "%lu %lu", &size, &pages) != 2)
		pages = 0;
	fclose(f);
	return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void add_memo(struct house *h, const struct round_order *order, struct round_part *part)
{
	(void)order;
	part->number = memo_bytes(h->memo);
}

static void have_mem(struct run *run, struct round *r)
{
	const struct report_source *source = &run->parts->report;
	struct report_cache *caches = check_alloc(REPORT_CACHES * sizeof *caches);
	unsigned n = source->caches(source->arg, caches, REPORT_CACHES);
	char name[128];

	mem_row(run, "process", resident());
	mem_row(run, "statements", round_number(r));
	for (unsigned i = 0; i < n && i < REPORT_CACHES; i++) {
		snprintf(name, sizeof name, "cache %s", caches[i].database);
		mem_row(run, name, caches[i].bytes);
	}
	free(caches);
	run_done(run);
}

void show_mem(struct run *run)
{
	struct round_order order = {.work = add_memo};

	run_round(run, &order, have_mem);
}

void show_nothing(struct run *run)
{
	run_done(run);
}

void show_version(struct run *run)
{
	table_text(&run->table, "PgBouncer " CONSOLE_LIKE " (pgweir " PGWEIR_VERSION ")");
	run_done(run);
}

void show_state(struct run *run)
{
	bool suspended = pools_suspended(run->parts->pools), paused = pools_paused(run->parts->pools, NULL);
	const struct {
		const char *key;
		bool value;
	} rows[] = {{"active", !paused && !suspended}, {"paused", paused}, {"suspended", suspended}};

	for (unsigned i = 0; i < 3; i++) {
		table_text(&run->table, rows[i].key);
		table_text(&run->table, rows[i].value ? "yes" : "no");
	}
	run_done(run);
}

void show_help(struct run *run)
{
	for (unsigned i = 0; i < command_number; i++) {
		const struct verb *c = &commands[i];

		if (c->help == NULL)
			continue;
		table_printf(&run->table, "%s%s%s", c->words, c->syntax[0] != '\0' ? " " : "", c->syntax);
		table_text(&run->table, c->right == RIGHT_STATS ? "stats_users" : "admin_users");
		table_text(&run->table, c->help);
	}
	run_done(run);
}

void show_param(struct run *run)
{
	table_text(&run->table, run->parsed.command->syntax);
	run_done(run);
}

void show_one(struct run *run)
{
	table_int(&run->table, 1);
	run_done(run);
}
