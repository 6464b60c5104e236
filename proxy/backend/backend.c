/* A backend's way in: resolve, connect, TLS, startup, login, setup. settle.c has its way back. */
#include "proxy/backend/backend.h"

#include "config/units.h"
#include "proxy/backend/pool.h"
#include "proxy/backend/server_cancel.h"
#include "proxy/backend/servers.h"
#include "proxy/backend/settle.h"
#include "proxy/backend/setup.h"
#include "proxy/backend/target.h"
#include "proxy/base/check.h"
#include "proxy/base/clock.h"
#include "proxy/base/log.h"
#include "protocol/back.h"
#include "protocol/frame.h"
#include "protocol/startup.h"
#include "protocol/write.h"
#include "protocol/hooks.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

static atomic_uint_fast64_t next_id = 1;

static const struct conn_ops backend_conn_ops;

static struct log_who who(const struct backend *b)
{
	return (struct log_who){
		.kind = "server", .id = b->id, .database = pool_database(b->pool), .user = b->target->user};
}

static void free_late(void *arg)
{
	struct backend *b = arg;

	timer_free(&b->timer);
	settings_free(&b->params);
	settings_free(&b->own_params);
	settings_free(&b->defaults);
	settings_free(&b->base);
	settings_free(&b->image);
	settings_free(&b->customs);
	prepared_clear(&b->prepared);
	expects_free(&b->expects);
	target_unref(b->target);
	free(b);
}

void backend_close(struct backend *b, const char *why)
{
	struct log_who w = who(b);

	if (b->state == BACKEND_DEAD)
		return;
	log_debug(&w, "server connection closed", F_STR("reason", why));
	if (b->conn != NULL && b->state >= BACKEND_SETUP && expect_head(&b->expects) == NULL) {
		write_terminate(conn_out(b->conn));
		conn_finish(&b->conn, 1000000);
	} else {
		conn_free(&b->conn);
	}
	if (b->state >= BACKEND_SETUP)
		count(&b->host->counters, backends_closed);
	resolve_cancel(&b->resolve);
	server_cancel_forget(b);
	login_free(&b->login);
	timer_cancel(&b->timer);
	later_cancel(&b->free_later);
	b->state = BACKEND_DEAD;
	ring_remove(&b->all);
	loop_retire(b->host->loop, free_late, b);
}

static void resolved(void *arg, const struct resolve_answer *answer, const struct err *err);

static void connect_to_server(struct backend *b)
{
	uint64_t patience = b->target->config->server_connect_timeout;

	b->state = BACKEND_RESOLVING;
	if (patience > 0)
		timer_set(b->host->loop, &b->timer, patience);
	b->resolve = resolve_start(b->host->loop, b->host->askers, servers_host(b), b->target->db->port,
				   resolved, b);
}

/* Nothing of the server that was tried stays. */
static void connect_elsewhere(struct backend *b, const struct err *err)
{
	struct log_who w = who(b);

	log_info(&w, "server passed over", F_STR("reason", err->text));
	if (b->state >= BACKEND_SETUP)
		count(&b->host->counters, backends_closed);
	conn_free(&b->conn);
	resolve_cancel(&b->resolve);
	login_free(&b->login);
	settings_clear(&b->params);
	settings_clear(&b->defaults);
	settings_clear(&b->base);
	settings_clear(&b->customs);
	b->code[0] = '\0';
	expects_free(&b->expects);
	b->expects = (struct expects){0};
	b->sys_prepared = b->sys_doubtful = 0;
	b->nsecret = 0;
	connect_to_server(b);
}

/* The connection or the login failed, or the server closed: tell whoever has it. */
__attribute__((cold)) static void backend_fail(struct backend *b, const struct err *err)
{
	enum backend_state state = b->state;
	struct log_who w = who(b);
	const struct backend_user_ops *ops = b->ops;
	void *user = b->user;
	struct err copy = *err;

	if (state == BACKEND_DEAD)
		return;
	if (state == BACKEND_IDLE && !pool_backend_not_idle(b->pool, b)) {
		b->broken = true; /* whoever it is promised to will find out */
		return;
	}
	if (state < BACKEND_IDLE && servers_next(b, &copy)) {
		connect_elsewhere(b, &copy);
		return;
	}
	resolve_forget(); /* the name may stand for another server by now */
	if (state < BACKEND_IDLE) {
		log_warn(&w, "server login failed", F_STR("reason", copy.text));
		count(&b->host->counters, backend_login_failures);
	} else {
		log_info(&w, "server connection lost", F_STR("reason", copy.text));
	}
	b->ops = NULL;
	b->user = NULL;
	conn_free(&b->conn);
	backend_close(b, copy.text);
	pool_backend_gone(b->pool, b, state < BACKEND_IDLE, &copy);
	if (state == BACKEND_LENT && ops != NULL)
		ops->on_closed(user, &copy);
}

__attribute__((cold)) static void backend_failf(struct backend *b, const char *sqlstate, const char *text)
{
	struct err err;

	err_state(&err, sqlstate, "%s", text);
	backend_fail(b, &err);
}

static void connect_next(struct backend *b, const struct err *last)
{
	struct tcp_settings tcp = target_tcp(b->target->config);
	struct err err = {.sqlstate = "08001"};

	if (last != NULL)
		err = *last;
	conn_free(&b->conn);
	while (b->addr_at < b->addrs.n) {
		int fd = resolve_connect(&b->addrs.addr[b->addr_at++], &tcp, &err);

		if (fd < 0)
			continue;
		b->state = BACKEND_CONNECTING;
		b->conn = conn_new(b->host->loop, fd, &backend_conn_ops, b);
		conn_input_max(b->conn, BACKEND_INPUT_MAX);
		return;
	}
	if (err.text[0] == '\0')
		err_state(&err, "08001", "the server has no address");
	memcpy(err.sqlstate, "08001", 6);
	backend_fail(b, &err);
}

static void resolved(void *arg, const struct resolve_answer *answer, const struct err *err)
{
	struct backend *b = arg;

	b->resolve = NULL;
	if (answer == NULL) {
		struct err copy = *err;

		memcpy(copy.sqlstate, "08001", 6);
		backend_fail(b, &copy);
		return;
	}
	b->addrs = *answer;
	b->addr_at = 0;
	connect_next(b, NULL);
}

static void timed_out(void *arg)
{
	struct backend *b = arg;

	if (b->state < BACKEND_IDLE)
		backend_failf(b, "08001", "server_connect_timeout");
	else if (b->state == BACKEND_SETTLING)
		settle_timed_out(b);
}

struct backend *backend_new(struct pool *pool, struct pool_target *target, struct host *host)
{
	struct backend *b = check_alloc(sizeof *b);

	b->pool = pool;
	b->host = host;
	b->target = target_ref(target);
	b->id = atomic_fetch_add(&next_id, 1);
	b->born_us = clock_us();
	b->status = 'I';
	ring_init(&b->node);
	ring_add(&host->backends, &b->all);
	settings_init(&b->params);
	settings_init(&b->own_params);
	settings_init(&b->defaults);
	settings_init(&b->base);
	settings_init(&b->image);
	settings_init(&b->customs);
	prepared_init(&b->prepared);
	b->seq_batch = UINT64_MAX;
	later_init(&b->free_later, settle_end);
	timer_init(&b->timer, timed_out, b);
	servers_begin(b);
	connect_to_server(b);
	return b;
}

/* --- startup --- */

static void send_startup(struct backend *b)
{
	const struct config_database *db = b->target->db;
	struct span pairs[16];
	size_t n = 0;
	const char *options[][2] = {{"user", b->target->user},
				    {"database", b->target->dbname},
				    {"client_encoding", db->client_encoding},
				    {"DateStyle", db->datestyle},
				    {"TimeZone", db->timezone},
				    {"application_name", db->application_name},
				    {"replication", b->target->replication}};

	for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
		if (options[i][1][0] == '\0')
			continue;
		pairs[n++] = span_str(options[i][0]);
		pairs[n++] = span_str(options[i][1]);
	}
	b->state = BACKEND_LOGIN;
	write_startup(conn_out(b->conn), PROTOCOL_3_0, pairs, n);
	conn_flush_later(b->conn);
}

static void login_ready(void *arg);

static struct login *make_login(struct backend *b)
{
	struct secret *secret =
		b->target->secret != NULL
			? secret_ref(b->target->secret)
			: secrets_find(b->host->secrets, pool_database(b->pool), b->target->user);
	struct login *l = login_new(b->target->user, secret, conn_ssl(b->conn), b->host->loop,
				    b->host->offload, b->host->secrets, login_ready, b);

	secret_unref(secret);
	return l;
}

static void connected(struct backend *b)
{
	struct tls *tls = b->target->tls;

	if (tls != NULL && tls_mode(tls) >= TLS_PREFER && servers_host(b)[0] != '/' &&
	    servers_host(b)[0] != '@' && servers_host(b)[0] != '\0') {
		b->state = BACKEND_ASKING_TLS;
		write_ssl_request(conn_out(b->conn));
		conn_flush_later(b->conn);
		return;
	}
	send_startup(b);
}

static void answer_to_ssl_request(struct backend *b)
{
	struct span in = conn_input(b->conn);
	struct err err;
	char answer;

	if (in.n == 0)
		return;
	answer = (char)in.p[0];
	/* More than one byte before the handshake could only be an injection (CVE-2021-23222). */
	if (in.n > 1) {
		backend_failf(b, "08P01", "the server sent unencrypted data after its answer to SSLRequest");
		return;
	}
	conn_consume(b->conn, 1);
	if (answer == 'S') {
		b->state = BACKEND_TLS;
		if (conn_tls_connect(b->conn, b->target->tls, servers_host(b), &err) != 0)
			backend_fail(b, &err);
	} else if (tls_mode(b->target->tls) >= TLS_REQUIRE) {
		backend_failf(b, "08001",
			      "the server does not offer TLS, but server_tls_sslmode requires it");
	} else {
		send_startup(b);
	}
}

/* --- login --- */

static void logged_in_step(struct backend *b, enum login_step step, const struct err *err)
{
	conn_flush_later(b->conn);
	if (step == LOGIN_FAILED)
		backend_fail(b, err);
	else if (step == LOGIN_WAIT)
		conn_pause(b->conn);
}

static void login_ready(void *arg)
{
	struct backend *b = arg;
	struct err err = {0};

	conn_resume(b->conn);
	logged_in_step(b, login_step_again(b->login, conn_out(b->conn), &err), &err);
}

static void server_error(struct backend *b, struct span body)
{
	struct back_error e = {0};
	struct err err;
	const char *why;
	char state[6] = "08006";

	if (back_error_decode(body, &e, &why) != 0) {
		backend_failf(b, "08P01", why);
		return;
	}
	if (e.sqlstate.n == 5)
		memcpy(state, e.sqlstate.p, 5);
	err_state(&err, state, "%.*s", (int)e.message.n, (const char *)e.message.p);
	backend_fail(b, &err);
}

static void setup_done(struct backend *b)
{
	struct err err;

	if (b->target->replication[0] == '\0' && servers_accept(b, &err) != 0) {
		backend_fail(b, &err);
		return;
	}
	timer_cancel(&b->timer);
	hist_add(&pool_tally(b->pool, b->host)->connect, clock_us() - b->born_us);
	b->state = BACKEND_SETTLING;
	settings_copy(&b->params, &b->own_params);
	settings_copy(&b->base, &b->image);
	backend_note_limits(b);
	pool_backend_ready(b->pool, b);
	settle_go_on(b);
}

static void logged_in(struct backend *b)
{
	int version = backend_version(b);

	login_free(&b->login);
	if (version > 0 && version < HOOKS_VERSION_MIN) {
		struct err err;

		err_state(&err, "0A000", "PostgreSQL %d is too old: pgweir needs %d or later", version,
			  HOOKS_VERSION_MIN);
		backend_fail(b, &err);
		return;
	}
	b->state = BACKEND_SETUP;
	count(&b->host->counters, backends_opened);
	if (b->target->replication[0] != '\0')
		setup_done(b); /* a walsender may not even know SELECT */
	else
		setup_begin(b);
}

static void login_message(struct backend *b, const struct frame *f)
{
	struct back_key key;
	struct err err = {0};
	const char *why = "unexpected message during login";

	switch (f->type) {
	case 'R':
		if (b->login == NULL)
			b->login = make_login(b);
		logged_in_step(b, login_input(b->login, f->body, conn_out(b->conn), &err), &err);
		return;
	case 'K':
		if (back_key_decode(f->body, &key, &why) == 0 && key.secret.n <= sizeof b->secret) {
			b->pid = key.pid;
			b->nsecret = (unsigned)key.secret.n;
			memcpy(b->secret, key.secret.p, key.secret.n);
			return;
		}
		break;
	case 'Z': logged_in(b); return;
	case 'v': return;
	default: break;
	}
	backend_failf(b, "08P01", why);
}

static void setup_message(struct backend *b, const struct frame *f)
{
	enum reply_step step = backend_reply(b, f->type);
	const char *why;

	if (step == REPLY_BAD) {
		backend_failf(b, "08P01", "unexpected message during setup");
		return;
	}
	if (f->type == 'D' && setup_row(b, f->body) != 0) {
		backend_failf(b, "53200", "no room for the settings that connect_query makes");
		return;
	}
	if (f->type == 'Z' && back_ready_decode(f->body, &b->status, &why) != 0) {
		backend_failf(b, "08P01", why);
		return;
	}
	backend_reply_done(b, f->type, step, NULL, NULL);
	if (expect_head(&b->expects) == NULL && !setup_next(b))
		setup_done(b);
}

/* One message while nobody has the backend on loan. */
static void own_message(struct backend *b, const struct frame *f)
{
	if (f->type == 'E' && b->state < BACKEND_SETTLING && b->state != BACKEND_SETUP) {
		server_error(b, f->body);
		return;
	}
	if (f->type == 'S') {
		backend_note_param(b, f->body);
		return;
	}
	if (f->type == 'N' || f->type == 'A')
		return;
	switch (b->state) {
	case BACKEND_LOGIN: login_message(b, f); break;
	case BACKEND_SETUP:
		if (f->type == 'E')
			server_error(b, f->body);
		else
			setup_message(b, f);
		break;
	case BACKEND_SETTLING: settle_message(b, f); break;
	case BACKEND_IDLE:
	case BACKEND_RESERVED:
		/* The server says why it goes (57P01 ..); the close follows. */
		if (f->type == 'E')
			server_error(b, f->body);
		else
			backend_failf(b, "08P01", "unexpected message while idle");
		break;
	default: break;
	}
}

static void own_input(struct backend *b)
{
	struct frame f;
	size_t used;
	const char *why;

	while (b->state != BACKEND_DEAD && b->state != BACKEND_LENT && !b->broken && b->conn != NULL) {
		enum frame_status st;

		if (b->state == BACKEND_ASKING_TLS) {
			answer_to_ssl_request(b);
			return;
		}
		if (b->state == BACKEND_SETTLING && settle_skip(b))
			return;
		st = frame_next(conn_input(b->conn), BACKEND_INPUT_MAX - FRAME_HEADER, &f, &used, &why);
		if (st == FRAME_MORE)
			return;
		if (st == FRAME_BAD) {
			backend_failf(b, "08P01", why);
			return;
		}
		own_message(b, &f);
		if (b->state == BACKEND_DEAD || b->conn == NULL)
			return;
		conn_consume(b->conn, used);
	}
}

static void on_input(void *owner)
{
	struct backend *b = owner;

	if (b->state == BACKEND_LENT)
		b->ops->on_input(b->user);
	else
		own_input(b);
}

static void on_output(void *owner)
{
	struct backend *b = owner;

	if (b->state == BACKEND_CONNECTING)
		connected(b);
	else if (b->state == BACKEND_LENT)
		b->ops->on_output(b->user);
}

static void on_closed(void *owner, const struct err *err)
{
	struct backend *b = owner;
	struct err e;

	if (b->state == BACKEND_CONNECTING) {
		connect_next(b, err);
		return;
	}
	/* What the server said last is still in the input. */
	if (b->state != BACKEND_LENT)
		own_input(b);
	if (b->state == BACKEND_DEAD)
		return;
	if (err->text[0] != '\0')
		err_state(&e, "08006", "%s", err->text);
	else
		err_state(&e, "08006", "server closed the connection unexpectedly");
	backend_fail(b, &e);
}

static void on_tls(void *owner)
{
	send_startup(owner);
}

static const struct conn_ops backend_conn_ops = {
	.on_input = on_input, .on_output = on_output, .on_closed = on_closed, .on_tls = on_tls};

void backend_lent(struct backend *b, const struct backend_user_ops *ops, void *user)
{
	check(b->state == BACKEND_RESERVED);
	check(expect_head(&b->expects) == NULL);
	b->state = BACKEND_LENT;
	b->loans++;
	b->lent_us = loop_now_us(b->host->loop);
	b->ops = ops;
	b->user = user;
}

void backend_close_all(struct host *host)
{
	struct ring *it;

	while ((it = ring_first(&host->backends)) != NULL)
		backend_close(ring_item(it, struct backend, all), "shutdown");
}

/* --- idle_session_timeout --- */

#define OVERSLEPT_US \
	1000000u /* so long before the server would end it; half of a limit that is shorter than twice that */

void backend_note_limits(struct backend *b)
{
	static const char name[] = "idle_session_timeout";
	const char *value = settings_get(&b->image, name), *why;

	if (value == NULL)
		value = settings_get(&b->defaults, name);
	if (value == NULL || units_duration(value, &b->idle_limit_us, &why) != 0)
		b->idle_limit_us = 0; /* before PostgreSQL 14 */
	if (b->idle_limit_us > 0)
		pool_has_limit(b->pool);
}

bool backend_overslept(const struct backend *b, uint64_t now)
{
	uint64_t limit = b->idle_limit_us, margin = limit / 2 < OVERSLEPT_US ? limit / 2 : OVERSLEPT_US;

	return limit > 0 && now > b->silent_us && now - b->silent_us >= limit - margin;
}

/* --- moving to another worker --- */

static void arrive(struct mail *mail, void *ctx)
{
	struct backend *b = (struct backend *)(void *)((char *)mail - offsetof(struct backend, mail));

	(void)ctx;
	b->host = b->move_to;
	ring_add(&b->host->backends, &b->all);
	conn_attach(b->conn, b->host->loop, &backend_conn_ops, b);
	b->state = BACKEND_SETTLING;
	pool_backend_free(b->pool, b);
}

void backend_move(struct backend *b, struct host *to)
{
	check(b->state == BACKEND_RESERVED);
	timer_free(&b->timer);
	ring_remove(&b->all);
	conn_detach(b->conn);
	b->state = BACKEND_MOVING;
	b->move_to = to;
	b->mail.run = arrive;
	count(&b->host->counters, backend_moves);
	loop_post(to->loop, &b->mail);
}
