#include "proxy/admin/site.h"

#include "proxy/admin/metrics.h"
#include "proxy/admin/page.h"
#include "proxy/admin/stats.h"

#include <event2/buffer.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

#define ANSWER_MAX (16u * 1024 * 1024)

struct answer {
	int status;
	const char *type;
	const char *header, *value; /* one more; NULL = none */
	struct buf body;
};

typedef void (*page_fn)(const struct site *site, struct evhttp_request *req, struct answer *a);

static void say(struct answer *a, int status, const char *text)
{
	a->status = status;
	a->type = "text/plain; charset=utf-8";
	buf_clear(&a->body);
	buf_add_span(&a->body, span_str(text));
}

static void page_metrics(const struct site *site, struct evhttp_request *req, struct answer *a)
{
	const char *accept = evhttp_find_header(evhttp_request_get_input_headers(req), "Accept");
	bool open = accept != NULL && strcasestr(accept, "application/openmetrics-text") != NULL;
	struct reading reading;

	reading_take(&site->source, site->started_us, &reading);
	metrics_write(&a->body, &reading, open);
	reading_free(&reading);
	a->type = open ? METRICS_OPEN_TYPE : METRICS_TEXT_TYPE;
	a->header = "Vary";
	a->value = "Accept";
}

static void page_stats(const struct site *site, struct evhttp_request *req, struct answer *a)
{
	struct reading reading;

	(void)req;
	reading_take(&site->source, site->started_us, &reading);
	stats_write(&a->body, &reading);
	reading_free(&reading);
	a->type = "application/json";
}

/* The process lives as long as its main loop answers. */
static void page_health(const struct site *site, struct evhttp_request *req, struct answer *a)
{
	(void)site;
	(void)req;
	say(a, 200, "ok\n");
}

static void page_ready(const struct site *site, struct evhttp_request *req, struct answer *a)
{
	bool ready = site->source.ready == NULL || site->source.ready(site->source.arg);

	(void)req;
	say(a, ready ? 200 : 503, ready ? "ready\n" : "not ready\n");
}

static void page_root(const struct site *site, struct evhttp_request *req, struct answer *a)
{
	(void)site;
	(void)req;
	buf_add(&a->body, page_html, page_html_n);
	a->type = "text/html; charset=utf-8";
	a->header = "Content-Security-Policy";
	a->value = page_policy;
}

static const struct {
	const char *path;
	page_fn write;
	bool open; /* for everybody */
} pages[] = {
	{"/", page_root, false},
	{"/metrics", page_metrics, false},
	{"/stats.json", page_stats, false},
	{"/healthz", page_health, true},
	{"/readyz", page_ready, true},
};

static bool may_see(const struct site *site, struct evhttp_request *req)
{
	const char *given = evhttp_find_header(evhttp_request_get_input_headers(req), "Authorization");
	size_t n = site->credentials != NULL ? strlen(site->credentials) : 0;

	if (site->credentials == NULL)
		return true;
	if (n == 0 || given == NULL || strncasecmp(given, "Basic ", 6) != 0)
		return false;
	given += 6;
	given += strspn(given, " ");
	return strlen(given) == n && CRYPTO_memcmp(given, site->credentials, n) == 0;
}

static void ask_who(struct answer *a)
{
	say(a, 401, "name and password, please\n");
	a->header = "WWW-Authenticate";
	a->value = "Basic realm=\"pgweir\", charset=\"UTF-8\"";
}

static void find_page(const struct site *site, struct evhttp_request *req, struct answer *a)
{
	const char *path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(req));

	for (unsigned i = 0; path != NULL && i < sizeof pages / sizeof pages[0]; i++) {
		if (strcmp(path, pages[i].path) == 0) {
			if (pages[i].open || may_see(site, req)) {
				pages[i].write(site, req, a);
				return;
			}
			ask_who(a);
			return;
		}
	}
	if (!may_see(site, req)) {
		ask_who(a);
		return;
	}
	say(a, 404, "not found; there is / /metrics /stats.json /healthz /readyz\n");
}

static int add_headers(struct evhttp_request *req, const struct answer *a)
{
	struct evkeyvalq *out = evhttp_request_get_output_headers(req);
	char length[24];

	/* evhttp counts only what it sends itself, which is nothing for HEAD. */
	snprintf(length, sizeof length, "%zu", a->body.len);
	if (evhttp_add_header(out, "Content-Type", a->type) != 0 ||
	    evhttp_add_header(out, "Content-Length", length) != 0 ||
	    evhttp_add_header(out, "Connection", "close") != 0 ||
	    evhttp_add_header(out, "Cache-Control", "no-store") != 0 ||
	    evhttp_add_header(out, "X-Content-Type-Options", "nosniff") != 0 ||
	    evhttp_add_header(out, "Referrer-Policy", "no-referrer") != 0)
		return -1;
	return a->header != NULL ? evhttp_add_header(out, a->header, a->value) : 0;
}

static void send_answer(struct evhttp_request *req, const struct answer *a, bool head_only)
{
	struct evbuffer *body = evhttp_request_get_output_buffer(req);

	/* Else evhttp repeats a keep-alive of HTTP/1.0 beside our close. */
	evhttp_remove_header(evhttp_request_get_input_headers(req), "Connection");
	if (add_headers(req, a) != 0 || (!head_only && evbuffer_add(body, a->body.p, a->body.len) != 0)) {
		evbuffer_drain(body, evbuffer_get_length(body));
		evhttp_send_error(req, HTTP_INTERNAL, NULL);
		return;
	}
	evhttp_send_reply(req, a->status, NULL, NULL);
}

void site_answer(struct evhttp_request *req, void *arg)
{
	enum evhttp_cmd_type method = evhttp_request_get_command(req);
	struct answer a = {.status = 200};

	buf_init(&a.body, ANSWER_MAX);
	if (method != EVHTTP_REQ_GET && method != EVHTTP_REQ_HEAD) {
		say(&a, HTTP_BADMETHOD, "only GET and HEAD\n");
		a.header = "Allow";
		a.value = "GET, HEAD";
	} else {
		find_page(arg, req, &a);
	}
	if (a.body.failed)
		say(&a, HTTP_INTERNAL, "out of memory\n");
	send_answer(req, &a, method == EVHTTP_REQ_HEAD);
	buf_free(&a.body);
}
