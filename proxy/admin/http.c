#include "proxy/admin/http.h"

#include "proxy/admin/metrics.h"
#include "proxy/admin/page.h"
#include "proxy/admin/quote.h"
#include "proxy/admin/request.h"
#include "proxy/admin/stats.h"
#include "proxy/base/check.h"
#include "proxy/base/clock.h"
#include "proxy/net/conn.h"
#include "proxy/net/listener.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ANSWER_MAX (16u * 1024 * 1024)
#define LOOK_FIRST_US 1000u /* how soon we look whether an answer has gone out */
#define LOOK_LATER_US 100000u
#define END_US 1000000u /* for the peer to close after the end of our stream */

struct http {
	struct loop *loop;
	struct listener *listener; /* owned */
	struct report_source source;
	uint64_t started_us;
	unsigned max_conns;
	uint64_t request_us;
	uint64_t answer_us;
	struct ring clients;  /* the oldest first */
	atomic_uint nclients; /* a test looks at it from its own thread */
};

enum client_state { CLIENT_ASKS, CLIENT_TAKES, CLIENT_ENDS };

struct client {
	struct ring node;
	struct http *http;
	struct conn *conn; /* owned */
	enum client_state state;
	struct timer timer;
	uint64_t until_us; /* CLIENT_TAKES */
	uint64_t look_us;
};

/* --- pages --- */

struct answer {
	int status;
	const char *type;
	const char *headers; /* more of them, each with its line end */
	struct buf body;
};

typedef void (*page_fn)(struct http *h, const struct request *r, struct answer *a);

static void say(struct answer *a, int status, const char *text)
{
	a->status = status;
	a->type = "text/plain; charset=utf-8";
	buf_clear(&a->body);
	buf_add_span(&a->body, span_str(text));
}

static void page_metrics(struct http *h, const struct request *r, struct answer *a)
{
	bool open = request_has_word(r->accept, "application/openmetrics-text");
	struct reading reading;

	reading_take(&h->source, h->started_us, &reading);
	metrics_write(&a->body, &reading, open);
	reading_free(&reading);
	a->type = open ? METRICS_OPEN_TYPE : METRICS_TEXT_TYPE;
	a->headers = "Vary: Accept\r\n";
}

static void page_stats(struct http *h, const struct request *r, struct answer *a)
{
	struct reading reading;

	(void)r;
	reading_take(&h->source, h->started_us, &reading);
	stats_write(&a->body, &reading);
	reading_free(&reading);
	a->type = "application/json";
}

/* The process lives as long as its main loop answers. */
static void page_health(struct http *h, const struct request *r, struct answer *a)
{
	(void)h;
	(void)r;
	say(a, 200, "ok\n");
}

static void page_ready(struct http *h, const struct request *r, struct answer *a)
{
	bool ready = h->source.ready == NULL || h->source.ready(h->source.arg);

	(void)r;
	say(a, ready ? 200 : 503, ready ? "ready\n" : "not ready\n");
}

static void page_root(struct http *h, const struct request *r, struct answer *a)
{
	(void)h;
	(void)r;
	buf_add(&a->body, page_html, page_html_n);
	a->type = "text/html; charset=utf-8";
	a->headers = page_headers;
}

static const struct {
	const char *path;
	page_fn write;
} pages[] = {
	{"/", page_root},	   {"/metrics", page_metrics}, {"/stats.json", page_stats},
	{"/healthz", page_health}, {"/readyz", page_ready},
};

static void find_page(struct http *h, const struct request *r, struct answer *a)
{
	for (unsigned i = 0; i < sizeof pages / sizeof pages[0]; i++) {
		if (span_eq(r->path, span_str(pages[i].path))) {
			pages[i].write(h, r, a);
			return;
		}
	}
	say(a, 404, "not found; there is / /metrics /stats.json /healthz /readyz\n");
}

/* --- answers --- */

static const char *status_text(int status)
{
	switch (status) {
	case 200: return "OK";
	case 400: return "Bad Request";
	case 404: return "Not Found";
	case 405: return "Method Not Allowed";
	case 431: return "Request Header Fields Too Large";
	case 503: return "Service Unavailable";
	default: return "Internal Server Error";
	}
}

static void send_answer(struct client *c, const struct answer *a, bool head_only)
{
	struct buf head;
	struct blob *body = NULL;

	buf_init(&head, 4096);
	quote_printf(&head, "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n", a->status,
		     status_text(a->status), a->type, a->body.len);
	buf_add_span(&head, span_str("Connection: close\r\nCache-Control: no-store\r\n"
				     "X-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n"));
	buf_add_span(&head, span_str(a->headers));
	buf_add(&head, "\r\n", 2);
	conn_send(c->conn, head.p, head.len);
	buf_free(&head);
	if (!head_only)
		body = blob_new(buf_span(&a->body));
	if (body != NULL)
		conn_send_blob(c->conn, body);
	blob_unref(body);
}

static void answer(struct client *c, const struct request *r, int status)
{
	struct answer a = {.status = 200, .type = "text/plain", .headers = ""};

	buf_init(&a.body, ANSWER_MAX);
	if (r != NULL)
		find_page(c->http, r, &a);
	else if (status == 405)
		say(&a, status, "only GET and HEAD\n");
	else
		say(&a, status, "bad request\n");
	if (status == 405)
		a.headers = "Allow: GET, HEAD\r\n";
	if (a.body.failed)
		say(&a, 500, "out of memory\n");
	send_answer(c, &a, r != NULL && r->head_only);
	buf_free(&a.body);
	c->state = CLIENT_TAKES;
	c->until_us = clock_us() + c->http->answer_us;
	c->look_us = LOOK_FIRST_US;
	timer_set(c->http->loop, &c->timer, c->look_us);
}

/* --- connections --- */

static void client_end(struct client *c)
{
	struct http *h = c->http;

	ring_remove(&c->node);
	h->nclients--;
	conn_free(&c->conn);
	timer_free(&c->timer);
	loop_retire(h->loop, free, c);
}

/* The answer is bounded in time as a whole, and the connection is counted until it is gone. */
static void client_look(struct client *c)
{
	if (conn_pending(c->conn) == 0) {
		c->state = CLIENT_ENDS;
		shutdown(conn_fd(c->conn), SHUT_WR);
		timer_set(c->http->loop, &c->timer, END_US);
	} else if (clock_us() >= c->until_us) {
		client_end(c);
	} else {
		c->look_us = c->look_us * 2 < LOOK_LATER_US ? c->look_us * 2 : LOOK_LATER_US;
		timer_set(c->http->loop, &c->timer, c->look_us);
	}
}

static void client_timer(void *arg)
{
	struct client *c = arg;

	if (c->state == CLIENT_TAKES)
		client_look(c);
	else
		client_end(c);
}

static void client_input(void *owner)
{
	struct client *c = owner;
	struct request request;
	int status = 0;

	if (c->state == CLIENT_ASKS) {
		switch (request_parse(conn_input(c->conn), &request, &status)) {
		case REQUEST_MORE: return;
		case REQUEST_OK: answer(c, &request, 200); break;
		case REQUEST_BAD: answer(c, NULL, status); break;
		}
	}
	/* What comes behind the request is read and forgotten, so that closing does not reset the connection. */
	conn_consume(c->conn, conn_input(c->conn).n);
}

static void client_output(void *owner)
{
	(void)owner;
}

static void client_closed(void *owner, const struct err *err)
{
	(void)err;
	client_end(owner);
}

static const struct conn_ops client_ops = {
	.on_input = client_input,
	.on_output = client_output,
	.on_closed = client_closed,
};

static void accepted(void *arg, int fd, const struct sockaddr *peer, socklen_t peer_n, int is_unix)
{
	struct http *h = arg;
	struct client *c;

	(void)peer;
	(void)peer_n;
	(void)is_unix;
	/* Whoever has held a place longest has had more time than an honest request needs. */
	if (h->nclients >= h->max_conns)
		client_end(ring_item(ring_first(&h->clients), struct client, node));
	c = calloc(1, sizeof *c);
	if (c == NULL) {
		close(fd);
		return;
	}
	c->http = h;
	c->conn = conn_new(h->loop, fd, &client_ops, c);
	conn_input_max(c->conn, REQUEST_MAX + 1);
	timer_init(&c->timer, client_timer, c);
	timer_set(h->loop, &c->timer, h->request_us);
	ring_add(&h->clients, &c->node);
	h->nclients++;
}

struct http *http_new(struct loop *l, const struct http_settings *set, const struct report_source *source,
		      struct err *err)
{
	const struct listener_settings how = {.backlog = 1024};
	struct http *h = check_alloc(sizeof *h);

	h->loop = l;
	h->source = *source;
	h->started_us = clock_us();
	h->max_conns = set->max_conns != 0 ? set->max_conns : 64;
	h->request_us = set->request_us != 0 ? set->request_us : 5000000;
	h->answer_us = set->answer_us != 0 ? set->answer_us : 10000000;
	ring_init(&h->clients);
	h->listener = listener_tcp(l, set->addr, set->port, &how, accepted, h, err);
	if (h->listener == NULL)
		http_free(&h);
	return h;
}

int http_port(const struct http *h)
{
	return listener_port(h->listener);
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
	listener_free(&h->listener);
	while (!ring_empty(&h->clients))
		client_end(ring_item(ring_first(&h->clients), struct client, node));
	free(h);
}
