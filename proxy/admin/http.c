#include "proxy/admin/http.h"

#include "proxy/admin/site.h"
#include "proxy/base/check.h"
#include "proxy/base/clock.h"
#include "proxy/net/tls.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/listener.h>
#include <netdb.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#define CONNS 64u
#define LIMIT_US 10000000u
#define HEAD_MAX 8192
#define BODY_MAX 4096	 /* nobody needs one; read before it is refused */
#define BACKLOG 1024	 /* who comes while all places are taken waits here */
#define ASK_US 50000u	 /* in a crowd: for the request to arrive .. */
#define TAKE_US 1000000u /* .. and for its answer to be taken */
#define TEND_US 1000000u
/* Methods that evhttp does not know are ours to refuse, too. */
#define METHODS_ALL 0xffffu

struct http {
	struct loop *loop;
	struct evhttp *web; /* owned, with its listeners */
	struct site site;
	struct tls *tls;   /* counted; NULL = plain */
	char *credentials; /* owned */
	int port;
	bool reuseport;
	unsigned max_conns;
	uint64_t limit_us;
	struct ring clients; /* the oldest first */
	struct later claim;
	bool full;    /* the listeners rest */
	bool crowded; /* `shed` will come */
	struct timer shed;
	struct timer tend;
	atomic_uint nclients; /* a test looks at it from its own thread */
};

struct client {
	struct ring node;
	struct http *http;
	struct evhttp_connection *conn; /* borrowed from evhttp; NULL until claimed */
	struct bufferevent *stream;	/* counted until claimed, then NULL */
	bool asked;			/* its request has come */
	uint64_t since_us;		/* of the connection, then of the request */
	struct timer limit;
};

/* --- connections --- */

static void wake_listener(struct evhttp_bound_socket *bound, void *arg)
{
	(void)arg;
	evconnlistener_enable(evhttp_bound_socket_get_listener(bound));
}

static void rest_listener(struct evhttp_bound_socket *bound, void *arg)
{
	(void)arg;
	evconnlistener_disable(evhttp_bound_socket_get_listener(bound));
}

static void client_forget(struct client *c)
{
	struct http *h = c->http;

	ring_remove(&c->node);
	h->nclients--;
	timer_free(&c->limit);
	loop_retire(h->loop, free, c);
	if (h->full)
		evhttp_foreach_bound_socket(h->web, wake_listener, NULL);
	h->full = false;
}

/* However it ends: evhttp, the limit, a crowd and http_free all come through here. */
static void client_closed(struct evhttp_connection *conn, void *arg)
{
	(void)conn;
	client_forget(arg);
}

static void client_limit(void *arg)
{
	struct client *c = arg;

	if (c->conn != NULL)
		evhttp_connection_free(c->conn);
}

/* evhttp 2.1 tells nobody of a connection before its request is whole, but its stream's callbacks carry it. That is so from the
 * moment after new_stream; the stream of a connection that could not be made has none. */
static void client_claim(struct client *c)
{
	void *conn = NULL;

	bufferevent_getcb(c->stream, NULL, NULL, NULL, &conn);
	bufferevent_decref(c->stream);
	c->stream = NULL;
	c->conn = conn;
	if (c->conn != NULL)
		evhttp_connection_set_closecb(c->conn, client_closed, c);
	else
		client_forget(c);
}

/* Only the youngest can be without its connection. */
static void claim(struct http *h)
{
	struct ring *last = h->clients.prev;

	if (last != &h->clients && ring_item(last, struct client, node)->stream != NULL)
		client_claim(ring_item(last, struct client, node));
}

static void claim_later(struct later *later)
{
	claim(ring_item(later, struct http, claim));
}

/* The loop is late, not the client. */
static bool unread(const struct client *c)
{
	int n = 0;

	return ioctl(bufferevent_getfd(evhttp_connection_get_bufferevent(c->conn)), FIONREAD, &n) == 0 &&
	       n > 0;
}

static bool stays(const struct client *c, uint64_t now_us)
{
	if (c->asked)
		return now_us < c->since_us + TAKE_US;
	return now_us < c->since_us + ASK_US || unread(c);
}

/* All places are taken, and the next clients wait in the listeners' queues: who is slow goes. */
static void shed(void *arg)
{
	struct http *h = arg;
	uint64_t now_us = clock_us();

	h->crowded = h->full;
	if (!h->full)
		return;
	claim(h);
	ring_each_safe (node, &h->clients)
		if (!stays(ring_item(node, struct client, node), now_us))
			evhttp_connection_free(ring_item(node, struct client, node)->conn);
	timer_set(h->loop, &h->shed, ASK_US);
}

static void rest(struct http *h)
{
	h->full = true;
	evhttp_foreach_bound_socket(h->web, rest_listener, NULL);
	if (!h->crowded)
		timer_set(h->loop, &h->shed, ASK_US);
	h->crowded = true;
}

static struct bufferevent *make_stream(struct http *h, struct event_base *base)
{
	struct bufferevent *stream;
	SSL *ssl;

	if (h->tls == NULL)
		return bufferevent_socket_new(base, -1, 0);
	ssl = tls_session(h->tls, NULL, NULL);
	if (ssl == NULL)
		return NULL;
	/* libevent waits for the socket: what OpenSSL has read ahead would never be seen. */
	SSL_set_read_ahead(ssl, 0);
	stream = bufferevent_openssl_socket_new(base, -1, ssl, BUFFEREVENT_SSL_ACCEPTING,
						BEV_OPT_CLOSE_ON_FREE);
	if (stream == NULL)
		SSL_free(ssl);
	return stream;
}

/* A connection has been accepted and evhttp wants its stream. */
static struct bufferevent *new_stream(struct event_base *base, void *arg)
{
	struct http *h = arg;
	struct bufferevent *stream;
	struct client *c;

	claim(h);
	stream = make_stream(h, base);
	if (stream == NULL)
		return NULL; /* evhttp makes a plain one then, and on_request does not know it */
	c = check_alloc(sizeof *c);
	c->http = h;
	c->stream = stream;
	c->since_us = clock_us();
	bufferevent_incref(stream);
	timer_init(&c->limit, client_limit, c);
	timer_set(h->loop, &c->limit, h->limit_us);
	ring_add(&h->clients, &c->node);
	h->nclients++;
	loop_later(h->loop, &h->claim);
	if (h->nclients >= h->max_conns)
		rest(h);
	return stream;
}

static struct client *client_of(struct http *h, const struct evhttp_connection *conn)
{
	ring_each (node, &h->clients)
		if (ring_item(node, struct client, node)->conn == conn)
			return ring_item(node, struct client, node);
	return NULL;
}

/* evhttp keeps a connection open behind a CONNECT, whatever our answer says, and would answer what comes next. */
static void answered(struct evhttp_request *req, void *arg)
{
	struct client *c = arg;
	struct evbuffer *rest = bufferevent_get_input(evhttp_connection_get_bufferevent(c->conn));

	(void)req;
	evbuffer_drain(rest, evbuffer_get_length(rest));
	timer_set(c->http->loop, &c->limit, 0);
}

static void on_request(struct evhttp_request *req, void *arg)
{
	struct http *h = arg;
	struct client *c;

	claim(h);
	c = client_of(h, evhttp_request_get_connection(req));
	if (c == NULL) { /* new_stream had no memory: nothing is said on a connection that may lack its TLS */
		evhttp_send_error(req, HTTP_SERVUNAVAIL, NULL);
		return;
	}
	if (c->asked)
		return; /* it was answered, and is about to be closed */
	c->asked = true;
	c->since_us = clock_us();
	evhttp_request_set_on_complete_cb(req, answered, c);
	site_answer(req, &h->site);
	/* evhttp takes the end of a client's requests for the end of the client, and cuts the answer. Who is gone is found by
	 * writing, or by the limit. */
	bufferevent_disable(evhttp_connection_get_bufferevent(c->conn), EV_READ);
}

/* --- listeners --- */

/* Out of descriptors: a rest, so that the waiting connection does not wake us at once and for ever. */
static void accept_failed(struct evconnlistener *listener, void *evhttp)
{
	(void)evhttp;
	evconnlistener_disable(listener);
}

/* accept_failed has no way to us, so those who rest are looked for. */
static void tend(void *arg)
{
	struct http *h = arg;

	if (!h->full)
		evhttp_foreach_bound_socket(h->web, wake_listener, NULL);
	timer_set(h->loop, &h->tend, TEND_US);
}

static void set_port(struct sockaddr *addr, int port)
{
	if (addr->sa_family == AF_INET6)
		((struct sockaddr_in6 *)addr)->sin6_port = htons((uint16_t)port);
	else
		((struct sockaddr_in *)addr)->sin_port = htons((uint16_t)port);
}

static int bound_port(int fd)
{
	struct sockaddr_in6 own = {0}; /* IPv4 has its port in the same place */
	socklen_t n = sizeof own;

	return getsockname(fd, (struct sockaddr *)&own, &n) == 0 ? ntohs(own.sin6_port) : 0;
}

static int listen_on(struct http *h, const struct addrinfo *ai)
{
	unsigned flags = LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_REUSEABLE;
	struct evconnlistener *listener;

	if (h->reuseport)
		flags |= LEV_OPT_REUSEABLE_PORT;
	if (ai->ai_family == AF_INET6)
		flags |= LEV_OPT_BIND_IPV6ONLY; /* v4 has a socket of its own */
	set_port(ai->ai_addr, h->port);
	errno = 0;
	listener = evconnlistener_new_bind(loop_base(h->loop), NULL, NULL, flags, BACKLOG, ai->ai_addr,
					   (int)ai->ai_addrlen);
	if (listener == NULL)
		return -1;
	if (evhttp_bind_listener(h->web, listener) == NULL) {
		evconnlistener_free(listener);
		return -1;
	}
	evconnlistener_set_error_cb(listener, accept_failed);
	if (h->port == 0)
		h->port = bound_port(evconnlistener_get_fd(listener)); /* the same for all of them */
	return 0;
}

/* Every address of the name. A machine without IPv6 still offers "::" for "*": that one may fail. */
static int listen_all(struct http *h, const char *addr, struct err *err)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *list = NULL;
	bool any = strcmp(addr, "*") == 0;
	int rc = getaddrinfo(any ? NULL : addr, "0", &hints, &list), n = 0, port = h->port;
	const char *why = NULL;

	if (rc != 0)
		return err_set(err, "cannot listen on %s:%d: %s", addr, port, gai_strerror(rc));
	for (struct addrinfo *ai = list; ai != NULL && why == NULL; ai = ai->ai_next) {
		if (ai->ai_family != AF_INET && ai->ai_family != AF_INET6)
			continue;
		if (listen_on(h, ai) == 0)
			n++;
		else if (!any || (errno != EAFNOSUPPORT && errno != EADDRNOTAVAIL))
			why = errno != 0 ? strerror(errno) : "out of memory";
	}
	freeaddrinfo(list);
	if (why == NULL && n == 0)
		why = "no usable address";
	return why == NULL ? 0 : err_set(err, "cannot listen on %s:%d: %s", addr, port, why);
}

/* --- the whole --- */

static int start(struct http *h, const char *addr, struct err *err)
{
	uint64_t us = h->limit_us / 2;
	struct timeval silence = {.tv_sec = (time_t)(us / 1000000), .tv_usec = (suseconds_t)(us % 1000000)};

	h->web = evhttp_new(loop_base(h->loop));
	if (h->web == NULL)
		return err_set(err, "out of memory for the stats port");
	evhttp_set_bevcb(h->web, new_stream, h);
	evhttp_set_gencb(h->web, on_request, h);
	evhttp_set_allowed_methods(h->web, METHODS_ALL);
	evhttp_set_max_headers_size(h->web, HEAD_MAX);
	evhttp_set_max_body_size(h->web, BODY_MAX);
	evhttp_set_timeout_tv(h->web, &silence);
	if (listen_all(h, addr, err) != 0)
		return -1;
	timer_set(h->loop, &h->tend, TEND_US);
	return 0;
}

/* NULL = nobody is asked. A name without a password is "", which nobody has. */
static char *credentials_of(const struct http_settings *set)
{
	char *plain = NULL, *coded;
	int n;

	if (set->user == NULL || set->user[0] == '\0')
		return NULL;
	if (set->password == NULL || set->password[0] == '\0')
		return check_alloc(1);
	n = asprintf(&plain, "%s:%s", set->user, set->password);
	check(n > 0);
	coded = check_alloc((size_t)n * 2 + 8);
	EVP_EncodeBlock((unsigned char *)coded, (const unsigned char *)plain, n);
	OPENSSL_cleanse(plain, (size_t)n);
	free(plain);
	return coded;
}

struct http *http_new(struct loop *l, const struct http_settings *set, const struct report_source *source,
		      struct err *err)
{
	struct http *h = check_alloc(sizeof *h);

	h->loop = l;
	h->credentials = credentials_of(set);
	h->tls = set->tls != NULL ? tls_ref(set->tls) : NULL;
	h->site = (struct site){.source = *source, .started_us = clock_us(), .credentials = h->credentials};
	h->port = set->port;
	h->reuseport = set->reuseport;
	h->max_conns = set->max_conns != 0 ? set->max_conns : CONNS;
	h->limit_us = set->limit_us != 0 ? set->limit_us : LIMIT_US;
	ring_init(&h->clients);
	later_init(&h->claim, claim_later);
	timer_init(&h->shed, shed, h);
	timer_init(&h->tend, tend, h);
	if (start(h, set->addr, err) != 0)
		http_free(&h);
	return h;
}

int http_port(const struct http *h)
{
	return h->port;
}

unsigned http_conns(const struct http *h)
{
	return h->nclients;
}

void http_free(struct http **hp)
{
	struct http *h = *hp;

	*hp = NULL;
	if (h == NULL)
		return;
	claim(h);
	later_cancel(&h->claim);
	timer_free(&h->shed);
	timer_free(&h->tend);
	if (h->web != NULL)
		evhttp_free(h->web);
	check(ring_empty(&h->clients));
	tls_unref(h->tls);
	if (h->credentials != NULL)
		OPENSSL_cleanse(h->credentials, strlen(h->credentials));
	free(h->credentials);
	free(h);
}
