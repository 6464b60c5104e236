#include "proxy/origin/link.h"
#include "proxy/base/clock.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Whatever the role or the database have set, these connections behave the same:
 *  - a commit of the flushing message must flush, and must not wait for a standby;
 *  - bytea has one text form in the stream;
 *  - a long planner path (JIT, parallel workers) would cost more than the small queries here. */
#define LINK_OPTIONS                                                                                                          \
	"-c synchronous_commit=local -c default_transaction_read_only=off -c default_transaction_isolation=read\\ committed " \
	"-c search_path=pg_catalog -c bytea_output=hex -c extra_float_digits=1 -c statement_timeout=0 -c lock_timeout=0 "     \
	"-c idle_in_transaction_session_timeout=0 -c jit=off -c max_parallel_workers_per_gather=0"

static void add(const char **keys, const char **values, int *n, const char *key, const char *value)
{
	if (value == NULL || *value == '\0')
		return;
	keys[*n] = key;
	values[*n] = value;
	++*n;
}

/* libpq would write them to stderr. */
static void drop_notice(void *arg, const PGresult *notice)
{
	(void)arg;
	(void)notice;
}

PGconn *link_start(const struct link_target *t, struct err *err)
{
	const char *keys[24], *values[24];
	char timeout[16];
	PGconn *conn;
	int n = 0;

	snprintf(timeout, sizeof(timeout), "%d", t->connect_timeout_s > 0 ? t->connect_timeout_s : 15);
	add(keys, values, &n, "host", t->host);
	add(keys, values, &n, "hostaddr", t->address);
	add(keys, values, &n, "port", t->port);
	add(keys, values, &n, "dbname", t->dbname);
	add(keys, values, &n, "user", t->user);
	add(keys, values, &n, "password", t->password);
	add(keys, values, &n, "sslmode", t->sslmode);
	add(keys, values, &n, "sslrootcert", t->sslrootcert);
	add(keys, values, &n, "sslcert", t->sslcert);
	add(keys, values, &n, "sslkey", t->sslkey);
	add(keys, values, &n, "target_session_attrs", t->attrs);
	add(keys, values, &n, "application_name", t->name);
	add(keys, values, &n, "connect_timeout", timeout);
	add(keys, values, &n, "replication", t->replication ? "database" : NULL);
	add(keys, values, &n, "options", LINK_OPTIONS);
	/* No conversion: names and values are compared with those of the stream, which has none. */
	add(keys, values, &n, "client_encoding", t->utf8 ? "UTF8" : "SQL_ASCII");
	add(keys, values, &n, "keepalives_idle", "10");
	add(keys, values, &n, "keepalives_interval", "5");
	add(keys, values, &n, "keepalives_count", "3");
	add(keys, values, &n, "tcp_user_timeout", "20000");
	keys[n] = values[n] = NULL;
	conn = PQconnectStartParams(keys, values, 0);
	if (conn == NULL) {
		err_set(err, "no memory for a connection");
		return NULL;
	}
	PQsetNoticeReceiver(conn, drop_notice, NULL);
	if (PQstatus(conn) != CONNECTION_BAD)
		return conn;
	link_failed(conn, "cannot connect", err);
	PQfinish(conn);
	return NULL;
}

static int timeout_ms(const struct link_wait *wait)
{
	uint64_t now = clock_us();

	if (wait->until_us == 0)
		return -1;
	if (now >= wait->until_us)
		return 0;
	return (int)((wait->until_us - now) / 1000 > 60000 ? 60000 : (wait->until_us - now) / 1000 + 1);
}

int link_poll(PGconn *conn, short events, const struct link_wait *wait, struct err *err)
{
	struct pollfd fds[2] = {{.fd = PQsocket(conn), .events = events},
				{.fd = wait->wake_fd, .events = POLLIN}};
	uint64_t drained;

	for (;;) {
		if (wait->stop != NULL && atomic_load(wait->stop))
			return err_set(err, "told to stop");
		if (poll(fds, wait->wake_fd >= 0 ? 2 : 1, timeout_ms(wait)) < 0 && errno != EINTR)
			return err_set(err, "poll: %s", strerror(errno));
		if (wait->wake_fd >= 0 && (fds[1].revents & POLLIN) &&
		    read(wait->wake_fd, &drained, sizeof(drained)) < 0 && errno != EAGAIN && errno != EINTR)
			return err_set(err, "cannot read the wake-up: %s", strerror(errno));
		if (fds[0].revents != 0)
			return 0;
		if (wait->until_us != 0 && clock_us() >= wait->until_us)
			return err_set(err, "no answer in time");
		fds[0].revents = fds[1].revents = 0;
	}
}

void link_sleep(int wake_fd, uint64_t for_us)
{
	struct pollfd fd = {.fd = wake_fd, .events = POLLIN};
	uint64_t drained;

	if (poll(&fd, 1, (int)(for_us / 1000 > 60000 ? 60000 : for_us / 1000 + 1)) > 0 &&
	    read(wake_fd, &drained, sizeof(drained)) < 0 && errno != EAGAIN && errno != EINTR)
		poll(NULL, 0, 10); /* never: but not a busy loop */
}

int link_open(const struct link_target *target, const struct link_wait *wait, PGconn **conn_r,
	      struct err *err)
{
	PGconn *conn = link_start(target, err);
	PostgresPollingStatusType step = PGRES_POLLING_WRITING;

	if (conn == NULL)
		return -1;
	while (step == PGRES_POLLING_READING || step == PGRES_POLLING_WRITING) {
		if (link_poll(conn, step == PGRES_POLLING_READING ? POLLIN : POLLOUT, wait, err) != 0)
			goto fail;
		step = PQconnectPoll(conn);
	}
	if (step != PGRES_POLLING_OK || PQsetnonblocking(conn, 1) != 0) {
		link_failed(conn, "cannot connect", err);
		goto fail;
	}
	*conn_r = conn;
	return 0;
fail:
	PQfinish(conn);
	return -1;
}

/* Until the whole request is sent and an answer can be taken without blocking. */
static int settle(PGconn *conn, const struct link_wait *wait, struct err *err)
{
	for (;;) {
		int unsent = PQflush(conn);

		if (unsent < 0)
			return link_failed(conn, "connection lost", err);
		if (unsent == 0 && !PQisBusy(conn))
			return 0;
		if (link_poll(conn, unsent ? POLLIN | POLLOUT : POLLIN, wait, err) != 0)
			return -1;
		if (!PQconsumeInput(conn))
			return link_failed(conn, "connection lost", err);
	}
}

int link_collect(PGconn *conn, const struct link_wait *wait, PGresult **result_r, struct err *err)
{
	PGresult *result, *kept = NULL;

	for (;;) {
		if (settle(conn, wait, err) != 0) {
			PQclear(kept);
			return -1;
		}
		result = PQgetResult(conn);
		if (result == NULL)
			break;
		PQclear(kept);
		kept = result;
		if (PQresultStatus(kept) == PGRES_COPY_BOTH)
			break; /* it has no end */
	}
	switch (PQresultStatus(kept)) {
	case PGRES_TUPLES_OK:
	case PGRES_COMMAND_OK:
	case PGRES_COPY_BOTH: *result_r = kept; return 0;
	default: break;
	}
	if (kept == NULL)
		return link_failed(conn, "no result", err);
	link_refused(kept, NULL, err);
	PQclear(kept);
	return -1;
}

int link_query(PGconn *conn, const char *sql, const struct link_wait *wait, PGresult **result_r,
	       struct err *err)
{
	if (!PQsendQuery(conn, sql))
		return link_failed(conn, "cannot send", err);
	return link_collect(conn, wait, result_r, err);
}

int link_prepare(PGconn *conn, const char *name, const char *sql, const struct link_wait *wait,
		 struct err *err)
{
	PGresult *result;

	if (!PQsendPrepare(conn, name, sql, 0, NULL))
		return link_failed(conn, "cannot send", err);
	if (link_collect(conn, wait, &result, err) != 0)
		return -1;
	PQclear(result);
	return 0;
}

static void one_line(char *text)
{
	size_t n = strlen(text);

	while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == ' '))
		text[--n] = '\0';
	for (char *c = text; *c != '\0'; c++) {
		if (*c == '\n' || *c == '\t' || *c == '\r')
			*c = ' ';
	}
}

int link_failed(PGconn *conn, const char *what, struct err *err)
{
	const char *text = PQerrorMessage(conn);

	err_set(err, "%s: %s", what,
		text != NULL && *text != '\0' ? text : "the server closed the connection");
	if (err != NULL)
		one_line(err->text);
	return -1;
}

int link_refused(const PGresult *result, const char *what, struct err *err)
{
	const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	const char *text = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);

	if (text == NULL)
		text = PQresultErrorMessage(result);
	err_state(err, state != NULL && strlen(state) == 5 ? state : "XX000", "%s%s%s",
		  what != NULL ? what : "", what != NULL ? ": " : "",
		  text != NULL && *text != '\0' ? text : "unexpected answer");
	if (err != NULL)
		one_line(err->text);
	return -1;
}

struct span link_field(const PGresult *result, int row, int column)
{
	return span_of(PQgetvalue(result, row, column), (size_t)PQgetlength(result, row, column));
}

/* The timeline is that of the position where the server inserts now: the control file's changes only at the first
 * checkpoint after a promotion. All of these functions may be called by any role. */
/* Without a cast of int: a superuser may have made another one in this database. */
const char link_identity_sql[] =
	"SELECT system_identifier::text, CASE WHEN pg_is_in_recovery() THEN '1' ELSE '0' END,"
	" CASE WHEN pg_is_in_recovery() THEN '0' ELSE substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8) END,"
	" extract(epoch FROM pg_postmaster_start_time())::text, current_setting('wal_level'),"
	" current_setting('wal_block_size'), (SELECT setting FROM pg_settings WHERE name = 'wal_segment_size')"
	" FROM pg_control_system()";

int link_identity_read(PGconn *conn, const PGresult *result, struct link_identity *id_r, struct err *err)
{
	const char *address = PQhostaddr(conn);
	struct link_identity id = {0};

	if (PQresultStatus(result) != PGRES_TUPLES_OK)
		return link_refused(result, "cannot identify the server", err);
	if (PQntuples(result) != 1 || PQnfields(result) != 7)
		return err_set(err, "cannot identify the server: unexpected answer");
	id.system_id = strtoull(PQgetvalue(result, 0, 0), NULL, 10);
	id.recovery = *PQgetvalue(result, 0, 1) != '0';
	id.timeline = (uint32_t)strtoul(PQgetvalue(result, 0, 2), NULL, 16);
	snprintf(id.started, sizeof(id.started), "%s", PQgetvalue(result, 0, 3));
	id.logical = strcmp(PQgetvalue(result, 0, 4), "logical") == 0;
	id.wal_block = (uint32_t)strtoul(PQgetvalue(result, 0, 5), NULL, 10);
	id.wal_segment = (uint32_t)strtoul(PQgetvalue(result, 0, 6), NULL, 10);
	snprintf(id.host, sizeof(id.host), "%s", PQhost(conn) != NULL ? PQhost(conn) : "");
	snprintf(id.port, sizeof(id.port), "%s", PQport(conn) != NULL ? PQport(conn) : "");
	snprintf(id.address, sizeof(id.address), "%s", address != NULL ? address : "");
	if (id.system_id == 0 || id.wal_block == 0 || id.wal_segment == 0)
		return err_set(err, "cannot identify the server: unexpected values");
	*id_r = id;
	return 0;
}

int link_identify(PGconn *conn, const struct link_wait *wait, struct link_identity *id_r, struct err *err)
{
	PGresult *result;
	int rc;

	if (link_query(conn, link_identity_sql, wait, &result, err) != 0)
		return -1;
	rc = link_identity_read(conn, result, id_r, err);
	PQclear(result);
	return rc;
}

bool link_identity_same(const struct link_identity *a, const struct link_identity *b)
{
	return a->system_id == b->system_id && a->timeline == b->timeline &&
	       strcmp(a->started, b->started) == 0 && !a->recovery && !b->recovery;
}
