/* conn_private.h - a connection as its own files see it.
 * Source  none.
 * Shape   conn.c life and events, conn_in.c reading, conn_out.c writing, conn_tls.c TLS.
 *         The owner is called only from conn_call(): after it, a connection that is gone must not be touched.
 * Owner   see conn.h.
 * Thread  the loop's.
 * Errors  conn_fail notes a failure; the owner hears of it from the loop. */
#ifndef PROXY_NET_CONN_PRIVATE_H
#define PROXY_NET_CONN_PRIVATE_H

#include "proxy/base/ring.h"
#include "proxy/net/conn.h"
#include "proxy/net/loop_private.h"

#include <event2/event_struct.h>
#include <sys/uio.h>

enum conn_state {
	CONN_CONNECTING, /* waits until writable */
	CONN_OPEN,	 /* bytes flow, plain or through `ssl` */
	CONN_SHAKING,	 /* the handshake runs; output waits */
	CONN_CLOSED,	 /* closed or failed; the owner knows when CONN_TODO_CLOSE is gone */
	CONN_FINISHING,	 /* without owner: sends what is left */
	CONN_LINGERING,	 /* without owner: waits for the peer's end, discards what it sends */
};

/* What the end of the round has to do for a connection. */
enum {
	CONN_TODO_CONNECTED = 1, /* on_output for the first time */
	CONN_TODO_INPUT = 2,	 /* on_input for bytes that are held */
	CONN_TODO_READ = 4,	 /* bytes may wait inside the TLS layer, where epoll sees nothing */
	CONN_TODO_HANGUP = 8,	 /* writing failed since the peer left: read what it still said, then close */
	CONN_TODO_CLOSE = 16,	 /* on_closed */
};

/* How a transfer ended when it moved nothing. */
enum conn_io { CONN_IO_AGAIN = -1, CONN_IO_END = -2, CONN_IO_FAILED = -3 };

/* A blob between the copied bytes: it goes out when `at` of them have gone. */
struct conn_seg {
	size_t at;
	struct blob *blob; /* counted */
};

struct conn_raw {
	size_t n, done;
	uint8_t bytes[];
};

/* Of one that has been finished: how long it may still take. */
struct conn_parting {
	struct conn *conn;
	struct later at_free;
	struct timer linger;
};

/* What every transfer touches comes first and lies together: it is few lines of the processor's cache then. */
struct conn {
	struct loop *loop; /* NULL = detached */
	int fd;		   /* owned */
	enum conn_state state;
	unsigned todo;
	bool read_on, write_on; /* the events are with the loop */
	bool paused;
	bool stalled;	       /* reading stopped for a pause or for in_max */
	bool was_full;	       /* the owner saw conn_full */
	bool drained;	       /* the last read for TLS emptied the socket */
	bool read_wants_write; /* SSL_read waits until the socket is writable */
	bool write_wants_read; /* SSL_write waits until it is readable */
	const struct conn_ops *ops;
	void *owner;
	SSL *ssl; /* owned */
	struct event ev_read;
	struct later round; /* in the loop's flushes */

	/* Unread bytes: in `hold`, or while on_input runs perhaps in the loop's scratch. */
	const uint8_t *in;
	size_t in_n;
	size_t in_max;
	uint8_t *hold; /* owned */

	uint64_t received, sent; /* bytes so far, without TLS's own */

	struct buf out; /* copied bytes; [out_done, len) are unsent */
	size_t out_done;
	size_t blob_bytes; /* unsent bytes of all blobs */

	size_t hold_cap;
	struct conn_seg *segs; /* owned; [seg_first, seg_n) are unsent */
	unsigned seg_first, seg_n, seg_cap;
	uint32_t tls_retry;	      /* SSL_write must be asked again for at least this much */
	size_t blob_done;	      /* bytes of the first blob that are sent */
	struct event *ev_write;	      /* owned; made when the socket is full for the first time */
	struct conn_parting *parting; /* owned; NULL while it has an owner */
	struct err *why;	      /* owned; NULL = the peer closed */
	struct tls *tls;	      /* counted */
	struct conn_raw *raw;	      /* owned: bytes that were read before TLS began; NULL = none left */
};

/* conn.c */
bool conn_call(struct conn *c, void (*fn)(void *owner)); /* false = the connection is gone */
void conn_todo(struct conn *c, unsigned todo);
void conn_end(struct conn *c); /* the peer closed */
int conn_fail(struct conn *c, const char *fmt, ...) __attribute__((cold, format(printf, 2, 3)));
void conn_want_read(struct conn *c);
void conn_want_write(struct conn *c, bool on);

/* conn_in.c */
void conn_read(struct conn *c);
void conn_read_rest(struct conn *c);	/* into hold, without telling */
bool conn_deliver_held(struct conn *c); /* false = it is gone */
void conn_discard_input(struct conn *c);
int conn_keep_input(struct conn *c); /* out of the scratch, into hold */
void conn_tidy_input(struct conn *c);
ssize_t conn_recv(struct conn *c, void *p, size_t n);

/* conn_out.c */
void conn_out_init(struct conn *c);
bool conn_flush(struct conn *c); /* true = nothing is left to send; failures go to `todo` */
void conn_drop_output(struct conn *c);
ssize_t conn_send_fd(int fd, const struct iovec *iov, int n);
/* The next unsent bytes in one piece of at most `max`, gathered into `room` if need be. */
struct span conn_gather(const struct conn *c, uint8_t *room, size_t max);
void conn_sent(struct conn *c, size_t n);

/* conn_tls.c */
void conn_shake(struct conn *c);
ssize_t conn_tls_recv(struct conn *c, void *p, size_t n);
enum conn_io conn_tls_send(struct conn *c); /* END = all sent */
void conn_tls_goodbye(struct conn *c);
void conn_tls_free(struct conn *c);

#endif
