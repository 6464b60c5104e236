/* TLS on a connection: OpenSSL over a BIO of our own, which first gives it the bytes that were read before
 * the handshake began, and never raises SIGPIPE. */
#include "proxy/base/check.h"
#include "proxy/net/conn_private.h"

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/x509_vfy.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define TLS_RECORD (16u * 1024)

static int raw_take(struct conn *c, char *p, size_t n)
{
	struct conn_raw *raw = c->raw;

	if (n > raw->n - raw->done)
		n = raw->n - raw->done;
	memcpy(p, raw->bytes + raw->done, n);
	raw->done += n;
	if (raw->done == raw->n) {
		free(raw);
		c->raw = NULL;
	}
	return (int)n;
}

static int bio_read(BIO *bio, char *p, int n)
{
	struct conn *c = BIO_get_data(bio);
	ssize_t r;

	BIO_clear_retry_flags(bio);
	if (c->raw != NULL)
		return raw_take(c, p, (size_t)n);
	do
		r = recv(c->fd, p, (size_t)n, 0);
	while (r < 0 && errno == EINTR);
	c->drained = r < n;
	if (r < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		BIO_set_retry_read(bio);
	return (int)r;
}

static int bio_write(BIO *bio, const char *p, int n)
{
	struct conn *c = BIO_get_data(bio);
	struct iovec iov = {.iov_base = (void *)p, .iov_len = (size_t)n};
	ssize_t r = conn_send_fd(c->fd, &iov, 1);

	BIO_clear_retry_flags(bio);
	if (r < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		BIO_set_retry_write(bio);
	return (int)r;
}

static long bio_ctrl(BIO *bio, int cmd, long num, void *p)
{
	(void)bio;
	(void)num;
	(void)p;
	return cmd == BIO_CTRL_FLUSH; /* nothing is held back */
}

static BIO_METHOD *bio_method;

static void bio_make_method(void)
{
	bio_method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "conn");
	check(bio_method != NULL);
	check(BIO_meth_set_read(bio_method, bio_read) == 1);
	check(BIO_meth_set_write(bio_method, bio_write) == 1);
	check(BIO_meth_set_ctrl(bio_method, bio_ctrl) == 1);
}

static int tls_attach_bio(struct conn *c, SSL *ssl)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	BIO *bio;

	pthread_once(&once, bio_make_method);
	bio = BIO_new(bio_method);
	if (bio == NULL)
		return -1;
	BIO_set_data(bio, c);
	BIO_set_init(bio, 1);
	SSL_set_bio(ssl, bio, bio); /* takes the reference */
	return 0;
}

/* What was read as plain bytes belongs to the handshake now. */
static int tls_take_input(struct conn *c)
{
	if (c->in_n == 0)
		return 0;
	c->raw = malloc(sizeof *c->raw + c->in_n);
	if (c->raw == NULL)
		return -1;
	*c->raw = (struct conn_raw){.n = c->in_n};
	memcpy(c->raw->bytes, c->in, c->in_n);
	c->in += c->in_n;
	c->in_n = 0;
	return 0;
}

static int tls_begin(struct conn *c, struct tls *t, const char *host, int server, struct err *err)
{
	SSL *ssl;

	if (c->state != CONN_OPEN || c->ssl != NULL)
		return err_set(err, "TLS cannot begin on this connection");
	if (!conn_flush(c))
		return err_set(err, "plain output is pending before TLS");
	ssl = tls_session(t, host, err);
	if (ssl == NULL)
		return -1;
	if (tls_attach_bio(c, ssl) != 0 || tls_take_input(c) != 0) {
		SSL_free(ssl);
		return err_set(err, "no memory for TLS");
	}
	if (server)
		SSL_set_accept_state(ssl);
	else
		SSL_set_connect_state(ssl);
	c->ssl = ssl;
	c->tls = tls_ref(t);
	c->state = CONN_SHAKING;
	conn_want_read(c);
	conn_todo(c, 0); /* the handshake runs from the loop */
	return 0;
}

int conn_tls_accept(struct conn *c, struct tls *t, struct err *err)
{
	return tls_begin(c, t, NULL, 1, err);
}

int conn_tls_connect(struct conn *c, struct tls *t, const char *host, struct err *err)
{
	return tls_begin(c, t, host, 0, err);
}

/* The most telling of OpenSSL's reasons. */
static const char *tls_reason(const struct conn *c, int saved_errno)
{
	unsigned long code = ERR_peek_last_error();
	long verdict = SSL_get_verify_result(c->ssl);
	const char *text;

	if (verdict != X509_V_OK)
		return X509_verify_cert_error_string(verdict);
	text = code != 0 ? ERR_reason_error_string(code) : NULL;
	if (text != NULL)
		return text;
	return saved_errno != 0 ? strerror(saved_errno) : "closed by the peer";
}

static void shake_done(struct conn *c)
{
	c->state = CONN_OPEN;
	c->stalled = false;
	conn_want_write(c, false);
	/* The peer's first bytes may have come with its last of the handshake. */
	conn_todo(c, CONN_TODO_READ);
	if (c->ops->on_tls != NULL)
		conn_call(c, c->ops->on_tls);
}

void conn_shake(struct conn *c)
{
	int r, saved;

	ERR_clear_error();
	errno = 0;
	r = SSL_do_handshake(c->ssl);
	saved = errno;
	if (r == 1) {
		shake_done(c);
		return;
	}
	switch (SSL_get_error(c->ssl, r)) {
	case SSL_ERROR_WANT_READ: conn_want_write(c, false); break;
	case SSL_ERROR_WANT_WRITE: conn_want_write(c, true); break;
	default: conn_fail(c, "TLS handshake failed: %s", tls_reason(c, saved)); break;
	}
}

ssize_t conn_tls_recv(struct conn *c, void *p, size_t n)
{
	size_t got;
	int r, saved;

	ERR_clear_error();
	errno = 0;
	r = SSL_read_ex(c->ssl, p, n, &got);
	saved = errno;
	if (r == 1) {
		c->read_wants_write = false;
		return (ssize_t)got;
	}
	switch (SSL_get_error(c->ssl, r)) {
	case SSL_ERROR_WANT_READ: return CONN_IO_AGAIN;
	case SSL_ERROR_WANT_WRITE:
		c->read_wants_write = true;
		conn_want_write(c, true);
		return CONN_IO_AGAIN;
	case SSL_ERROR_ZERO_RETURN: return CONN_IO_END;
	case SSL_ERROR_SYSCALL:
		if (saved == 0 || saved == ECONNRESET || saved == EPIPE)
			return CONN_IO_END;
	}
	conn_fail(c, "cannot read from TLS: %s", tls_reason(c, saved));
	return CONN_IO_FAILED;
}

/* Failed leaves the reason in errno, or has called conn_fail. */
static enum conn_io tls_send_failed(struct conn *c, int how, int saved)
{
	if (how == SSL_ERROR_SYSCALL && (saved == EPIPE || saved == ECONNRESET)) {
		errno = saved;
		return CONN_IO_FAILED;
	}
	conn_fail(c, "cannot write to TLS: %s", tls_reason(c, saved));
	return CONN_IO_FAILED;
}

enum conn_io conn_tls_send(struct conn *c)
{
	struct loop *l = c->loop;
	struct span piece;
	size_t sent;
	int r, how, saved;

	if (l->tls_scratch == NULL)
		l->tls_scratch = check_alloc(TLS_RECORD);
	while (conn_pending(c) > 0) {
		piece = conn_gather(c, l->tls_scratch, TLS_RECORD);
		check(piece.n >= c->tls_retry);
		ERR_clear_error();
		errno = 0;
		r = SSL_write_ex(c->ssl, piece.p, piece.n, &sent);
		saved = errno;
		if (r == 1) {
			c->tls_retry = 0;
			conn_sent(c, sent);
			continue;
		}
		how = SSL_get_error(c->ssl, r);
		if (how != SSL_ERROR_WANT_WRITE && how != SSL_ERROR_WANT_READ)
			return tls_send_failed(c, how, saved);
		c->tls_retry = (uint32_t)piece.n;
		c->write_wants_read = how == SSL_ERROR_WANT_READ;
		return CONN_IO_AGAIN;
	}
	return CONN_IO_END;
}

/* Our close_notify, if the socket takes it now; the peer's is not waited for. */
void conn_tls_goodbye(struct conn *c)
{
	if (!SSL_is_init_finished(c->ssl) || c->tls_retry != 0 ||
	    SSL_get_shutdown(c->ssl) & SSL_SENT_SHUTDOWN)
		return;
	ERR_clear_error();
	SSL_shutdown(c->ssl);
	ERR_clear_error();
}

void conn_tls_free(struct conn *c)
{
	SSL_free(c->ssl);
	c->ssl = NULL;
	tls_unref(c->tls);
	c->tls = NULL;
	free(c->raw);
	c->raw = NULL;
}
