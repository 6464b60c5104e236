#include "proxy/session/session_private.h"

#include "proxy/base/check.h"
#include "proxy/session/census.h"
#include "proxy/session/listen.h"
#include "proxy/base/clock.h"
#include "proxy/session/peer_cancel.h"
#include "protocol/write.h"

#include <stdlib.h>

_Static_assert((int)NPINS <= SESSION_PINS, "session_counts has room for all pins");

#define INPUT_MAX (64u * 1024u)

static atomic_uint_fast64_t next_id = 1;

static enum step step_wait(struct session *s)
{
	(void)s;
	return STEP_WAIT;
}

static const struct state_row {
	enum step (*step)(struct session *s);
} rows[NSESSION_STATES] = {
#define S(id, step, limit, what) {step},
#include "proxy/session/states.def"
#undef S
};

struct log_who session_who(const struct session *s)
{
	return (struct log_who){
		.kind = "client", .id = s->id, .database = s->database, .user = s->user, .peer = s->peer};
}

void session_enter(struct session *s, enum session_state state)
{
	s->state = state;
	s->since_us = loop_now_us(s->house->host.loop);
	if (state == SESSION_READY) {
		conn_resume(s->client); /* a full backend may have paused it */
		listen_flush_idle(s);
	}
}

/* SUSPEND: what has begun goes on, nothing begins. */
static bool resting(const struct session *s)
{
	return s->house->suspended &&
	       s->state == SESSION_READY; /* logins go on: the console has to be reachable */
}

void session_run(struct session *s)
{
	if (s->running)
		return;
	s->running = true;
	while (s->state != SESSION_CLOSED && !resting(s) && rows[s->state].step(s) == STEP_AGAIN)
		continue;
	s->running = false;
}

/* --- callbacks of the client's connection: find the session, run it --- */

static void on_input(void *owner)
{
	session_run(owner);
}

static void on_output(void *owner)
{
	struct session *s = owner;

	/* The client has taken what it was sent: the backend may go on. */
	if (s->backend != NULL)
		conn_resume(s->backend->conn);
	listen_flush_idle(s);
	session_run(s);
}

static void on_closed(void *owner, const struct err *err)
{
	struct session *s = owner;

	if (err->text[0] != '\0') {
		struct log_who w = session_who(s);

		if (s->state == SESSION_TLS && s->config->log_pooler_errors)
			log_warn(&w, "TLS with a client failed", F_STR("reason", err->text));
		else
			log_debug(&w, "client connection failed", F_STR("reason", err->text));
	}
	session_close(s, "client closed the connection");
}

static void on_tls(void *owner)
{
	startup_tls_done(owner);
}

static const struct conn_ops client_ops = {
	.on_input = on_input, .on_output = on_output, .on_closed = on_closed, .on_tls = on_tls};

/* Until it is known where the client wants to go. */
static const struct policy no_policy;

static void arrival_new(struct session *s)
{
	struct arrival *a = check_alloc(sizeof *a);

	a->session = s;
	buf_init(&a->welcome_key, 64 * 1024);
	later_init(&a->handing, console_handing);
	s->arrival = a;
}

void session_arrived(struct session *s)
{
	struct arrival *a = s->arrival;

	s->arrival = NULL;
	if (a == NULL)
		return;
	buf_free(&a->welcome_key);
	settings_free(&a->refused);
	free(a->bad_wish);
	free(a->notice);
	free(a);
}

void session_new(struct house *h, int fd, enum session_door door)
{
	struct session *s = check_alloc(sizeof *s);
	char peer[64];

	s->house = h;
	s->id = atomic_fetch_add(&next_id, 1);
	s->door = door;
	s->config = config_ref(h->config);
	s->born_us = clock_us();
	s->status = 'I';
	s->clean = true;
	ring_init(&s->fresh_wait.node);
	s->fresh_wait.fn = serve_fresh;
	s->flight_wait.mb = loop_mailbox(h->host.loop);
	s->flight_wait.mail.run = serve_flight;
	s->policy = &no_policy;
	arrival_new(s);
	buf_init(&s->key, 0);
	ring_add(&h->sessions, &s->node);
	h->nsessions++;
	count(&h->host.counters, clients_accepted);
	session_enter(s, SESSION_HELLO);
	s->client = conn_accepted(h->host.loop, fd, &client_ops, s);
	conn_input_max(s->client, INPUT_MAX);
	conn_peer(s->client, peer, sizeof peer);
	s->peer = strdup(peer);
	check(s->peer != NULL);
}

static void free_late(void *arg)
{
	struct session *s = arg;

	stmts_clear(&s->stmts);
	under_free(s);
	settings_free(&s->startup);
	settings_free(&s->image);
	settings_free(&s->params);
	settings_free(&s->tried);
	settings_free(&s->touched);
	settings_free(&s->defined);
	settings_free(&s->unknowns);
	settings_free(&s->inspecting);
	settings_free(&s->probed);
	pool_defaults_unref(s->defaults);
	house_leave_served(s->house, &s->served);
	session_arrived(s);
	target_unref(s->target);
	buf_free(&s->key);
	replay_free(s);
	if (s->begin != NULL)
		stmt_unref(s->begin);
	if (s->latest != NULL)
		stmt_unref(s->latest);
	if (s->deallocating != NULL)
		stmt_unref(s->deallocating);
	if (s->parsing != NULL)
		stmt_unref(s->parsing);
	config_unref(s->config);
	free(s->peer);
	free(s->database);
	free(s->user);
	free(s->replication);
	wishes_free(&s->wishes);
	free(s);
}

void session_vanish_backend(struct session *s)
{
	struct backend *b = s->backend;
	struct expect *head;

	if (b == NULL)
		return;
	s->backend = NULL;
	if (s->pins != 0 || s->asked > 0 || s->touched.n > 0 || txn_left_traces(s) || listen_left_traces(s) ||
	    s->policy->pool_mode == POOL_MODE_SESSION || s->config->server_reset_query_always)
		b->dirty = true;
	head = expect_head(&b->expects);
	if (head != NULL && s->linking)
		b->dirty = true; /* nobody knows whether it will be done */
	if (s->client_left > 0 && !s->client_skip)
		b->broken = true; /* it waits for the rest of a message that will not come */
	if (s->copy > COPY_SENT)
		b->broken = true; /* nobody knows how many ReadyForQuery are to come */
	if (s->unsynced)
		b->broken = true; /* an open implicit transaction: the next client's Sync would commit it */
	if (s->replication != NULL || s->lasting_pins != 0)
		b->broken =
			true; /* nothing can reset a walsender, unload a library, or empty a language's variables */
	if (b->broken && b->expects.visible > 0)
		backend_cancel(b);
	backend_give_back(b, !s->goodbye);
}

/* Nothing of the session may be called any more once this has returned, but its memory lives to the end of the
 * round, or until a loan that is on its way has arrived. */
void session_close(struct session *s, const char *why)
{
	struct house *h = s->house;
	struct log_who w = session_who(s);

	if (s->state == SESSION_CLOSED)
		return;
	if (s->database != NULL && s->client != NULL && s->config->log_disconnections)
		log_info(&w, "client disconnected", F_STR("reason", why),
			 F_US("after", clock_us() - s->born_us));
	if (s->status != 'I' || s->state == SESSION_BUSY)
		count(&h->host.counters, clients_vanished);
	account_traffic(s);
	serve_leave(s);
	fill_drop(s);
	repeat_end(s);
	check_end(s);
	gate_free(&s->gate);
	peer_cancel_forget(s->peer_cancel);
	if (s->number != 0)
		cancels_remove(h->cancels, s->number);
	if (s->counted) {
		atomic_fetch_sub(h->nclients, 1);
		census_leave(h->census, s->database, s->user);
	}
	if (s->pin_counted)
		pool_unpin(s->pool);
	s->pin_counted = false;
	s->state = SESSION_CLOSED;
	session_vanish_backend(s);
	listen_close(s);
	if (s->arrival != NULL)
		later_cancel(&s->arrival->handing);
	if (s->goodbye && s->client != NULL)
		conn_leave(&s->client, CONN_LINGER_US);
	else if (s->client != NULL)
		conn_finish(&s->client, CONN_LINGER_US);
	ring_remove(&s->node);
	h->nsessions--;
	if (s->lending && !pool_lend_cancel(s->pool, &s->lend))
		return; /* the loan frees it */
	if (!s->flight_waiting)
		loop_retire(h->host.loop, free_late, s);
}

void session_free_after_mail(struct session *s)
{
	loop_retire(s->house->host.loop, free_late, s);
}

bool session_lent_too_late(struct session *s, struct backend *b)
{
	if (s->state != SESSION_CLOSED)
		return false;
	if (b != NULL) {
		backend_lent(b, &relay_ops, s);
		backend_give_back(b, true);
	}
	session_free_after_mail(s);
	return true;
}

void session_fatal(struct session *s, const char *sqlstate, const char *message, const char *hint)
{
	struct log_who w = session_who(s);

	if (s->state == SESSION_CLOSED)
		return;
	if (s->config->log_pooler_errors)
		log_warn(&w, "closing client", F_STR("sqlstate", sqlstate), F_STR("reason", message));
	/* In the middle of a row the client would take the error for the row's rest. */
	if (s->backend == NULL || s->backend->stream_left == 0) {
		write_error(conn_out(s->client), 'E', "FATAL", sqlstate, message, NULL, hint);
		conn_flush_later(s->client);
	}
	session_close(s, message);
}

void session_drain_all(struct house *h, uint64_t patience_us)
{
	h->draining = true;
	h->drain_busy_us = clock_us() + patience_us;
	session_sweep(h);
}

void session_close_all(struct house *h, const char *why)
{
	ring_each_safe (it, &h->sessions)
		session_fatal(ring_item(it, struct session, node), "57P01", why, NULL);
}

void session_count_all(const struct house *h, struct session_counts *c)
{
	*c = (struct session_counts){0};
	ring_each (it, &h->sessions) {
		const struct session *s = ring_item(it, struct session, node);

		c->total++;
		if (s->state < SESSION_READY)
			c->login++;
		else if (s->state == SESSION_QUEUED)
			c->waiting++;
		else if (s->backend != NULL)
			c->active++;
		else
			c->idle++;
		if (s->pins != 0)
			c->pinned++;
		for (unsigned i = 0; s->pins != 0 && i < NPINS; i++)
			c->pins[i] += (s->pins & (1u << i)) != 0;
	}
}
