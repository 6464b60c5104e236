/* SHOW CLIENTS, SERVERS, SOCKETS, ACTIVE_SOCKETS, PINS: a row per connection, gathered from the workers. */
#include "proxy/admin/shows.h"

#include "proxy/base/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define SOCKET_COLUMNS                                                                               \
	{"type", COLUMN_TEXT}, {"user", COLUMN_TEXT}, {"database", COLUMN_TEXT},                     \
		{"replication", COLUMN_TEXT}, {"state", COLUMN_TEXT}, {"addr", COLUMN_TEXT},         \
		{"port", COLUMN_INT4}, {"local_addr", COLUMN_TEXT}, {"local_port", COLUMN_INT4},     \
		{"connect_time", COLUMN_TEXT}, {"request_time", COLUMN_TEXT}, {"wait", COLUMN_INT4}, \
		{"wait_us", COLUMN_INT4}, {"close_needed", COLUMN_INT4}, {"ptr", COLUMN_TEXT},       \
		{"link", COLUMN_TEXT}, {"remote_pid", COLUMN_INT4}, {"tls", COLUMN_TEXT},            \
		{"application_name", COLUMN_TEXT}, {"prepared_statements", COLUMN_INT4},             \
	{                                                                                            \
		"id", COLUMN_INT4                                                                    \
	}
#define SOCKET_DEBUG                                                                                 \
	{"recv_pos", COLUMN_INT4}, {"pkt_pos", COLUMN_INT4}, {"pkt_remain", COLUMN_INT4},            \
		{"send_pos", COLUMN_INT4}, {"send_remain", COLUMN_INT4}, {"pkt_avail", COLUMN_INT4}, \
	{                                                                                            \
		"send_avail", COLUMN_INT4                                                            \
	}
#define SOCKET_OURS                                           \
	{"doing", COLUMN_TEXT}, {"transaction", COLUMN_TEXT}, \
	{                                                     \
		"pins", COLUMN_TEXT                           \
	}

const struct column columns_sockets[] = {SOCKET_COLUMNS, SOCKET_OURS, {NULL, 0}};
const struct column columns_sockets_all[] = {SOCKET_COLUMNS, SOCKET_DEBUG, SOCKET_OURS, {NULL, 0}};
const struct column columns_pins[] = {{"database", COLUMN_TEXT}, {"user", COLUMN_TEXT},
				      {"id", COLUMN_INT8},	 {"pins", COLUMN_TEXT},
				      {"state", COLUMN_TEXT},	 {"transaction", COLUMN_TEXT},
				      {"state_us", COLUMN_INT8}, {"addr", COLUMN_TEXT},
				      {"port", COLUMN_INT4},	 {"application_name", COLUMN_TEXT},
				      {"link", COLUMN_TEXT},	 {NULL, 0}};

/* --- in the workers --- */

static void gather_clients(struct house *h, const struct round_order *order, struct round_part *part)
{
	roster_clients(h, order->deep, &part->rows);
}

static void gather_servers(struct house *h, const struct round_order *order, struct round_part *part)
{
	roster_servers(&h->host, order->deep, &part->rows);
}

static void gather_both(struct house *h, const struct round_order *order, struct round_part *part)
{
	gather_clients(h, order, part);
	gather_servers(h, order, part);
}

/* --- in the console's loop --- */

static int by_id(const void *a, const void *b)
{
	const struct socket_row *x = *(const struct socket_row *const *)a,
				*y = *(const struct socket_row *const *)b;

	if (x->server != y->server)
		return x->server ? 1 : -1;
	return x->id < y->id ? -1 : x->id > y->id;
}

struct row_list {
	struct socket_row **at; /* owned; the rows are the round's */
	size_t n;
};

/* Rows of all parts, sorted, and the links of the servers filled in from their clients'. */
static struct row_list sorted(struct round *r)
{
	struct row_list list = {0};
	struct socket_row key = {.server = true}, *keyp = &key, **found;

	for (unsigned i = 0; i < r->nparts; i++)
		list.n += r->parts[i].back ? r->parts[i].rows.n : 0;
	list.at = check_alloc((list.n + 1) * sizeof *list.at);
	list.n = 0;
	for (unsigned i = 0; i < r->nparts; i++)
		for (size_t j = 0; r->parts[i].back && j < r->parts[i].rows.n; j++)
			list.at[list.n++] = &r->parts[i].rows.rows[j];
	qsort(list.at, list.n, sizeof *list.at, by_id);
	for (size_t i = 0; i < list.n && !list.at[i]->server; i++) {
		key.id = list.at[i]->link;
		found = key.id == 0 ? NULL : bsearch(&keyp, list.at, list.n, sizeof *list.at, by_id);
		if (found != NULL)
			(*found)->link = list.at[i]->id;
	}
	return list;
}

static void moment(struct table *t, uint64_t ago_us)
{
	struct timespec now;
	struct tm at;
	time_t then;
	char text[64];

	clock_gettime(CLOCK_REALTIME, &now);
	then = now.tv_sec - (time_t)(ago_us / 1000000);
	gmtime_r(&then, &at);
	strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S UTC", &at);
	table_text(t, text);
}

static void handle(struct table *t, bool server, uint64_t id)
{
	if (id == 0)
		table_text(t, "");
	else
		table_printf(t, "%c%llu", server ? 's' : 'c', (unsigned long long)id);
}

static void pins_text(struct table *t, unsigned pins)
{
	char text[128] = "";

	for (unsigned i = 0; pin_name(i) != NULL; i++)
		if (pins & (1u << i))
			snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s",
				 text[0] != '\0' ? "," : "", pin_name(i));
	table_text(t, text);
}

static void transaction_text(struct table *t, char status)
{
	table_text(t, status == 'T' ? "open" : status == 'E' ? "failed" : "");
}

static void debug_cells(struct table *t, const struct socket_row *row)
{
	table_int(t, 0);
	table_int(t, 0);
	table_int(t, 0);
	table_int(t, 0);
	table_int(t, 0);
	table_unsigned(t, row->unread);
	table_unsigned(t, row->unsent);
}

/* SOCKETS names states of both kinds apart. */
static void state_cell(struct table *t, const struct socket_row *row, bool all)
{
	bool new = strcmp(row->state, "new") == 0;

	if (!all)
		table_text(t, row->state);
	else
		table_printf(t, "%s_%s", row->server ? "sv" : "cl", new ? "login" : row->state);
}

static void socket_cells(struct table *t, const struct socket_row *row, bool all)
{
	table_text(t, row->server ? "S" : "C");
	table_text(t, row->user);
	table_text(t, row->database);
	table_text(t, row->replication);
	state_cell(t, row, all);
	table_text(t, row->addr);
	table_int(t, row->port);
	table_text(t, row->local_addr);
	table_int(t, row->local_port);
	moment(t, row->age_us);
	moment(t, row->asked_us != UINT64_MAX ? row->asked_us : row->age_us);
	table_unsigned(t, row->wait_us / 1000000);
	table_unsigned(t, row->wait_us % 1000000);
	table_int(t, row->close_needed);
	handle(t, row->server, row->id);
	handle(t, !row->server, row->link);
	table_unsigned(t, row->remote_pid);
	table_text(t, row->tls);
	table_text(t, row->application_name);
	table_unsigned(t, row->prepared);
	table_unsigned(t, row->id);
	if (all)
		debug_cells(t, row);
	table_text(t, row->doing != NULL ? row->doing : "");
	transaction_text(t, row->transaction);
	pins_text(t, row->pins);
}

enum kinds { CLIENTS = 1, SERVERS = 2, ONLY_ACTIVE = 4, ALL_COLUMNS = 8 };

static void socket_table(struct run *run, struct round *r, unsigned kinds)
{
	struct row_list list = sorted(r);

	for (size_t i = 0; i < list.n; i++) {
		const struct socket_row *row = list.at[i];
		bool login = strcmp(row->state, "login") == 0;

		if ((kinds & (row->server ? SERVERS : CLIENTS)) == 0 || !run_wants(run, row->database))
			continue;
		if (!(kinds & ALL_COLUMNS) && login)
			continue; /* it has no pool yet */
		if ((kinds & ONLY_ACTIVE) && row->unread == 0 && row->unsent == 0)
			continue;
		socket_cells(&run->table, row, (kinds & ALL_COLUMNS) != 0);
	}
	free(list.at);
	run_done(run);
}

static void have_clients(struct run *run, struct round *r)
{
	socket_table(run, r, CLIENTS);
}

static void have_servers(struct run *run, struct round *r)
{
	socket_table(run, r, SERVERS);
}

static void have_both(struct run *run, struct round *r)
{
	socket_table(run, r, CLIENTS | SERVERS | ALL_COLUMNS);
}

static void have_active(struct run *run, struct round *r)
{
	socket_table(run, r, CLIENTS | SERVERS | ALL_COLUMNS | ONLY_ACTIVE);
}

/* The clients are asked for their links. */
static void ask(struct run *run, void (*then)(struct run *run, struct round *r))
{
	struct round_order order = {.work = gather_both, .deep = true};

	run_round(run, &order, then);
}

void show_clients(struct run *run)
{
	struct round_order order = {.work = gather_clients, .deep = true};

	run_round(run, &order, have_clients);
}

void show_servers(struct run *run)
{
	ask(run, have_servers);
}

void show_sockets(struct run *run)
{
	ask(run, have_both);
}

void show_active_sockets(struct run *run)
{
	ask(run, have_active);
}

static void have_pins(struct run *run, struct round *r)
{
	struct row_list list = sorted(r);
	struct table *t = &run->table;

	for (size_t i = 0; i < list.n; i++) {
		const struct socket_row *row = list.at[i];

		if (row->pins == 0 || !run_wants(run, row->database))
			continue;
		table_text(t, row->database);
		table_text(t, row->user);
		table_unsigned(t, row->id);
		pins_text(t, row->pins);
		table_text(t, row->state);
		transaction_text(t, row->transaction);
		table_unsigned(t, row->pinned_us);
		table_text(t, row->addr);
		table_int(t, row->port);
		table_text(t, row->application_name);
		handle(t, true, row->link);
	}
	free(list.at);
	run_done(run);
}

void show_pins(struct run *run)
{
	struct round_order order = {.work = gather_clients, .deep = true};

	run_round(run, &order, have_pins);
}
