/* conn.h - a non-blocking stream socket with optional TLS: bytes, not messages.
 * Source  libevent for readiness; read/writev or SSL_read/SSL_write for the transfer.
 * Shape   input: bytes not yet consumed, contiguous. output: a buf, then counted blobs, sent in order.
 *         Reads go through the loop's shared scratch: an idle connection holds no buffer at all.
 *         Output is sent at the end of the loop's round (one write per round), earlier above 64 KiB, and
 *         for pieces of 16 KiB and more, which are not copied as far as the kernel takes them.
 *         Spans of conn_input stay valid until the callback returns, or outside of one until the round ends.
 *         A close is noticed only while reading: not while paused, nor while the unread bytes are at their maximum.
 * Owner   the session or backend that made it. After on_closed or conn_free nothing is called again.
 * Thread  the loop's. conn_detach/conn_attach move an idle connection to another loop.
 * Errors  a failed read, write or handshake calls on_closed once, from the loop, never from inside a call
 *         of the owner. */
#ifndef PROXY_NET_CONN_H
#define PROXY_NET_CONN_H

#include "proxy/base/blob.h"
#include "proxy/base/err.h"
#include "proxy/net/loop.h"
#include "proxy/net/tls.h"
#include "protocol/buf.h"
#include "protocol/span.h"

struct conn;

struct conn_ops {
	void (*on_input)(void *owner); /* there is new input (conn_input) */
	/* Pending output fell to the low mark after conn_full was true; and once when the socket is connected
	 * (for one that was connected before: in the first round). */
	void (*on_output)(void *owner);
	/* The peer closed (err->text empty) or the connection failed. Input already received can still be read. */
	void (*on_closed)(void *owner, const struct err *err);
	/* A handshake started by conn_tls_* is done. May be NULL. */
	void (*on_tls)(void *owner);
};

/* Takes the fd (non-blocking, connected or connecting). */
struct conn *conn_new(struct loop *l, int fd, const struct conn_ops *ops, void *owner);
/* One that was accepted: it is connected, and is read from in the first round, as the client has probably spoken. */
struct conn *conn_accepted(struct loop *l, int fd, const struct conn_ops *ops, void *owner);
void conn_free(struct conn **c); /* closes at once; pending output is lost */

#define CONN_LINGER_US 5000000u /* usual for clients */
/* Sends what is pending, then closes (with TLS close_notify), for at most `linger_us`. The owner is forgotten. */
void conn_finish(struct conn **c, uint64_t linger_us);
/* The same for a peer that has said goodbye and sends nothing more: closes at once when the kernel takes what is pending. */
void conn_leave(struct conn **c, uint64_t linger_us);
/* Output pending above this makes conn_full true, below the other on_output is called. */
#define CONN_HIGH_MARK (256u * 1024)
#define CONN_LOW_MARK (64u * 1024)

struct span conn_input(const struct conn *c);
void conn_consume(struct conn *c, size_t n);
/* Puts bytes back in front of the unread ones; the spans of conn_input are void then. 0, or -1: no memory. */
int conn_unread(struct conn *c, struct span bytes);
/* Largest number of unread bytes that is held; reading stops there until some are consumed. Default 64 KiB. */
void conn_input_max(struct conn *c, size_t n);
void conn_pause(struct conn *c); /* stop reading (backpressure) */
/* After a pause; also calls on_input later in the round if unread bytes are there. Else does nothing. */
void conn_resume(struct conn *c);

/* Append to conn_out with the write_* builders, then conn_flush_later. */
struct buf *conn_out(struct conn *c);
void conn_send(struct conn *c, const void *p, size_t n); /* copies, and flushes later */
void conn_send_blob(struct conn *c, struct blob *b); /* takes a reference of its own; small ones are copied */
void conn_flush_later(struct conn *c);
size_t conn_pending(const struct conn *c); /* bytes not yet accepted by the kernel */
bool conn_full(const struct conn *c);	   /* pending above the high mark: stop feeding it */

/* TLS. Server side also after a direct TLS first byte (nothing was consumed): unread input counts as the
 * beginning of the handshake. Plain output must have been sent; nothing may be added until on_tls. */
int conn_tls_accept(struct conn *c, struct tls *t, struct err *err);
int conn_tls_connect(struct conn *c, struct tls *t, const char *host, struct err *err);
SSL *conn_ssl(const struct conn *c); /* NULL = plain */

int conn_fd(const struct conn *c);
/* Bytes so far, inside of TLS. */
void conn_traffic(const struct conn *c, uint64_t *received_r, uint64_t *sent_r);
/* "1.2.3.4:5678" or "unix" into out. */
void conn_peer(const struct conn *c, char *out, size_t outsz);

/* Move: detached it belongs to no loop and calls nobody. Only without pending output. */
void conn_detach(struct conn *c);
void conn_attach(struct conn *c, struct loop *l, const struct conn_ops *ops, void *owner);

#endif
