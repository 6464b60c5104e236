/* libpq in C: PQexec, PQexecParams in both formats, PQprepare, its pipeline, COPY, cancel and notifications. See test_clients.py. */
#include <libpq-fe.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define N 4
static const char *const zones[N] = {"UTC", "Europe/Berlin", "Asia/Tokyo", "America/Lima"};
static PGconn *conns[N];

#define CHECK(x) check((x), #x, __LINE__)
static void check(int holds, const char *what, int line)
{
	if (holds)
		return;
	fprintf(stderr, "line %d, not so: %s\n", line, what);
	for (int i = 0; i < N; i++)
		fprintf(stderr, "%d: %s", i, PQerrorMessage(conns[i]));
	exit(1);
}

/* Runs it with up to two parameters; the result must have this SQLSTATE ("" = none) and is cleared by the next call. */
static PGresult *run(PGconn *conn, const char *state, const char *sql, const char *one, const char *two)
{
	static PGresult *last;
	const char *values[] = {one, two};
	int n = two != NULL ? 2 : one != NULL ? 1 : 0;

	PQclear(last);
	last = n == 0 ? PQexec(conn, sql) : PQexecParams(conn, sql, n, NULL, values, NULL, NULL, 0);
	const char *got = PQresultErrorField(last, PG_DIAG_SQLSTATE);
	if (strcmp(got != NULL ? got : "", state) != 0) {
		fprintf(stderr, "%s: %s in place of '%s'\n", sql, got, state);
		exit(1);
	}
	return last;
}

static const char *value(PGconn *conn, const char *sql, const char *one)
{
	PGresult *r = run(conn, "", sql, one, NULL);

	return PQntuples(r) > 0 ? PQgetvalue(r, 0, 0) : "-";
}

static const char *name(PGconn *conn, const char *row)
{
	return value(conn, "SELECT name FROM item WHERE id = $1", row);
}

static void step_connect(void)
{
	for (int i = 0; i < N; i++) {
		conns[i] = PQconnectdb(getenv("DATABASE_URL"));
		CHECK(PQstatus(conns[i]) == CONNECTION_OK);
		CHECK(strcmp(value(conns[i], "SELECT 1", NULL), "1") == 0);
	}
}

static void step_settings(void)
{
	char sql[64];

	for (int i = 0; i < N; i++) {
		snprintf(sql, sizeof(sql), "SET TimeZone TO '%s'", zones[i]);
		run(conns[i], "", sql, NULL, NULL);
	}
	for (int i = 0; i < 3 * N; i++) {
		CHECK(strcmp(value(conns[i % N], "SHOW TimeZone", NULL), zones[i % N]) == 0);
		CHECK(strcmp(PQparameterStatus(conns[i % N], "TimeZone"), zones[i % N]) == 0);
	}
}

static void step_crud(void)
{
	char *longer = malloc(300001), row[16];

	memset(longer, 'x', 300000);
	longer[300000] = 0;
	for (int i = 0; i < 2 * N; i++) {
		PGconn *conn = conns[i / 2];
		const char *text = i % 2 ? longer : "it's \\ \xc3\xbc", *values[1] = {row};

		snprintf(row, sizeof(row), "%s",
			 value(conn, "INSERT INTO item (name) VALUES ($1) RETURNING id", text));
		for (int format = 0; format < 2; format++) {
			PGresult *r = PQexecParams(conn, "SELECT name, n FROM item WHERE id = $1", 1, NULL,
						   values, NULL, NULL, format);
			CHECK(PQntuples(r) == 1 && strcmp(PQgetvalue(r, 0, 0), text) == 0 &&
			      PQgetisnull(r, 0, 1));
			PQclear(r);
		}
		CHECK(strcmp(PQcmdTuples(
				     run(conn, "", "UPDATE item SET name = $1 WHERE id = $2", "new", row)),
			     "1") == 0);
		CHECK(strcmp(name(conn, row), "new") == 0);
		CHECK(strcmp(PQcmdTuples(run(conn, "", "DELETE FROM item WHERE id = $1", row, NULL)), "1") ==
		      0);
		CHECK(strcmp(name(conn, row), "-") == 0);
	}
	free(longer);
	/* A pipeline: what it wrote, it reads; behind an error everything up to the Sync is skipped. */
	PGconn *conn = conns[0];
	PGresult *r;
	CHECK(PQenterPipelineMode(conn) == 1);
	CHECK(PQsendQueryParams(conn, "INSERT INTO item (id, name) VALUES (500, 'v')", 0, NULL, NULL, NULL,
				NULL, 0));
	CHECK(PQsendQueryParams(conn, "SELECT name FROM item WHERE id = 500", 0, NULL, NULL, NULL, NULL, 0));
	CHECK(PQpipelineSync(conn) == 1);
	CHECK(PQsendQueryParams(conn, "SELECT 1/0", 0, NULL, NULL, NULL, NULL, 0));
	CHECK(PQsendQueryParams(conn, "DELETE FROM item", 0, NULL, NULL, NULL, NULL, 0));
	CHECK(PQpipelineSync(conn) == 1);
	static const ExecStatusType expected[] = {PGRES_COMMAND_OK,	  PGRES_TUPLES_OK,
						  PGRES_PIPELINE_SYNC,	  PGRES_FATAL_ERROR,
						  PGRES_PIPELINE_ABORTED, PGRES_PIPELINE_SYNC};
	for (unsigned i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
		r = PQgetResult(conn);
		CHECK(PQresultStatus(r) == expected[i]);
		PQclear(r);
		if (expected[i] != PGRES_PIPELINE_SYNC)
			CHECK(PQgetResult(conn) == NULL);
	}
	CHECK(PQexitPipelineMode(conn) == 1);
	CHECK(strcmp(name(conns[1], "500"), "v") == 0);
}

static void step_transactions(void)
{
	PGconn *one = conns[0], *two = conns[1];

	run(one, "", "BEGIN", NULL, NULL);
	run(one, "", "INSERT INTO item (id, name) VALUES (600, 'a')", NULL, NULL);
	CHECK(strcmp(name(two, "600"), "-") == 0);
	run(one, "", "SAVEPOINT s; UPDATE item SET name = 'b' WHERE id = 600; ROLLBACK TO s", NULL, NULL);
	run(one, "", "COMMIT", NULL, NULL);
	CHECK(strcmp(name(two, "600"), "a") == 0);
	run(one, "", "BEGIN; DELETE FROM item WHERE id = 600", NULL, NULL);
	run(one, "", "ROLLBACK", NULL, NULL);
	CHECK(strcmp(name(two, "600"), "a") == 0);
}

static void step_prepared(void)
{
	char sql[64], turn[16];
	const char *values[1] = {turn};
	PGresult *r;

	for (int i = 0; i < N; i++) {
		snprintf(sql, sizeof(sql), "SELECT $1::int + %d", i);
		r = PQprepare(conns[i], "mine", sql, 0, NULL);
		CHECK(PQresultStatus(r) == PGRES_COMMAND_OK);
		PQclear(r);
	}
	for (int i = 0; i < 8 * N; i++) {
		snprintf(turn, sizeof(turn), "%d", i / N);
		r = PQexecPrepared(conns[i % N], "mine", 1, values, NULL, NULL, 0);
		CHECK(PQntuples(r) == 1 && atoi(PQgetvalue(r, 0, 0)) == i / N + i % N);
		PQclear(r);
	}
}

static void step_errors(void)
{
	for (int i = 0; i < N; i++) {
		run(conns[i], "23505", "INSERT INTO item (id, name) VALUES (1, 'twice')", NULL, NULL);
		run(conns[i], "42P01", "SELECT * FROM nope", NULL, NULL);
		run(conns[i], "22012", "SELECT 1 / $1::int", "0", NULL);
		run(conns[i], "", "BEGIN", NULL, NULL);
		run(conns[i], "22012", "SELECT 1/0", NULL, NULL);
		run(conns[i], "25P02", "SELECT 1", NULL, NULL);
		run(conns[i], "", "ROLLBACK", NULL, NULL);
		CHECK(strcmp(name(conns[i], "1"), "item 1") == 0);
	}
}

static void step_timeout(void)
{
	run(conns[0], "", "SET statement_timeout = 100", NULL, NULL);
	run(conns[0], "57014", "SELECT pg_sleep(30)", NULL, NULL);
	CHECK(strcmp(value(conns[1], "SHOW statement_timeout", NULL), "0") == 0);
	run(conns[0], "", "RESET statement_timeout", NULL, NULL);
}

/* Waits until the connection can be read. */
static int readable(PGconn *conn, int ms)
{
	struct pollfd fd = {.fd = PQsocket(conn), .events = POLLIN};

	return poll(&fd, 1, ms) > 0;
}

static void step_cancel(void)
{
	PGcancel *cancel = PQgetCancel(conns[0]);
	char why[256];

	CHECK(PQsendQuery(conns[0], "SELECT pg_sleep(30)"));
	while (!readable(conns[0], 100))
		CHECK(PQcancel(cancel, why, sizeof(why)));
	PGresult *r = PQgetResult(conns[0]);
	CHECK(strcmp(PQresultErrorField(r, PG_DIAG_SQLSTATE), "57014") == 0);
	PQclear(r);
	CHECK(PQgetResult(conns[0]) == NULL);
	PQfreeCancel(cancel);
}

static void step_copy(void)
{
	PGconn *conn = conns[2];
	char row[32], *line;
	int rows = 0;

	run(conn, "", "COPY item (id, name) FROM STDIN", NULL, NULL);
	for (int i = 10000; i < 15000; i++)
		CHECK(PQputCopyData(conn, row, snprintf(row, sizeof(row), "%d\tcopied\n", i)) == 1);
	CHECK(PQputCopyEnd(conn, NULL) == 1);
	PGresult *r = PQgetResult(conn);
	CHECK(PQresultStatus(r) == PGRES_COMMAND_OK);
	PQclear(r);
	CHECK(PQgetResult(conn) == NULL);
	run(conn, "", "COPY (SELECT id FROM item WHERE id >= 10000) TO STDOUT", NULL, NULL);
	for (; PQgetCopyData(conn, &line, 0) > 0; rows++)
		PQfreemem(line);
	PQclear(PQgetResult(conn));
	CHECK(PQgetResult(conn) == NULL);
	CHECK(rows == 5000);
	run(conn, "", "COPY item (id, name) FROM STDIN", NULL, NULL);
	CHECK(PQputCopyData(conn, "x\ty\n", 4) == 1 && PQputCopyEnd(conn, NULL) == 1);
	r = PQgetResult(conn);
	CHECK(strcmp(PQresultErrorField(r, PG_DIAG_SQLSTATE), "22P02") == 0);
	PQclear(r);
	CHECK(PQgetResult(conn) == NULL);
	run(conn, "", "DELETE FROM item WHERE id >= 10000", NULL, NULL);
}

static void step_listen(void)
{
	PGnotify *heard;

	run(conns[0], "", "LISTEN channel", NULL, NULL);
	run(conns[1], "", "NOTIFY channel, 'hello'", NULL, NULL);
	while ((heard = PQnotifies(conns[0])) == NULL)
		CHECK(readable(conns[0], 20000) && PQconsumeInput(conns[0]));
	CHECK(strcmp(heard->extra, "hello") == 0);
	PQfreemem(heard);
	run(conns[0], "", "UNLISTEN *", NULL, NULL);
}

int main(void)
{
	static const struct {
		const char *name;
		void (*run)(void);
	} steps[] = {{"connect", step_connect},	  {"settings", step_settings},
		     {"crud", step_crud},	  {"transactions", step_transactions},
		     {"prepared", step_prepared}, {"errors", step_errors},
		     {"timeout", step_timeout},	  {"cancel", step_cancel},
		     {"copy", step_copy},	  {"listen", step_listen}};
	char word[8], row[16], text[64];
	int conn;

	setvbuf(stdout, NULL, _IOLBF, 0);
	for (unsigned i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		steps[i].run();
		printf("ok %s\n", steps[i].name);
	}
	puts("serve");
	while (scanf("%7s %d %15s", word, &conn, row) == 3) {
		if (strcmp(word, "get") == 0) {
			puts(name(conns[conn], row));
		} else {
			CHECK(scanf("%63s", text) == 1);
			run(conns[conn], "", "UPDATE item SET name = $1 WHERE id = $2", text, row);
			puts("done");
		}
	}
	for (int i = 0; i < N; i++)
		PQfinish(conns[i]);
	return 0;
}
