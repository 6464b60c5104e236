/* What a session does, counted for its (database, user) and for the worker. */
#include "proxy/session/session_private.h"

#include "proxy/base/clock.h"

_Static_assert((int)NREASONS <= TALLY_REASONS, "a tally has room for all reasons");

void account_begin(struct session *s)
{
	if (s->statement_us != 0)
		return;
	s->statement_us = loop_now_us(s->house->host.loop);
	s->request_us = s->statement_us;
	s->outcome = OUTCOME_OWN;
	s->followed = s->owed_ready = false;
	s->waited_us = s->proof_us = 0;
	if (s->latest != NULL)
		stmt_unref(s->latest);
	s->latest = NULL;
	if (s->xact_us == 0)
		s->xact_us = s->statement_us;
}

void account_text(struct session *s, struct stmt *stmt)
{
	if (s->latest == stmt || (s->latest == NULL && s->config->log_min_duration_statement == 0))
		return;
	if (s->latest != NULL)
		stmt_unref(s->latest);
	s->latest = s->config->log_min_duration_statement > 0 ? stmt_ref(stmt) : NULL;
}

void account_outcome(struct session *s, enum outcome outcome)
{
	s->outcome = outcome;
}

void account_traffic(struct session *s)
{
	struct counters *c = &s->house->host.counters;
	uint64_t received, sent;

	if (s->client == NULL)
		return;
	conn_traffic(s->client, &received, &sent);
	count_add(c, COUNTER_bytes_received, (int64_t)(received - s->received));
	count_add(c, COUNTER_bytes_sent, (int64_t)(sent - s->sent));
	if (s->tally != NULL) {
		tally_add(s->tally, TALLY_bytes_received, received - s->received);
		tally_add(s->tally, TALLY_bytes_sent, sent - s->sent);
	}
	s->received = received;
	s->sent = sent;
}

static void answered_at(struct session *s, uint64_t now)
{
	uint64_t took;

	count(&s->house->host.counters, statements);
	tally_add(s->tally, TALLY_statements, 1);
	account_traffic(s);
	if (s->statement_us == 0)
		return;
	took = now > s->statement_us ? now - s->statement_us : 0;
	hist_add(&s->tally->query, took);
	tally_add(s->tally, TALLY_statement_us, took);
	s->statement_us = 0;
	if (s->config->log_min_duration_statement > 0 && took >= s->config->log_min_duration_statement)
		slow_log(s, took);
}

static void xact_at(struct session *s, uint64_t now)
{
	count(&s->house->host.counters, transactions);
	tally_add(s->tally, TALLY_transactions, 1);
	if (s->xact_us == 0)
		return;
	if (now > s->xact_us)
		tally_add(s->tally, TALLY_transaction_us, now - s->xact_us);
	s->xact_us = 0;
}

void account_answered(struct session *s)
{
	answered_at(s, clock_us());
}

void account_xact(struct session *s)
{
	xact_at(s, clock_us());
}

void account_answered_alone(struct session *s)
{
	account_ready(s, clock_us(), true);
}

void account_ready(struct session *s, uint64_t now, bool xact)
{
	answered_at(s, now);
	if (xact)
		xact_at(s, now);
}

void account_pass(struct session *s, enum reason reason)
{
	s->outcome = OUTCOME_PASS;
	s->outcome_reason = reason;
	house_pass(s->house, reason);
	tally_raise(&s->tally->pass[reason], 1);
}
