#include "tests/truth/link.h"

#include <arpa/inet.h>
#include <endian.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

const char *const protocol_names[NPROTOCOLS] = {"simple", "extended", "prepared", "binary"};

static pthread_mutex_t error_lock = PTHREAD_MUTEX_INITIALIZER;
static char last_error[512];

uint64_t link_now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

unsigned link_port(const struct link *l)
{
	struct sockaddr_in own;
	socklen_t n = sizeof(own);

	if (l->conn == NULL || getsockname(PQsocket(l->conn), (struct sockaddr *)&own, &n) != 0)
		return 0;
	return own.sin_family == AF_INET ? ntohs(own.sin_port) : 0;
}

const char *link_last_error(void)
{
	return last_error;
}

void link_close(struct link *l)
{
	PQfinish(l->conn);
	l->conn = NULL;
	l->nprepared = 0;
}

static void failed(struct link *l, const char *sql)
{
	atomic_fetch_add(&l->errors, 1);
	pthread_mutex_lock(&error_lock);
	snprintf(last_error, sizeof(last_error), "%s: %s: %s", l->target->name, sql, PQerrorMessage(l->conn));
	pthread_mutex_unlock(&error_lock);
	/* Whatever was open is rolled back: the next call starts from a known state. */
	link_close(l);
}

static void quiet(void *arg, const PGresult *result)
{
	(void)arg;
	(void)result;
}

static bool connected(struct link *l)
{
	PGresult *result;
	bool ok;

	if (l->conn != NULL)
		return true;
	l->conn = PQconnectdb(l->target->conninfo);
	if (PQstatus(l->conn) != CONNECTION_OK) {
		failed(l, "connect");
		nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
		return false;
	}
	PQsetNoticeReceiver(l->conn, quiet, NULL);
	if (l->setup == NULL)
		return true;
	result = PQexec(l->conn, l->setup);
	ok = PQresultStatus(result) == PGRES_COMMAND_OK;
	PQclear(result);
	if (!ok)
		failed(l, l->setup);
	return ok;
}

/* $1..$4 replaced by the numbers, as a driver without parameters would. */
static void inline_args(char *out, size_t size, const char *sql, const int64_t *args, unsigned nargs)
{
	size_t n = 0;

	for (; *sql != '\0' && n + 24 < size; sql++) {
		if (*sql == '$' && sql[1] > '0' && (unsigned)(sql[1] - '1') < nargs)
			n += (size_t)snprintf(out + n, size - n, "%" PRId64, args[*++sql - '1']);
		else
			out[n++] = *sql;
	}
	out[n] = '\0';
}

struct params {
	char text[LINK_ARGS][24];
	uint32_t wire[LINK_ARGS];
	const char *values[LINK_ARGS];
	int lengths[LINK_ARGS], formats[LINK_ARGS];
};

static void params_set(struct params *p, const int64_t *args, unsigned nargs, bool binary)
{
	for (unsigned i = 0; i < nargs; i++) {
		snprintf(p->text[i], sizeof(p->text[i]), "%" PRId64, args[i]);
		p->wire[i] = htobe32((uint32_t)args[i]);
		p->values[i] = binary ? (char *)&p->wire[i] : p->text[i];
		p->lengths[i] = 4;
		p->formats[i] = binary;
	}
}

/* The name of the prepared statement of `sql`, or -1. */
static int prepare(struct link *l, const char *sql, char name[16])
{
	unsigned i = 0;
	PGresult *result;
	bool ok;

	while (i < l->nprepared && l->prepared[i] != sql)
		i++;
	snprintf(name, 16, "s%u", i);
	if (i < l->nprepared)
		return 0;
	if (i == LINK_PREPARED)
		return -1;
	result = PQprepare(l->conn, name, sql, 0, NULL);
	ok = PQresultStatus(result) == PGRES_COMMAND_OK;
	PQclear(result);
	if (!ok)
		return -1;
	l->prepared[l->nprepared++] = sql;
	return 0;
}

/* All parameters of our SELECTs are row ids, of type int4; only those go in binary. */
static PGresult *execute_binary(struct link *l, const char *sql, const int64_t *args, unsigned nargs)
{
	static const Oid int4s[LINK_ARGS] = {23, 23, 23, 23};
	bool binary = strncmp(sql, "SELECT", 6) == 0;
	struct params p;

	params_set(&p, args, nargs, binary);
	return PQexecParams(l->conn, sql, (int)nargs, binary ? int4s : NULL, p.values, p.lengths, p.formats,
			    1);
}

static PGresult *execute(struct link *l, enum protocol protocol, const char *sql, const int64_t *args,
			 unsigned nargs)
{
	struct params p;
	char text[1024], name[16];

	params_set(&p, args, nargs, false);
	switch (protocol) {
	case PROTOCOL_PREPARED:
		if (prepare(l, sql, name) != 0)
			return NULL;
		return PQexecPrepared(l->conn, name, (int)nargs, p.values, p.lengths, p.formats, 0);
	case PROTOCOL_EXTENDED:
		return PQexecParams(l->conn, sql, (int)nargs, NULL, p.values, p.lengths, p.formats, 0);
	case PROTOCOL_BINARY: return execute_binary(l, sql, args, nargs);
	default: inline_args(text, sizeof(text), sql, args, nargs); return PQexec(l->conn, text);
	}
}

PGresult *link_run(struct link *l, enum protocol protocol, const char *sql, const int64_t *args,
		   unsigned nargs)
{
	PGresult *result = NULL;
	ExecStatusType status;

	atomic_store(&l->busy_us, link_now_us());
	if (connected(l)) {
		result = execute(l, protocol, sql, args, nargs);
		status = PQresultStatus(result);
		if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK) {
			PQclear(result);
			result = NULL;
			failed(l, sql);
		}
	}
	atomic_store(&l->busy_us, 0);
	if (result != NULL)
		atomic_store(&l->ok_us, link_now_us());
	return result;
}

bool link_do(struct link *l, enum protocol protocol, const char *sql, const int64_t *args, unsigned nargs)
{
	PGresult *result = link_run(l, protocol, sql, args, nargs);

	PQclear(result);
	return result != NULL;
}

bool link_begin(struct link *l)
{
	return link_do(l, PROTOCOL_SIMPLE, "BEGIN", NULL, 0);
}

bool link_commit(struct link *l)
{
	char prepare[96], commit[96];

	if (!l->two_phase || ++l->ncommits % 2 == 0)
		return link_do(l, PROTOCOL_SIMPLE, "COMMIT", NULL, 0);
	snprintf(prepare, sizeof(prepare), "PREPARE TRANSACTION 'truth %p %u'", (void *)l, l->ncommits);
	snprintf(commit, sizeof(commit), "COMMIT PREPARED 'truth %p %u'", (void *)l, l->ncommits);
	return link_do(l, PROTOCOL_SIMPLE, prepare, NULL, 0) && link_do(l, PROTOCOL_SIMPLE, commit, NULL, 0);
}

int64_t link_value(const PGresult *result, int row, int column)
{
	const char *value = PQgetvalue(result, row, column);
	uint64_t wide;
	uint32_t narrow;

	if (PQfformat(result, column) == 0)
		return strtoll(value, NULL, 10);
	if (PQgetlength(result, row, column) == 4) {
		memcpy(&narrow, value, 4);
		return (int32_t)be32toh(narrow);
	}
	memcpy(&wide, value, 8);
	return (int64_t)be64toh(wide);
}
