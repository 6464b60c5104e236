/* Writing. Copied bytes in one buffer and counted blobs between them, sent with one system call a round. */
#include "proxy/base/check.h"
#include "proxy/net/conn_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define OUT_MAX (64u * 1024 * 1024)
/* Above this the round's end is not waited for. */
#define OUT_EARLY (64u * 1024)
/* Up to this a copy is cheaper than counting references and one more iovec. */
#define BLOB_COPY (2u * 1024)
#define OUT_IOV 32
/* From this on conn_send does not copy what the kernel takes at once. */
#define OUT_DIRECT (16u * 1024)

void conn_out_init(struct conn *c)
{
	buf_init(&c->out, OUT_MAX);
}

struct buf *conn_out(struct conn *c)
{
	struct loop *l = c->loop;

	if (c->out.p == NULL && l != NULL && l->nspares > 0) {
		c->out.p = l->spares[--l->nspares];
		c->out.cap = LOOP_SPARE_SIZE;
	} else if (c->out.p == NULL) {
		c->out.p = malloc(LOOP_SPARE_SIZE); /* when that fails, the first append will say so */
		c->out.cap = c->out.p == NULL ? 0 : LOOP_SPARE_SIZE;
	}
	return &c->out;
}

size_t conn_pending(const struct conn *c)
{
	return c->out.len - c->out_done + c->blob_bytes;
}

bool conn_full(const struct conn *c)
{
	bool full = conn_pending(c) > CONN_HIGH_MARK;

	if (full)
		((struct conn *)c)->was_full = true; /* whoever asked wants to hear of the end of it */
	return full;
}

/* An idle connection keeps no buffer. */
static void out_reset(struct conn *c)
{
	struct loop *l = c->loop;

	if (c->out.cap == LOOP_SPARE_SIZE && l != NULL && l->nspares < LOOP_SPARES) {
		l->spares[l->nspares++] = c->out.p;
		buf_init(&c->out, OUT_MAX);
	} else {
		buf_free(&c->out);
	}
	c->out.failed = false;
	c->out_done = 0;
	free(c->segs);
	c->segs = NULL;
	c->seg_first = c->seg_n = c->seg_cap = 0;
	c->blob_done = c->blob_bytes = 0;
}

void conn_drop_output(struct conn *c)
{
	for (; c->seg_first < c->seg_n; c->seg_first++)
		blob_unref(c->segs[c->seg_first].blob);
	out_reset(c);
}

static int seg_add(struct conn *c, struct blob *b)
{
	unsigned cap = c->seg_cap == 0 ? 8 : c->seg_cap * 2;
	struct conn_seg *more;

	if (c->seg_first > 0 && c->seg_n == c->seg_cap) {
		c->seg_n -= c->seg_first;
		memmove(c->segs, c->segs + c->seg_first, c->seg_n * sizeof(*c->segs));
		c->seg_first = 0;
	}
	if (c->seg_n == c->seg_cap) {
		more = realloc(c->segs, cap * sizeof(*more));
		if (more == NULL)
			return -1;
		c->segs = more;
		c->seg_cap = cap;
	}
	c->segs[c->seg_n++] = (struct conn_seg){.at = c->out.len, .blob = blob_ref(b)};
	c->blob_bytes += b->n;
	return 0;
}

void conn_send_blob(struct conn *c, struct blob *b)
{
	if (b->n <= BLOB_COPY)
		buf_add(conn_out(c), b->bytes, b->n);
	else if (seg_add(c, b) != 0)
		conn_out(c)->failed = true;
	conn_flush_later(c);
}

void conn_flush_later(struct conn *c)
{
	if (c->state == CONN_CLOSED) {
		conn_drop_output(c); /* it goes nowhere, and the owner knows or will be told */
		return;
	}
	conn_todo(c, 0);
	if (conn_pending(c) >= OUT_EARLY && !c->write_on)
		conn_flush(c);
}

/* The pieces in order: bytes up to the next blob, the blob, and so on. */
static int out_pieces(const struct conn *c, struct iovec *iov, int max)
{
	size_t at = c->out_done, done = c->blob_done;
	int n = 0;

	for (unsigned i = c->seg_first; i < c->seg_n && n < max; i++) {
		const struct conn_seg *seg = &c->segs[i];

		if (seg->at > at)
			iov[n++] = (struct iovec){.iov_base = c->out.p + at, .iov_len = seg->at - at};
		at = seg->at;
		if (n == max)
			return n;
		iov[n++] =
			(struct iovec){.iov_base = seg->blob->bytes + done, .iov_len = seg->blob->n - done};
		done = 0;
	}
	if (n < max && c->out.len > at)
		iov[n++] = (struct iovec){.iov_base = c->out.p + at, .iov_len = c->out.len - at};
	return n;
}

struct span conn_gather(const struct conn *c, uint8_t *room, size_t max)
{
	struct iovec iov[OUT_IOV];
	int pieces = out_pieces(c, iov, OUT_IOV);
	size_t n = 0, part;

	if (pieces > 0 && (pieces == 1 || iov[0].iov_len >= max))
		return span_of(iov[0].iov_base, iov[0].iov_len < max ? iov[0].iov_len : max);
	for (int i = 0; i < pieces && n < max; i++) {
		part = iov[i].iov_len < max - n ? iov[i].iov_len : max - n;
		memcpy(room + n, iov[i].iov_base, part);
		n += part;
	}
	return span_of(room, n);
}

/* Bytes that are gone for good make room, but not for every little piece. */
static void out_compact(struct conn *c)
{
	size_t gone = c->out_done;

	if (gone < OUT_EARLY || gone < c->out.len / 2)
		return;
	buf_drop(&c->out, gone);
	c->out_done = 0;
	for (unsigned i = c->seg_first; i < c->seg_n; i++)
		c->segs[i].at -= gone;
}

void conn_sent(struct conn *c, size_t n)
{
	size_t part;

	c->sent += n;
	while (n > 0) {
		struct conn_seg *seg = c->seg_first < c->seg_n ? &c->segs[c->seg_first] : NULL;

		part = (seg != NULL ? seg->at : c->out.len) - c->out_done;
		part = part < n ? part : n;
		c->out_done += part;
		n -= part;
		if (n == 0 || seg == NULL)
			break;
		part = seg->blob->n - c->blob_done;
		part = part < n ? part : n;
		c->blob_done += part;
		c->blob_bytes -= part;
		n -= part;
		if (c->blob_done == seg->blob->n) {
			blob_unref(seg->blob);
			c->seg_first++;
			c->blob_done = 0;
		}
	}
	check(n == 0);
	out_compact(c);
}

ssize_t conn_send_fd(int fd, const struct iovec *iov, int n)
{
	struct msghdr msg = {.msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)n};
	ssize_t r;

	do
		r = n == 1 ? send(fd, iov->iov_base, iov->iov_len, MSG_NOSIGNAL)
			   : sendmsg(fd, &msg, MSG_NOSIGNAL);
	while (r < 0 && errno == EINTR);
	return r;
}

/* Copied bytes only, as nearly always. */
static enum conn_io out_send_bytes(struct conn *c)
{
	const struct iovec iov = {.iov_base = c->out.p + c->out_done, .iov_len = c->out.len - c->out_done};
	ssize_t r = conn_send_fd(c->fd, &iov, 1);

	if (r < 0)
		return errno == EAGAIN || errno == EWOULDBLOCK ? CONN_IO_AGAIN : CONN_IO_FAILED;
	if ((size_t)r < iov.iov_len) {
		conn_sent(c, (size_t)r);
		return CONN_IO_AGAIN;
	}
	c->sent += (uint64_t)r;
	c->out_done = c->out.len;
	return CONN_IO_END;
}

static enum conn_io out_send_plain(struct conn *c)
{
	struct iovec iov[OUT_IOV];
	size_t want;
	ssize_t r;
	int n;

	if (c->seg_first == c->seg_n)
		return out_send_bytes(c);
	while (conn_pending(c) > 0) {
		n = out_pieces(c, iov, OUT_IOV);
		want = 0;
		for (int i = 0; i < n; i++)
			want += iov[i].iov_len;
		r = conn_send_fd(c->fd, iov, n);
		if (r > 0)
			conn_sent(c, (size_t)r);
		else if (r < 0 && errno != EAGAIN && errno != EWOULDBLOCK)
			return CONN_IO_FAILED;
		if (r < 0 || (size_t)r < want)
			return CONN_IO_AGAIN;
	}
	return CONN_IO_END;
}

/* A peer that is gone may have said why before it left: its input is read first. */
static void out_failed(struct conn *c, int error)
{
	if (error != EPIPE && error != ECONNRESET) {
		conn_fail(c, "cannot write: %s", strerror(error));
		return;
	}
	conn_drop_output(c);
	conn_want_write(c, false);
	conn_todo(c, CONN_TODO_HANGUP);
}

/* A large piece goes to the kernel from where it lies, behind what is pending: half of the cost of passing
 * on a large answer would be our copy of it. The number of its bytes that are gone. */
static size_t out_send_direct(struct conn *c, const void *p, size_t n)
{
	struct iovec iov[OUT_IOV];
	size_t before = conn_pending(c);
	int pieces = out_pieces(c, iov, OUT_IOV);
	ssize_t r;

	if (pieces == OUT_IOV)
		return 0;
	iov[pieces] = (struct iovec){.iov_base = (void *)p, .iov_len = n};
	r = conn_send_fd(c->fd, iov, pieces + 1);
	if (r < 0 && errno != EAGAIN && errno != EWOULDBLOCK) {
		out_failed(c, errno);
		return n; /* it goes nowhere */
	}
	if (r <= 0)
		return 0;
	conn_sent(c, (size_t)r < before ? (size_t)r : before);
	c->sent += (size_t)r < before ? 0 : (size_t)r - before;
	return (size_t)r < before ? 0 : (size_t)r - before;
}

void conn_send(struct conn *c, const void *p, size_t n)
{
	size_t gone = 0;

	if (n >= OUT_DIRECT && c->state == CONN_OPEN && c->ssl == NULL && !c->write_on && !c->out.failed)
		gone = out_send_direct(c, p, n);
	if (n > gone)
		buf_add(conn_out(c), (const uint8_t *)p + gone, n - gone);
	conn_flush_later(c);
}

bool conn_flush(struct conn *c)
{
	enum conn_io end = CONN_IO_END;

	if (c->state != CONN_OPEN && c->state != CONN_FINISHING)
		return false;
	if (c->out.failed) {
		conn_fail(c, "more than %u MiB of output, or no memory for it", OUT_MAX >> 20);
		return false;
	}
	if (conn_pending(c) > 0) {
		c->write_wants_read = false;
		end = c->ssl != NULL ? conn_tls_send(c) : out_send_plain(c);
	}
	if (end == CONN_IO_FAILED) {
		if (c->state != CONN_CLOSED)
			out_failed(c, errno);
		return false;
	}
	if (end == CONN_IO_AGAIN) {
		conn_want_write(c, !c->write_wants_read || c->read_wants_write);
		return false;
	}
	if (c->out.p != NULL || c->segs != NULL)
		out_reset(c);
	conn_want_write(c, c->read_wants_write);
	return true;
}
