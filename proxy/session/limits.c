/* How long a session may stay where it is; looked at ten times a second. */
#include "proxy/session/session_private.h"

#include "proxy/base/clock.h"
#include "protocol/write.h"

#include <stdio.h>

#define YIELD_WAIT_US 500000u	      /* of others: it is no connection that is being made or settled */
#define YIELD_IDLE_US 250000u	      /* who reads the values of sequences asks right behind its statement */
#define FOLLOWER_PATIENCE_US 1000000u /* a follower waits so long for a fill, then asks PostgreSQL itself */
#define DRAIN_LOGIN_US 500000u	      /* at the shutdown, for a client that has been asked for its password */
#define DRAIN_IDLE_US 300000u /* who was silent for so long will hardly be sending a statement just now */

static void waited_too_long(struct session *s)
{
	char hint[sizeof(struct err) + 64] =
		"All server connections of the pool are in use; see default_pool_size.";
	struct err err;

	count(&s->house->host.counters, wait_timeouts);
	if (pool_login_error(s->pool, &err))
		snprintf(hint, sizeof(hint), "The last login to the server failed: %s.", err.text);
	session_fatal(s, "08P01", "query_wait_timeout", hint);
}

/* How long it may stay, and what it is told then. */
struct limit {
	uint64_t us;
	const char *sqlstate, *message;
};

/* PostgreSQL's own limits, where it cannot see the session: there is no backend, or one that does not know of its BEGIN. */
static struct limit hidden_limit(const struct session *s)
{
	if (s->owed_ready || s->skipping || s->house->suspended)
		return (struct limit){0};
	if (s->txn == TXN_VIRTUAL)
		return (struct limit){s->idle_txn_limit_ms * UINT64_C(1000), "25P03",
				      "terminating connection due to idle-in-transaction timeout"};
	if (s->backend == NULL)
		return (struct limit){s->idle_limit_ms * UINT64_C(1000), "57P05",
				      "terminating connection due to idle-session timeout"};
	return (struct limit){0};
}

static struct limit idle_limit(const struct session *s)
{
	const struct policy *p = s->policy;
	struct limit l = {p->client_idle_timeout, "57P05", "client_idle_timeout"}, hidden;

	if (s->txn != TXN_NONE)
		l = (struct limit){p->idle_transaction_timeout, "57P05", "idle_transaction_timeout"};
	else if (s->pins != 0 && p->pin_timeout > 0)
		l = (struct limit){p->pin_timeout, "57P05", "pin_timeout"};
	hidden = hidden_limit(s);
	return hidden.us > 0 && (l.us == 0 || hidden.us < l.us) ? hidden : l;
}

bool limits_backend_dozes(const struct session *s)
{
	uint64_t limit = s->txn == TXN_NONE ? s->idle_limit_ms : s->idle_txn_limit_ms;

	return limit > 0 && clock_us() - s->served_us > limit * 1000 / 2;
}

static uint64_t limit_of(const struct session *s)
{
	const struct policy *p = s->policy;

	switch (s->state) {
	case SESSION_HELLO:
	case SESSION_TLS:
	case SESSION_AUTH:
	case SESSION_GATE:
	case SESSION_HANDING:
	case SESSION_WELCOME: return s->config->client_login_timeout;
	case SESSION_READY: return idle_limit(s).us;
	case SESSION_QUEUED: return p->query_wait_timeout;
	case SESSION_FLIGHT: return FOLLOWER_PATIENCE_US;
	case SESSION_BUSY: return p->query_timeout;
	default: return 0;
	}
}

static void idle_too_long(struct session *s)
{
	struct limit l = idle_limit(s);

	if (s->policy->pin_timeout > 0 && sequence_only(s))
		sequence_let_go(s); /* not worth the client */
	else
		session_fatal(s, l.sqlstate, l.message, NULL);
}

static void over_limit(struct session *s)
{
	switch (s->state) {
	case SESSION_READY: idle_too_long(s); break;
	case SESSION_QUEUED: waited_too_long(s); break;
	case SESSION_FLIGHT:
		serve_leave(s);
		s->pass_only = true;
		session_enter(s, SESSION_READY);
		session_run(s);
		break;
	case SESSION_BUSY: session_fatal(s, "57014", "query_timeout", NULL); break;
	default: session_fatal(s, "08006", "client_login_timeout", NULL); break;
	}
}

static bool transaction_too_long(const struct session *s, uint64_t now)
{
	uint64_t limit = s->policy->transaction_timeout;

	return limit > 0 && s->txn != TXN_NONE && now > s->txn_since_us && now - s->txn_since_us >= limit;
}

/* query_wait_notify: once for each wait. */
static void notify_waiting(struct session *s, uint64_t now)
{
	uint64_t after = s->config->query_wait_notify;

	if (after == 0 || s->wait_notified || now <= s->since_us || now - s->since_us < after)
		return;
	s->wait_notified = true;
	write_error(conn_out(s->client), 'N', "NOTICE", "00000",
		    "No server connection available in the pool, client being queued", NULL, NULL);
	conn_flush_later(s->client);
}

/* At the shutdown: nothing of this client is under way. A login gets a moment to come to its end, and so does a client that has
 * just come, or has just had its answer: many go by themselves, and a statement on its way to us would be lost. */
static bool drained(const struct session *s, uint64_t now)
{
	if (s->state < SESSION_READY)
		return now > s->since_us && now - s->since_us >= DRAIN_LOGIN_US;
	return s->state == SESSION_READY && s->txn == TXN_NONE &&
	       (now >= s->house->drain_busy_us || (now > s->since_us && now - s->since_us >= DRAIN_IDLE_US));
}

/* Others wait for a backend that an idle session keeps for the values of sequences only: one goes for each who waits. */
static bool yields(struct session *s, uint64_t now, unsigned yielded)
{
	struct pool_counts counts;

	if (!sequence_only(s) || now <= s->since_us || now - s->since_us < YIELD_IDLE_US)
		return false;
	pool_count(s->pool, &counts);
	if (counts.waiting <= yielded + counts.connecting || counts.oldest_wait_us < YIELD_WAIT_US)
		return false;
	sequence_let_go(s);
	return true;
}

/* What is answered without a backend leaves it where it is. */
static uint64_t since(const struct session *s)
{
	return s->state == SESSION_READY && s->request_us > s->since_us ? s->request_us : s->since_us;
}

void session_sweep(struct house *h)
{
	uint64_t now = clock_us();
	unsigned yielded = 0;

	ring_each_safe (it, &h->sessions) {
		struct session *s = ring_item(it, struct session, node);
		uint64_t limit;

		session_renew(s);
		session_renew_feed(s);
		if (s->cancel_waits)
			startup_cancel_again(s);
		limit = limit_of(s);
		/* Waiting for RESUME is no fault of the pool. */
		if ((s->state == SESSION_QUEUED || s->state == SESSION_WELCOME) && s->pool != NULL &&
		    pool_paused(s->pool))
			s->since_us = now;

		yielded += yields(s, now, yielded);
		if (limit > 0 && now > since(s) && now - since(s) >= limit)
			over_limit(s);
		else if (transaction_too_long(s, now))
			session_fatal(s, "25P04", "transaction_timeout", NULL);
		else if (s->state == SESSION_QUEUED)
			notify_waiting(s, now);
		else if (s->state == SESSION_VACATE)
			vacate_look(s, now);
		else if (h->draining && drained(s, now))
			session_fatal(s, "57P01", "the proxy is shutting down", NULL);
	}
}
