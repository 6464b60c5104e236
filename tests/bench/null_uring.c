/* The floor of a server on io_uring: what null_server.c does, without a system call for each message. Reads are asked for once and come
 * into shared buffers, and what is to be sent goes with the wait for more.
 *   null_uring PORT
 * Single-threaded. For clients that wait for their answer, as pgbench's do: each read has to be of whole messages. */
#include "tests/bench/loopback.h"
#include "tests/bench/null_protocol.h"

#include <liburing.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>

#define ENTRIES 1024u
#define BUFFERS 1024 /* a power of two */
#define BUFFER_SIZE 4096u
#define ANSWER_MAX 1024u

struct client {
	int fd;
	bool started;
	uint8_t answer[ANSWER_MAX]; /* is sent before the next read comes */
};

struct server {
	struct io_uring ring;
	struct io_uring_buf_ring *offered; /* the buffers that the kernel may read into */
	uint8_t *buffers;
};

static struct server server;

/* `error` as the kernel's and liburing's: negative. */
static void fail(const char *what, int error)
{
	fprintf(stderr, "null_uring: %s: %s\n", what, strerror(-error));
	exit(1);
}

static struct io_uring_sqe *next_entry(void)
{
	struct io_uring_sqe *e;

	while ((e = io_uring_get_sqe(&server.ring)) == NULL)
		io_uring_submit(&server.ring);
	return e;
}

static void offer(int buffer)
{
	io_uring_buf_ring_add(server.offered, server.buffers + (size_t)buffer * BUFFER_SIZE, BUFFER_SIZE,
			      (unsigned short)buffer, io_uring_buf_ring_mask(BUFFERS), 0);
	io_uring_buf_ring_advance(server.offered, 1);
}

/* Until it fails or the buffers run out. */
static void read_on(struct client *c)
{
	struct io_uring_sqe *e = next_entry();

	io_uring_prep_recv(e, c->fd, NULL, 0, 0);
	e->ioprio |= IORING_RECV_MULTISHOT;
	e->flags |= IOSQE_BUFFER_SELECT;
	e->buf_group = 0;
	io_uring_sqe_set_data(e, c);
}

/* Nothing comes back but a failure, which the next read will meet too. */
static void send_on(struct client *c, size_t n)
{
	struct io_uring_sqe *e = next_entry();

	io_uring_prep_send(e, c->fd, c->answer, n, MSG_NOSIGNAL);
	e->flags |= IOSQE_CQE_SKIP_SUCCESS;
	io_uring_sqe_set_data64(e, UINT64_MAX);
}

static void on_accept(int fd)
{
	struct client *c = calloc(1, sizeof *c);

	if (fd < 0 || c == NULL)
		fail("accept", fd);
	loopback_nodelay(fd);
	c->fd = fd;
	read_on(c);
}

static void on_read(struct client *c, const struct io_uring_cqe *done)
{
	int buffer = (int)(done->flags >> IORING_CQE_BUFFER_SHIFT);
	struct null_out out = {.p = c->answer, .max = ANSWER_MAX};
	size_t used;

	if (done->res == -ENOBUFS) {
		read_on(c);
		return;
	}
	if (done->res <= 0) {
		close(c->fd);
		free(c);
		return;
	}
	used = null_take(&out, &c->started, server.buffers + (size_t)buffer * BUFFER_SIZE, (size_t)done->res);
	offer(buffer);
	if ((done->flags & IORING_CQE_F_MORE) == 0)
		read_on(c);
	if (used == SIZE_MAX)
		shutdown(c->fd, SHUT_RDWR); /* then the read ends */
	else if (used != (size_t)done->res)
		fail("a message in two reads", -EPROTO);
	else if (out.n > 0)
		send_on(c, out.n);
}

static void serve(void)
{
	struct io_uring_cqe *done;
	unsigned head, n = 0;

	io_uring_submit_and_wait(&server.ring, 1);
	io_uring_for_each_cqe(&server.ring, head, done)
	{
		n++;
		if (done->user_data == 0)
			on_accept(done->res);
		else if (done->user_data != UINT64_MAX)
			on_read(io_uring_cqe_get_data(done), done);
	}
	io_uring_cq_advance(&server.ring, n);
}

static void start(int fd)
{
	struct io_uring_params params = {.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_COOP_TASKRUN |
						  IORING_SETUP_CQSIZE,
					 .cq_entries = 4 * ENTRIES};
	struct io_uring_buf_reg reg = {.ring_entries = BUFFERS};
	struct io_uring_sqe *e;
	int error = io_uring_queue_init_params(ENTRIES, &server.ring, &params);

	if (error != 0)
		fail("io_uring", error);
	server.offered = mmap(NULL, BUFFERS * sizeof(struct io_uring_buf), PROT_READ | PROT_WRITE,
			      MAP_ANONYMOUS | MAP_PRIVATE, -1, 0);
	server.buffers = malloc((size_t)BUFFERS * BUFFER_SIZE);
	if (server.offered == MAP_FAILED || server.buffers == NULL)
		fail("memory", -ENOMEM);
	reg.ring_addr = (uint64_t)(uintptr_t)server.offered;
	error = io_uring_register_buf_ring(&server.ring, &reg, 0);
	if (error != 0)
		fail("buffers", error);
	io_uring_buf_ring_init(server.offered);
	for (int i = 0; i < BUFFERS; i++)
		offer(i);
	e = next_entry();
	io_uring_prep_multishot_accept(e, fd, NULL, NULL, 0);
	io_uring_sqe_set_data64(e, 0);
}

int main(int argc, char **argv)
{
	int fd = argc == 2 ? loopback_listen(argv[1]) : -1;

	signal(SIGPIPE, SIG_IGN);
	if (fd < 0) {
		perror("null_uring");
		return 1;
	}
	start(fd);
	for (;;)
		serve();
}
