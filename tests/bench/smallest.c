/* How soon PostgreSQL answers the smallest questions, with nothing in between: what no proof can be quicker than.
 *   smallest CONNINFO STATEMENT    prints the medians, in ns, of an empty query and of the statement, prepared and executed */
#include <fcntl.h>
#include <libpq-fe.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS 20000
#define WARM 2000

static void fail(const char *what)
{
	fprintf(stderr, "smallest: %s\n", what);
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* Reads up to a ReadyForQuery, which is the last message of an answer: its six bytes end what came. */
static void take_answer(int fd)
{
	static const char ready[] = {'Z', 0, 0, 0, 5, 'I'};
	char in[4096];
	size_t n = 0;

	do {
		ssize_t got = read(fd, in + n, sizeof in - n);

		if (got <= 0 || n + (size_t)got == sizeof in)
			fail("no answer");
		n += (size_t)got;
	} while (n < sizeof ready || memcmp(in + n - sizeof ready, ready, sizeof ready) != 0);
}

static int by_size(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static uint64_t median_ns(int fd, const char *question, size_t n)
{
	static uint64_t took[ROUNDS];

	for (int i = -WARM; i < ROUNDS; i++) {
		uint64_t began = now_ns();

		if (write(fd, question, n) != (ssize_t)n)
			fail("cannot ask");
		take_answer(fd);
		if (i >= 0)
			took[i] = now_ns() - began;
	}
	qsort(took, ROUNDS, sizeof *took, by_size);
	return took[ROUNDS / 2];
}

int main(int argc, char **argv)
{
	/* Query ""; and Bind of "p" without parameters, Execute, Sync. */
	static const char empty[] = "Q\0\0\0\5";
	static const char execute[] = "B\0\0\0\15\0p\0\0\0\0\0\0\0"
				      "E\0\0\0\11\0\0\0\0\0"
				      "S\0\0\0\4";
	PGconn *conn;
	PGresult *prepared;

	if (argc != 3)
		fail("CONNINFO STATEMENT");
	conn = PQconnectdb(argv[1]);
	if (PQstatus(conn) != CONNECTION_OK)
		fail(PQerrorMessage(conn));
	prepared = PQprepare(conn, "p", argv[2], 0, NULL);
	if (PQresultStatus(prepared) != PGRES_COMMAND_OK)
		fail(PQerrorMessage(conn));
	PQclear(prepared);
	if (fcntl(PQsocket(conn), F_SETFL, 0) != 0) /* libpq's does not block */
		fail("cannot wait on the socket");
	printf("%llu", (unsigned long long)median_ns(PQsocket(conn), empty, sizeof empty));
	printf(" %llu\n", (unsigned long long)median_ns(PQsocket(conn), execute, sizeof execute - 1));
	PQfinish(conn);
	return 0;
}
