/* From the first byte to ReadyForQuery: startup packet, TLS, login, what the startup parameters mean. */
#include "proxy/session/hello.h"
#include "proxy/session/session_private.h"

#include "proxy/base/check.h"
#include "proxy/backend/gates.h"
#include "proxy/backend/role_value.h"
#include "proxy/session/census.h"
#include "proxy/session/peer_cancel.h"
#include "protocol/frame.h"
#include "protocol/startup.h"
#include "protocol/switches.h"
#include "protocol/write.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>

#define PASSWORD_MAX 65536u

static void refused(struct session *s, const char *sqlstate, const char *message)
{
	count(&s->house->host.counters, clients_refused);
	session_fatal(s, sqlstate, message, NULL);
}

static enum step ask_tls(struct session *s, size_t used)
{
	struct tls *tls = s->house->client_tls;
	struct err err;

	if (conn_input(s->client).n > used) {
		/* Bytes that were sent before the handshake cannot come from the encrypted side (CVE-2021-23214). */
		refused(s, "08P01", "received unencrypted data after SSL request");
		return STEP_WAIT;
	}
	conn_consume(s->client, used);
	if (tls == NULL || s->door != DOOR_TCP || conn_ssl(s->client) != NULL) {
		conn_send(s->client, "N", 1);
		return STEP_WAIT;
	}
	conn_send(s->client, "S", 1);
	session_enter(s, SESSION_TLS);
	if (conn_tls_accept(s->client, tls, &err) != 0)
		session_close(s, "TLS could not be started");
	return STEP_WAIT;
}

static enum step direct_tls(struct session *s)
{
	struct err err;

	if (s->house->client_tls == NULL || s->door != DOOR_TCP || conn_ssl(s->client) != NULL) {
		session_close(s, "direct TLS is not offered");
		return STEP_WAIT;
	}
	s->arrival->direct = true;
	session_enter(s, SESSION_TLS);
	if (conn_tls_accept(s->client, s->house->client_tls, &err) != 0)
		session_close(s, "TLS could not be started");
	return STEP_WAIT;
}

void startup_tls_done(struct session *s)
{
	uint64_t since = s->since_us;
	const unsigned char *protocol = NULL;
	unsigned n = 0;

	/* As PostgreSQL: who asks for nothing and names no protocol may be a client of another one, led here by somebody. */
	SSL_get0_alpn_selected(conn_ssl(s->client), &protocol, &n);
	if (s->arrival->direct && n == 0) {
		session_close(s, "direct TLS without ALPN");
		return;
	}
	session_enter(s, SESSION_HELLO);
	s->since_us = since; /* client_login_timeout counts from the first byte */
	session_run(s);
}

static char *dup_span(struct span v)
{
	char *p = check_alloc(v.n + 1);

	memcpy(p, v.p, v.n);
	return p;
}

static int wish(struct session *s, struct span name, struct span value)
{
	char n[128], app[HELLO_NAME];

	snprintf(n, sizeof n, "%.*s", (int)name.n, (const char *)name.p);
	if (config_list_has(s->config->ignore_startup_parameters, n))
		return 0;
	if (wishes_name(n))
		return own_startup(s, n, value);
	if (strcasecmp(n, "session_authorization") == 0)
		return 0; /* the login itself comes before it */
	if (strcasecmp(n, "application_name") == 0)
		value = hello_application_name(s, value, app);
	buf_add_span(&s->arrival->welcome_key, name);
	buf_add_u8(&s->arrival->welcome_key, 0);
	buf_add_span(&s->arrival->welcome_key, value);
	buf_add_u8(&s->arrival->welcome_key, 0);
	return s->arrival->welcome_key.failed ? -1 : 0;
}

static const char too_many[] = "too many startup parameters";

/* The switches of the parameter `options`. true = they are taken, or the client has been told why not. */
static bool take_switches(struct session *s, struct span options)
{
	struct switches w;
	struct span name, value;
	enum switch_status status;

	if (switches_begin(&w, options) != 0)
		return false;
	while ((status = switches_next(&w, &name, &value)) == SWITCH_SETTING)
		if (wish(s, name, value) != 0)
			return false;
	if (status == SWITCH_BAD && !config_list_has(s->config->ignore_startup_parameters, "options")) {
		count(&s->house->host.counters, clients_refused);
		session_fatal(s, w.sqlstate, w.why, w.hint);
	}
	return true;
}

/* One startup parameter; static text = why it is refused. */
static const char *take_param(struct session *s, struct span name, struct span value)
{
	if (span_eq(name, span_str("user"))) {
		free(s->user);
		s->user = dup_span(value);
	} else if (span_eq(name, span_str("database"))) {
		free(s->database);
		s->database = dup_span(value);
	} else if (span_eq(name, span_str("replication"))) {
		hello_replication(s, value);
	} else if (span_eq(name, span_str("options"))) {
		return take_switches(s, value) ? NULL : too_many;
	} else if (name.n > 5 && memcmp(name.p, "_pq_.", 5) == 0) {
		/* An option of the protocol: answered by NegotiateProtocolVersion. */
	} else if (wish(s, name, value) != 0) {
		return too_many;
	}
	return NULL;
}

/* application_name_add_host, as PgBouncer writes it: "name - address:port". */
static void add_host(struct session *s)
{
	struct settings image;
	struct span name, value;
	size_t at = 0;
	char peer[128] = "app", text[HELLO_NAME + sizeof peer + 4];
	const char *app;

	settings_init(&image);
	while (startup_param_next(buf_span(&s->arrival->welcome_key), &at, &name, &value))
		settings_set(&image, name, &value);
	app = settings_get(&image, "application_name");
	conn_peer(s->client, peer, sizeof peer);
	snprintf(text, sizeof text, "%.*s - %s", HELLO_NAME, app != NULL ? app : "app", peer);
	text[HELLO_NAME - 1] = '\0';
	settings_free(&image);
	wish(s, span_str("application_name"), span_str(text));
}

static const char *take_params(struct session *s, struct span params)
{
	struct span name, value;
	size_t at = 0;
	const char *why = NULL;

	/* PostgreSQL takes the switches first: a parameter of its own comes before them. */
	for (int own = 0; own < 2; own++)
		for (at = 0; why == NULL && s->state != SESSION_CLOSED &&
			     startup_param_next(params, &at, &name, &value);)
			if (span_eq(name, span_str("options")) != (own == 1))
				why = take_param(s, name, value);
	if (why != NULL || s->state == SESSION_CLOSED)
		return why;
	if (s->config->application_name_add_host)
		add_host(s);
	if (s->user == NULL || s->user[0] == '\0')
		return NULL;
	if (s->database == NULL || s->database[0] == '\0') {
		free(s->database);
		s->database = dup_span(span_str(s->user));
	}
	hello_clip_names(s);
	return NULL;
}

static void negotiate(struct session *s, const struct startup *hello, int minor)
{
	struct span unknown[16], name, value;
	size_t at = 0, n = 0;

	while (n < 16 && startup_param_next(hello->params, &at, &name, &value))
		if (name.n > 5 && memcmp(name.p, "_pq_.", 5) == 0)
			unknown[n++] = name;
	write_negotiate(conn_out(s->client), (uint32_t)minor, unknown, n);
	conn_flush_later(s->client);
}

/* Counts the client in; static text = the bound that is reached. */
static const char *count_in(struct session *s)
{
	unsigned max = (unsigned)s->config->max_client_conn;
	struct policy p;
	const char *full;

	policy_of(s->config, s->database, s->user, &p);
	if (atomic_fetch_add(s->house->nclients, 1) >= max)
		full = "max_client_conn";
	else
		full = census_enter(s->house->census, s->database, (unsigned)p.max_db_client_connections,
				    s->user, (unsigned)p.max_user_client_connections);
	if (full != NULL)
		atomic_fetch_sub(s->house->nclients, 1);
	s->counted = full == NULL;
	return full;
}

static enum step hello(struct session *s, const struct startup *hello, size_t used)
{
	struct house *h = s->house;
	bool must_negotiate;
	int minor = startup_negotiate(hello->version, hello->params, &must_negotiate);
	struct gate_client facts = {
		.config = s->config, .ssl = conn_ssl(s->client), .fd = conn_fd(s->client)};
	struct sockaddr_storage peer;
	socklen_t npeer = sizeof peer;
	const char *why;

	if (minor < 0) {
		char text[128];

		snprintf(text, sizeof text, "unsupported frontend protocol %u.%u: server supports 3.0 to 3.2",
			 hello->version >> 16, hello->version & 0xffff);
		refused(s, "0A000", text);
		return STEP_WAIT;
	}
	why = take_params(s, hello->params);
	if (s->state == SESSION_CLOSED)
		return STEP_WAIT; /* it has been told */
	if (why != NULL) {
		refused(s, "08P01", why);
		return STEP_WAIT;
	}
	if (s->user == NULL || s->user[0] == '\0') {
		refused(s, "28000", "no PostgreSQL user name specified in startup packet");
		return STEP_WAIT;
	}
	if (s->arrival->bad_wish != NULL) {
		refused(s, "22023", s->arrival->bad_wish);
		return STEP_WAIT;
	}
	console_begin(s);
	if (pools_disabled(h->pools, s->database)) {
		refused(s, "57P03",
			"the database does not accept connections: it was disabled on the console");
		return STEP_WAIT;
	}
	why = s->console ? NULL : count_in(s);
	if (why != NULL) {
		char text[128];

		snprintf(text, sizeof text, "no more connections allowed (%s)", why);
		refused(s, "53300", text);
		return STEP_WAIT;
	}
	if (h->config->client_tls_sslmode >= SSLMODE_REQUIRE && s->door == DOOR_TCP &&
	    conn_ssl(s->client) == NULL) {
		refused(s, "28000", "SSL required");
		return STEP_WAIT;
	}
	s->version = minor >= 2 ? PROTOCOL_3_2 : PROTOCOL_3_0;
	if (must_negotiate)
		negotiate(s, hello, minor);
	conn_consume(s->client, used);
	if (s->own) {
		console_hand_over(s);
		return STEP_WAIT;
	}
	facts.database = s->database;
	facts.user = s->user;
	facts.console = s->console;
	facts.replication = hello_is_physical(s);
	facts.askers = h->host.askers;
	if (s->door == DOOR_TCP && getpeername(facts.fd, (struct sockaddr *)&peer, &npeer) == 0)
		facts.peer = (struct sockaddr *)&peer;
	s->gate = gate_new(&facts, h->host.loop, h->host.offload, h->host.secrets,
			   (void (*)(void *))session_run, s);
	s->state = SESSION_GATE;
	return STEP_AGAIN;
}

static void peer_has_taken_it(void *arg)
{
	struct session *s = arg;

	s->peer_cancel = NULL;
	session_close(s, "cancel request");
}

/* Of a client of ours, or of another process behind the same address. */
static enum step cancel_request(struct session *s, uint32_t number, struct span secret)
{
	struct house *h = s->house;
	int peer = cancels_peer(h->cancels, number);
	unsigned hops;

	if (peer_cancel_hops(&secret, &hops) && peer != 0)
		s->peer_cancel = peer_cancel_start(h, peer, number, secret, hops, peer_has_taken_it, s);
	if (s->peer_cancel != NULL) {
		count(&h->host.counters, cancels_forwarded);
		session_enter(s, SESSION_CANCEL);
		return STEP_WAIT;
	}
	if (cancels_request(h->cancels, number, secret, startup_deliver_cancel)) {
		session_close(s, "cancel request");
		return STEP_WAIT;
	}
	/* A client of a process that we have replaced, or that has replaced us? */
	if (s->door != DOOR_KIN)
		s->peer_cancel = kin_cancel_start(h, number, secret, peer_has_taken_it, s);
	if (s->peer_cancel != NULL) {
		session_enter(s, SESSION_CANCEL);
		return STEP_WAIT;
	}
	count(&h->host.counters, cancels_missed);
	session_close(s, "cancel request");
	return STEP_WAIT;
}

enum step step_hello(struct session *s)
{
	struct span in = conn_input(s->client);
	struct startup st;
	size_t used = 0;
	const char *why = "";

	if (in.n == 0)
		return STEP_WAIT;
	switch (startup_next(in, &st, &used, &why)) {
	case STARTUP_MORE: return STEP_WAIT;
	case STARTUP_BAD:
		count(&s->house->host.counters, protocol_errors);
		refused(s, "08P01", why);
		return STEP_WAIT;
	case STARTUP_TLS: return direct_tls(s);
	case STARTUP_SSL: return ask_tls(s, used);
	case STARTUP_GSS:
		conn_consume(s->client, used);
		conn_send(s->client, "N", 1);
		return STEP_AGAIN;
	case STARTUP_CANCEL: return cancel_request(s, st.pid, st.secret);
	case STARTUP_HELLO:
		if (s->door != DOOR_KIN)
			return hello(s, &st, used);
		session_close(s, "only cancel requests are taken here");
		return STEP_WAIT;
	}
	return STEP_WAIT;
}

/* The server answers commands in front of a statement only with it. So long they are given. */
#define AHEAD_US 100000u

/* Is a cancel request likely to meet what pgweir has put in front of the client's statement, and what must not fail? */
static bool ours_runs(const struct session *s)
{
	const struct expects *q = &s->backend->expects;
	bool ours = s->held;

	if (!ours && loop_now_us(s->house->host.loop) - s->since_us > AHEAD_US)
		return false;
	for (uint32_t i = 0; i < q->n && !ours && expect_at(q, i)->why != WHY_CLIENT; i++) {
		enum expect_why why = (enum expect_why)expect_at(q, i)->why;

		ours = why == WHY_IMAGE || why == WHY_TRY || why == WHY_BEGIN || why == WHY_LISTEN;
	}
	return ours;
}

void startup_cancel_again(struct session *s)
{
	if (s->state != SESSION_BUSY || s->backend == NULL)
		return;
	s->cancel_waits = ours_runs(s);
	if (s->cancel_waits || s->backend->expects.visible == 0)
		return;
	count(&s->house->host.counters, cancels);
	backend_cancel(s->backend);
}

/* In the worker of the session whose statement is to be cancelled. */
void startup_deliver_cancel(struct session *s)
{
	switch (s->state) {
	case SESSION_QUEUED:
		if (!pool_lend_cancel(s->pool, &s->lend))
			return; /* the backend is on its way: too late, as it may be with PostgreSQL */
		s->lending = false;
		count(&s->house->host.counters, cancels);
		fill_drop(s);
		local_error(s, "57014", "canceling statement due to user request");
		break;
	case SESSION_VACATE:
		count(&s->house->host.counters, cancels);
		local_error(s, "57014", "canceling statement due to user request");
		break;
	case SESSION_BUSY: startup_cancel_again(s); break;
	default: count(&s->house->host.counters, cancels_missed); break;
	}
}

/* --- authentication --- */

static enum step after_gate(struct session *s, enum gate_step step, const struct err *err)
{
	struct log_who w = session_who(s);

	conn_flush_later(s->client);
	switch (step) {
	case GATE_CONTINUE: s->state = SESSION_AUTH; return STEP_AGAIN;
	case GATE_WAIT: s->state = SESSION_GATE; return STEP_WAIT;
	case GATE_DENIED:
		log_warn(&w, "login refused", F_STR("method", gate_method(s->gate)),
			 F_STR("reason", gate_reason(s->gate)));
		count(&s->house->host.counters, clients_refused);
		session_fatal(s, err->sqlstate[0] ? err->sqlstate : "28000", err->text, NULL);
		return STEP_WAIT;
	case GATE_OK: break;
	}
	if (s->config->log_connections)
		log_info(&w, "client logged in", F_STR("method", gate_method(s->gate)),
			 F_STR("tls",
			       conn_ssl(s->client) != NULL ? SSL_get_version(conn_ssl(s->client)) : "no"));
	gate_free(&s->gate);
	if (s->console) {
		console_hand_over(s);
		return STEP_WAIT;
	}
	write_auth(conn_out(s->client), 0, span_of(NULL, 0));
	s->state = SESSION_WELCOME;
	return STEP_AGAIN;
}

enum step step_gate(struct session *s)
{
	struct err err = {0};

	return after_gate(s, gate_step_again(s->gate, conn_out(s->client), &err), &err);
}

enum step step_auth(struct session *s)
{
	struct frame f;
	size_t used;
	const char *why = "";
	struct err err = {0};
	enum gate_step step;

	switch (frame_next(conn_input(s->client), PASSWORD_MAX - 1024, &f, &used, &why)) {
	case FRAME_MORE: return STEP_WAIT;
	case FRAME_BAD:
		count(&s->house->host.counters, protocol_errors);
		refused(s, "08P01", why);
		return STEP_WAIT;
	case FRAME_OK: break;
	}
	if (f.type == 'X') {
		session_close(s, "client left during login");
		return STEP_WAIT;
	}
	if (f.type != 'p') {
		count(&s->house->host.counters, protocol_errors);
		refused(s, "08P01", "expected password response");
		return STEP_WAIT;
	}
	step = gate_input(s->gate, f.body, conn_out(s->client), &err);
	conn_consume(s->client, used);
	return after_gate(s, step, &err);
}

/* --- what the startup parameters mean --- */

static void tell_param(struct session *s, const char *name, const char *value)
{
	write_param_status(conn_out(s->client), span_str(name), span_str(value));
}

/* Takes over a reference of `defaults`: those that params and image go with, whatever the pool has learned since. */
static void welcome_done(struct session *s, const struct settings *params, const struct settings *image,
			 struct pool_defaults *defaults)
{
	struct house *h = s->house;
	uint8_t secret[CANCEL_SECRET_LONG];
	unsigned nsecret = s->version == PROTOCOL_3_2 ? CANCEL_SECRET_LONG : 4;
	const char *app = settings_get(image, "application_name");

	if (settings_copy(params, &s->params) != 0 || settings_copy(image, &s->image) != 0 ||
	    settings_copy(image, &s->startup) != 0) {
		pool_defaults_unref(defaults);
		session_fatal(s, "53200", "out of memory", NULL);
		return;
	}
	if (app != NULL) {
		struct span v = span_str(app);

		settings_set(&s->params, span_str("application_name"), &v);
	}
	s->defaults = defaults;
	image_key_refresh(s);
	hello_tell_notice(s);
	for (unsigned i = 0; i < s->params.n; i++)
		tell_param(s, s->params.at[i].name, s->params.at[i].value);
	s->number = cancels_add(h->cancels, h, s, secret, nsecret);
	write_backend_key(conn_out(s->client), s->number, span_of(secret, nsecret));
	if (h->config->login_notify_message[0] != '\0')
		write_error(conn_out(s->client), 'N', "NOTICE", "00000", h->config->login_notify_message,
			    NULL, NULL);
	write_ready(conn_out(s->client), 'I');
	conn_flush_later(s->client);
	s->served = s->replication != NULL ? NULL : house_take_served(h, s->database);
	tally_add(s->tally, TALLY_logins, 1);
	session_arrived(s);
	session_enter(s, SESSION_READY);
}

/* The names of startup parameters are strings. */
static int wish_value(struct settings *image, struct span name, struct span value)
{
	struct buf numbered;
	struct span v = value;
	int rc;

	buf_init(&numbered, SETTINGS_BYTES);
	if (role_setting((const char *)name.p)) {
		buf_add_span(&numbered, span_str(ROLE_BY_NAME));
		buf_add_span(&numbered, value);
		v = buf_span(&numbered);
	}
	rc = numbered.failed ? -1 : settings_set(image, name, &v);
	buf_free(&numbered);
	return rc;
}

/* The startup parameters, as given by the client, on top of what is in the image. */
static int wished_image(struct session *s, struct settings *image)
{
	struct span key = buf_span(&s->arrival->welcome_key);
	struct span name, value;
	size_t at = 0;

	while (startup_param_next(key, &at, &name, &value))
		if (wish_value(image, name, value) < 0)
			return -1;
	return 0;
}

/* Whom its name stands for is asked at each login. */
static bool wishes_role(struct session *s)
{
	struct span name, value;
	size_t at = 0;

	while (startup_param_next(buf_span(&s->arrival->welcome_key), &at, &name, &value))
		if (role_setting((const char *)name.p))
			return true;
	return false;
}

/* application_name takes nearly any text and differs from client to client: it is not worth a question. */
static bool only_name(struct session *s)
{
	struct settings image = {0};
	const char *name;
	bool only;

	settings_init(&image);
	only = wished_image(s, &image) == 0;
	name = settings_get(&image, "application_name");
	only = only && (image.n == 0 || (image.n == 1 && name != NULL && hello_is_plain(name)));
	settings_free(&image);
	return only;
}

static bool welcome_known(struct session *s)
{
	struct pool_defaults *d = pool_defaults(s->pool);
	struct pool_welcome *w;
	struct settings image;
	bool known = false;

	if (d == NULL)
		return false;
	settings_init(&image);
	if (s->replication != NULL) {
		/* A walsender has no settings to be made equal. */
		welcome_done(s, &d->params, &image, d);
		return true;
	}
	w = pool_welcome_find(s->pool, buf_span(&s->arrival->welcome_key));
	if (w != NULL) {
		known = true;
		welcome_done(s, &w->params, &w->image, d);
		pool_welcome_unref(w);
	} else if (only_name(s)) {
		known = true;
		settings_copy(&d->base, &image);
		if (wished_image(s, &image) == 0)
			welcome_done(s, &d->params, &image, d);
		else {
			pool_defaults_unref(d);
			session_fatal(s, "53200", "out of memory", NULL);
		}
	} else {
		pool_defaults_unref(d);
	}
	settings_free(&image);
	return known;
}

static void lent_for_welcome(struct lend *lend, struct backend *b, const struct err *err);

/* false = it needs another backend. */
static bool learn(struct session *s, struct backend *b)
{
	s->backend = b;
	backend_lent(b, &relay_ops, s);
	settings_clear(&s->image);
	if (s->replication == NULL)
		settings_copy(&b->base, &s->image);
	if (wished_image(s, &s->image) != 0) {
		session_fatal(s, "53200", "out of memory", NULL);
		return true;
	}
	if (s->replication != NULL) {
		welcome_learned(s);
		return true;
	}
	if (!tries_fit(&s->image, b)) {
		s->backend = NULL;
		b->broken = true;
		backend_give_back(b, true);
		return false;
	}
	/* Make it so on the backend, then ask what came of it. */
	s->welcome_learning = true;
	image_link(s);
	image_ask(s, &s->image);
	if (s->image.n == 0)
		backend_sync(b, WHY_INSPECT);
	return true;
}

static void lent_for_welcome(struct lend *lend, struct backend *b, const struct err *err)
{
	struct session *s = (struct session *)(void *)((char *)lend - offsetof(struct session, lend));

	s->lending = false;
	if (session_lent_too_late(s, b))
		return;
	if (b == NULL) {
		session_fatal(s, err->sqlstate[0] ? err->sqlstate : "08006", err->text, NULL);
		return;
	}
	if (!learn(s, b))
		session_run(s);
}

bool welcome_again(struct session *s)
{
	struct backend *b = s->backend;

	if (++s->attempts >= READY_ATTEMPTS)
		return false;
	s->backend = NULL;
	s->welcome_learning = s->linking = s->held = false;
	s->asked = 0;
	settings_clear(&s->tried);
	b->broken = true;
	backend_give_back(b, true);
	return true;
}

/* All answers are in: s->image has the canonical values, the backend what it reports. */
void welcome_learned(struct session *s)
{
	struct backend *b = s->backend;
	struct settings image = s->image;

	s->welcome_learning = false;
	s->asked = s->attempts = 0;
	settings_init(&s->image);
	if (settings_set(&image, span_str(IMAGE_UNSHOWN), NULL) < 0 || tries_learned(s, &image) != 0) {
		settings_free(&image);
		session_fatal(s, "53200", "out of memory", NULL);
		return;
	}
	if (s->arrival->welcome_key.len > 0 && s->arrival->refused.n == 0 && !wishes_role(s))
		pool_welcome_add(s->pool, buf_span(&s->arrival->welcome_key), &b->params, &image);
	settings_copy(&image, &b->image);
	s->backend = NULL;
	welcome_done(s, &b->params, &image, pool_defaults_new(b));
	settings_free(&image);
	backend_give_back(b, true);
	session_run(s);
}

enum step step_welcome(struct session *s)
{
	struct house *h = s->house;
	struct backend *b;
	struct err err = {0};

	if (s->backend != NULL || s->lending)
		return STEP_WAIT;
	if (s->pool == NULL) {
		s->pool = pools_get(h->pools, s->config, h->server_tls, s->database, s->user,
				    s->replication != NULL ? s->replication : "", &err);
		if (s->pool == NULL) {
			refused(s, err.sqlstate, err.text);
			return STEP_WAIT;
		}
		s->target = pool_target(s->pool);
		s->policy = &s->target->policy;
		wishes_init(&s->wishes, s->policy);
		wishes_start(&s->wishes, s->arrival->wished, &s->arrival->wish_start);
		s->tally = pool_tally(s->pool, &h->host);
	}
	if (welcome_known(s))
		return STEP_AGAIN;
	s->lend.fn = lent_for_welcome;
	b = pool_lend(s->pool, &h->host, &s->lend);
	s->lending = b == NULL;
	return b == NULL || learn(s, b) ? STEP_WAIT : STEP_AGAIN;
}
