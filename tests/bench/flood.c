/* A client that costs little: many simple queries in one send, and their answers thrown away unread. With it one core is enough
 * to keep more than one worker busy, and what a hit costs is not hidden behind two system calls.
 *   flood PORT REFERENCE_PORT CONNECTIONS BLOCK SECONDS FILE
 * FILE has one query a line; BLOCK of them are sent together. Each phase begins with a line on stdin:
 * 1. Each block is sent once and its answer read whole; the first ones have to be what REFERENCE_PORT (0 = nobody) says, byte by
 *    byte. Prints "warm QUERIES SECONDS", and until the next line comes a block is sent now and then.
 * 2. Blocks follow each other on each connection for SECONDS; an answer has to be as long as it was. Prints
 *    "done QUERIES SECONDS CPU_SECONDS".
 * 3. The first blocks are read whole and compared once more.
 * Status 1 when anything differs. The end of stdin ends it before the next phase. */
#include "tests/bench/loopback.h"

#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>

#define CONNECTIONS_MAX 512u
#define WARM_MS 5
#define CHECKED 64u /* blocks that are compared */
#define ANSWER_MAX (1u << 20)

struct block {
	uint8_t *bytes; /* owned; all its queries */
	size_t n;
	unsigned nqueries;
	size_t answer_n;
	uint8_t *answer; /* owned; NULL when it is not compared */
};

struct line {
	int fd;
	size_t at;   /* the block that is under way */
	size_t left; /* bytes of its answer */
	size_t low;  /* what wake_at was told */
};

struct flood {
	struct block *block;
	size_t nblocks;
	struct line line[CONNECTIONS_MAX];
	unsigned nlines;
	uint64_t nqueries;
};

static uint8_t room[ANSWER_MAX];

static void fail(const char *why)
{
	fprintf(stderr, "flood: %s\n", why);
	exit(1);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double cpu(void)
{
	struct rusage r;

	getrusage(RUSAGE_SELF, &r);
	return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) +
	       (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6;
}

static void put_number(uint8_t *p, size_t n)
{
	for (int i = 0; i < 4; i++)
		p[i] = (uint8_t)(n >> (24 - 8 * i));
}

static size_t number(const uint8_t *p)
{
	return (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
}

/* --- a block --- */

static void add_query(struct block *b, const char *text, size_t n)
{
	size_t body = 4 + n + 1;

	b->bytes = realloc(b->bytes, b->n + 1 + body);
	if (b->bytes == NULL)
		fail("no memory");
	b->bytes[b->n] = 'Q';
	put_number(b->bytes + b->n + 1, body);
	memcpy(b->bytes + b->n + 5, text, n);
	b->bytes[b->n + 5 + n] = 0;
	b->n += 1 + body;
	b->nqueries++;
}

static void load(struct flood *f, const char *path, unsigned nqueries)
{
	FILE *file = fopen(path, "r");
	char *text = NULL;
	size_t room_n = 0;
	ssize_t n;

	if (file == NULL)
		fail("cannot read the queries");
	while ((n = getline(&text, &room_n, file)) > 1) {
		if (f->nblocks == 0 || f->block[f->nblocks - 1].nqueries == nqueries) {
			f->block = realloc(f->block, (f->nblocks + 1) * sizeof *f->block);
			if (f->block == NULL)
				fail("no memory");
			f->block[f->nblocks++] = (struct block){0};
		}
		add_query(&f->block[f->nblocks - 1], text, (size_t)n - 1);
	}
	free(text);
	fclose(file);
	if (f->nblocks == 0)
		fail("there are no queries");
}

static void send_all(int fd, const void *p, size_t n)
{
	if (send(fd, p, n, MSG_NOSIGNAL) != (ssize_t)n)
		fail("the connection broke while sending");
}

/* Into `room`, up to the `want`th ReadyForQuery; the number of bytes. */
static size_t read_answer(int fd, unsigned want)
{
	size_t have = 0, at = 0;
	unsigned seen = 0;

	while (seen < want) {
		ssize_t n = have < ANSWER_MAX ? recv(fd, room + have, ANSWER_MAX - have, 0) : 0;

		if (n <= 0)
			fail("the connection broke, or an answer is too long");
		have += (size_t)n;
		while (have - at >= 5 && have - at >= 1 + number(room + at + 1)) {
			if (room[at] == 'E')
				fail((const char *)room + at + 5);
			seen += room[at] == 'Z';
			at += 1 + number(room + at + 1);
		}
	}
	if (at != have)
		fail("bytes behind the last answer");
	return have;
}

static int login(const char *port)
{
	static const char body[] = "\0\3\0\0user\0postgres\0database\0bench\0";
	uint8_t packet[4 + sizeof body];
	int fd = loopback_connect(port);

	if (fd < 0)
		fail("cannot connect");
	put_number(packet, sizeof packet);
	memcpy(packet + 4, body, sizeof body);
	send_all(fd, packet, sizeof packet);
	read_answer(fd, 1);
	return fd;
}

static void remember(struct block *b, size_t n)
{
	b->answer_n = n;
	b->answer = malloc(n);
	if (b->answer == NULL)
		fail("no memory");
	memcpy(b->answer, room, n);
}

/* One answer, read whole: its length has to be known for later, and the first ones are compared. */
static void take(struct block *b, int fd)
{
	size_t n = read_answer(fd, b->nqueries);

	if (b->answer != NULL && (n != b->answer_n || memcmp(room, b->answer, n) != 0))
		fail("an answer differs");
	b->answer_n = n;
}

/* --- the phases --- */

static void ask_reference(struct flood *f, const char *port)
{
	int fd;

	if (atoi(port) == 0)
		return;
	fd = login(port);
	for (size_t i = 0; i < f->nblocks && i < CHECKED; i++) {
		send_all(fd, f->block[i].bytes, f->block[i].n);
		remember(&f->block[i], read_answer(fd, f->block[i].nqueries));
	}
	close(fd);
}

/* The first `n` blocks once each; the connections work at the same time. */
static void each_once(struct flood *f, size_t n)
{
	size_t ahead = n < f->nlines ? n : f->nlines;

	for (size_t i = 0; i < n + ahead; i++) {
		if (i >= ahead)
			take(&f->block[i - ahead], f->line[(i - ahead) % f->nlines].fd);
		if (i < n)
			send_all(f->line[i % f->nlines].fd, f->block[i].bytes, f->block[i].n);
	}
}

/* How many bytes have to be there before epoll tells of them. */
static void wake_at(struct line *line, size_t bytes)
{
	int low = (int)bytes;

	if (line->low == bytes)
		return;
	setsockopt(line->fd, SOL_SOCKET, SO_RCVLOWAT, &low, sizeof low);
	line->low = bytes;
}

static void ask(struct flood *f, struct line *line)
{
	const struct block *b;

	line->at = (line->at + 1) % f->nblocks;
	b = &f->block[line->at];
	line->left = b->answer_n;
	wake_at(line, line->left);
	send_all(line->fd, b->bytes, b->n);
}

/* True when the answer is complete. */
static bool throw_away(struct flood *f, struct line *line)
{
	ssize_t n = recv(line->fd, NULL, line->left, MSG_TRUNC | MSG_DONTWAIT);

	if (n < 0)
		return false;
	if (n == 0)
		fail("the connection broke");
	line->left -= (size_t)n;
	if (line->left > 0) {
		wake_at(line, 1);
		return false;
	}
	f->nqueries += f->block[line->at].nqueries;
	return true;
}

static void run(struct flood *f, int queue, double seconds)
{
	double end = now() + seconds;
	unsigned under_way = f->nlines;

	for (unsigned i = 0; i < f->nlines; i++) {
		f->line[i].at = i * f->nblocks / f->nlines;
		ask(f, &f->line[i]);
	}
	while (under_way > 0) {
		struct epoll_event event[64];
		int n = epoll_wait(queue, event, 64, 10000);
		bool go_on = now() < end;

		if (n <= 0)
			fail("no answer for ten seconds");
		for (int i = 0; i < n; i++) {
			struct line *line = event[i].data.ptr;

			if (!throw_away(f, line))
				continue;
			if (go_on)
				ask(f, line);
			else
				under_way--;
		}
	}
}

/* A proof that nobody renews gets old meanwhile, and the rest of a block goes to PostgreSQL with its first read. */
static void stay_warm(struct flood *f)
{
	struct pollfd word = {.fd = STDIN_FILENO, .events = POLLIN};

	for (size_t i = 0; poll(&word, 1, WARM_MS) == 0; i++) {
		struct block *b = &f->block[i % f->nblocks];
		int fd = f->line[i % f->nlines].fd;

		send_all(fd, b->bytes, b->n);
		take(b, fd);
	}
}

static void wait_for_word(void)
{
	char word[8];

	if (fgets(word, sizeof word, stdin) == NULL)
		exit(0);
}

int main(int argc, char **argv)
{
	static struct flood f;
	int queue = epoll_create1(EPOLL_CLOEXEC);
	double began, used;

	if (argc != 7 || atoi(argv[4]) < 1 || queue < 0 || atoi(argv[3]) < 1 ||
	    atoi(argv[3]) > (int)CONNECTIONS_MAX) {
		fprintf(stderr, "flood PORT REFERENCE_PORT CONNECTIONS BLOCK SECONDS FILE\n");
		return 2;
	}
	load(&f, argv[6], (unsigned)atoi(argv[4]));
	ask_reference(&f, argv[2]);
	for (f.nlines = 0; f.nlines < (unsigned)atoi(argv[3]); f.nlines++) {
		struct line *line = &f.line[f.nlines];
		struct epoll_event event = {.events = EPOLLIN, .data.ptr = line};

		line->fd = login(argv[1]);
		epoll_ctl(queue, EPOLL_CTL_ADD, line->fd, &event);
	}
	wait_for_word();
	began = now();
	each_once(&f, f.nblocks);
	for (size_t i = 0; i < f.nblocks; i++)
		f.nqueries += f.block[i].nqueries;
	printf("warm %lu %.6f\n", (unsigned long)f.nqueries, now() - began);
	fflush(stdout);
	stay_warm(&f);
	wait_for_word();
	began = now();
	used = cpu();
	f.nqueries = 0;
	run(&f, queue, atof(argv[5]));
	printf("done %lu %.6f %.6f\n", (unsigned long)f.nqueries, now() - began, cpu() - used);
	fflush(stdout);
	wait_for_word();
	for (unsigned i = 0; i < f.nlines; i++)
		wake_at(&f.line[i], 1);
	each_once(&f, f.nblocks < CHECKED ? f.nblocks : CHECKED);
	return 0;
}
