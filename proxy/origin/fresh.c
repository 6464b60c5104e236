#include "proxy/origin/fresh_private.h"
#include "proxy/base/check.h"
#include "proxy/base/clock.h"
#include "proxy/base/log.h"

#include <stdlib.h>
#include <string.h>

#define GATHER_QUIET 3u /* rounds of the loop without a reader: no more are to be expected now */

/* --- telling readers --- */

void fresh_tell_all(struct ring *waits, enum fresh_result result)
{
	struct ring mine, *node;

	ring_init(&mine);
	ring_splice(&mine, waits);
	while ((node = ring_first(&mine)) != NULL) {
		struct fresh_wait *w = ring_item(node, struct fresh_wait, node);

		ring_remove(node);
		w->fn(w, result);
	}
}

static struct round *round_new(struct fresh *f)
{
	struct round *r = f->spare != NULL ? f->spare : check_alloc(sizeof(*r));

	f->spare = NULL;
	*r = (struct round){.fresh = f};
	ring_init(&r->node);
	ring_init(&r->waits);
	return r;
}

/* One is kept; f = NULL: none. */
static void round_free(struct fresh *f, struct round *r)
{
	snapshot_free(&r->probe.snapshot);
	if (f != NULL && f->spare == NULL)
		f->spare = r;
	else
		free(r);
}

void fresh_round_drop(struct fresh *f, struct round *r)
{
	check(ring_empty(&r->waits));
	if (!ring_empty(&r->node)) {
		ring_remove(&r->node);
		f->nrounds--;
	}
	if (r->position.mb == NULL || position_cancel(origin_cache(f->origin), &r->position))
		round_free(f, r);
	else
		r->fresh = NULL;
}

static void refuse_all(struct fresh *f)
{
	struct ring waits, *node;

	ring_init(&waits);
	while ((node = ring_first(&f->rounds)) != NULL) {
		struct round *r = ring_item(node, struct round, node);

		ring_splice(&waits, &r->waits);
		fresh_round_drop(f, r);
	}
	if (f->asking != NULL) {
		ring_splice(&waits, &f->asking->waits);
		round_free(f, f->asking);
		f->asking = NULL;
	}
	ring_splice(&waits, &f->joined);
	fresh_tell_all(&waits, FRESH_OFF);
}

/* --- the connection --- */

static void set_link(struct fresh *f, enum fresh_link link)
{
	f->link = link;
	f->since_us = loop_now_us(f->loop);
}

static void disconnect(struct fresh *f)
{
	watch_stop(&f->watch);
	PQfinish(f->conn);
	f->conn = NULL;
	set_link(f, LINK_DOWN);
	refuse_all(f);
}

static void lost(struct fresh *f, const struct err *err)
{
	const struct log_who who = {.kind = "probe", .database = origin_settings(f->origin)->database};

	log_debug(&who, "probe connection lost", F_STR("reason", err->text));
	f->connect_at_us = loop_now_us(f->loop) + f->backoff_us;
	f->backoff_us = f->backoff_us * 2 > FRESH_BACKOFF_MAX_US ? FRESH_BACKOFF_MAX_US : f->backoff_us * 2;
	disconnect(f);
}

static void connect_begin(struct fresh *f)
{
	const struct origin_settings *set = origin_settings(f->origin);
	struct err err;

	if (!origin_server(f->origin, &f->server, &f->generation))
		return; /* no stream: nothing to prove */
	struct link_target target = origin_target(set, "pgweir probe");

	target.host = f->server.host;
	target.port = f->server.port;
	target.address = f->server.address;
	f->conn = link_start(&target, &err);
	if (f->conn == NULL) {
		lost(f, &err);
		return;
	}
	set_link(f, LINK_CONNECTING);
	watch_set(f->loop, &f->watch, PQsocket(f->conn), WATCH_WRITE);
}

static void watch_again(struct fresh *f, bool unsent)
{
	watch_set(f->loop, &f->watch, PQsocket(f->conn), WATCH_READ | (unsent ? WATCH_WRITE : 0));
}

/* What was just queued for sending goes out. */
static int sent(struct fresh *f, int queued, struct err *err)
{
	int unsent = queued ? PQflush(f->conn) : -1;

	if (unsent < 0)
		return link_failed(f->conn, "cannot send", err);
	watch_again(f, unsent > 0);
	return 0;
}

static int connecting(struct fresh *f, struct err *err)
{
	/* libpq may go on with another socket of the same number. */
	watch_stop(&f->watch);
	switch (PQconnectPoll(f->conn)) {
	case PGRES_POLLING_READING: watch_set(f->loop, &f->watch, PQsocket(f->conn), WATCH_READ); return 0;
	case PGRES_POLLING_WRITING: watch_set(f->loop, &f->watch, PQsocket(f->conn), WATCH_WRITE); return 0;
	case PGRES_POLLING_OK: break;
	default: return link_failed(f->conn, "cannot connect", err);
	}
	if (PQsetnonblocking(f->conn, 1) != 0)
		return link_failed(f->conn, "cannot connect", err);
	set_link(f, LINK_IDENTIFYING);
	return sent(f, PQsendQuery(f->conn, link_identity_sql), err);
}

static void take_answer(struct fresh *f);

static int answer(struct fresh *f, const PGresult *result, struct err *err)
{
	struct link_identity here;

	switch (f->link) {
	case LINK_IDENTIFYING:
		if (link_identity_read(f->conn, result, &here, err) != 0)
			return -1;
		return link_identity_same(&here, &f->server)
			       ? 0
			       : err_set(err, "reached another server than the feed's");
	case LINK_PREPARING:
		return PQresultStatus(result) == PGRES_COMMAND_OK
			       ? 0
			       : link_refused(result, "cannot prepare", err);
	case LINK_ASKING:
		if (f->asking == NULL)
			return err_set(err, "a second answer to one question");
		if (probe_read(result, &f->asking->probe, err) != 0)
			return -1;
		take_answer(f);
		return 0;
	default: return err_set(err, "answer without question");
	}
}

/* The answer is complete: what is next? */
static int answered(struct fresh *f, struct err *err)
{
	switch (f->link) {
	case LINK_IDENTIFYING:
		set_link(f, LINK_PREPARING);
		return sent(f, PQsendPrepare(f->conn, FRESH_PROBE_NAME, CONTROL_PROBE_SQL, 0, NULL), err);
	case LINK_PREPARING:
		f->backoff_us = FRESH_TICK_US;
		f->wire = fresh_wire_possible(f->conn);
		buf_clear(&f->in);
		set_link(f, LINK_IDLE);
		return 0;
	default:
		set_link(f, LINK_IDLE);
		if (!ring_empty(&f->joined))
			loop_later(f->loop, &f->later);
		return 0;
	}
}

static int wire_readable(struct fresh *f, struct err *err)
{
	bool complete;
	int rc = fresh_wire_read(f, &complete, err);

	if (rc != 0 || !complete)
		return rc;
	answered(f, err);
	take_answer(f);
	return 0;
}

static int readable(struct fresh *f, struct err *err)
{
	int unsent;

	if (f->wire && f->link >= LINK_IDLE)
		return wire_readable(f, err);

	if (!PQconsumeInput(f->conn))
		return link_failed(f->conn, "connection lost", err);
	unsent = PQflush(f->conn);
	if (unsent < 0)
		return link_failed(f->conn, "connection lost", err);
	watch_again(f, unsent > 0);
	while (f->conn != NULL && f->link > LINK_CONNECTING && f->link != LINK_IDLE && !PQisBusy(f->conn)) {
		PGresult *result = PQgetResult(f->conn);
		int rc = result == NULL ? answered(f, err) : answer(f, result, err);

		PQclear(result);
		if (rc != 0)
			return -1;
	}
	if (f->conn != NULL && PQstatus(f->conn) == CONNECTION_BAD)
		return link_failed(f->conn, "connection lost", err);
	return 0;
}

void fresh_read(struct fresh *f)
{
	struct err err;

	if ((f->link == LINK_CONNECTING ? connecting(f, &err) : readable(f, &err)) != 0)
		lost(f, &err);
}

static void on_ready(void *arg, int what)
{
	(void)what;
	fresh_read(arg);
}

/* --- rounds --- */

/* Proven by this answer: so are all who asked earlier. */
static void proven(struct fresh *f, struct round *r)
{
	struct ring waits, *node;

	ring_init(&waits);
	f->late_run = 0;
	if (r->sent_us > f->proven_us || r->epoch != f->proven_epoch) {
		f->proven_us = r->sent_us;
		f->proven_epoch = r->epoch;
		snapshot_free(&f->proven);
		f->proven = r->probe.snapshot; /* the round needs it no more */
		r->probe.snapshot = (struct snapshot){0};
	}
	origin_note_lag(f->origin, clock_us() - r->answered_us);
	while ((node = ring_first(&f->rounds)) != NULL) {
		struct round *older = ring_item(node, struct round, node);

		if (older == r)
			break;
		ring_splice(&waits, &older->waits);
		fresh_round_drop(f, older);
	}
	ring_splice(&waits, &r->waits);
	fresh_round_drop(f, r);
	fresh_tell_all(&waits, FRESH_PROVEN);
}

static void on_position(struct mail *mail, void *ctx);

/* Waits for the position that proves `r`. What lies beyond the flushed part of the log does not come by itself. */
static void wait_position(struct fresh *f, struct round *r, uint64_t target)
{
	if (target > r->probe.flush)
		origin_nudge(f->origin);
	r->position.target = target;
	r->position.mb = loop_mailbox(f->loop);
	r->position.mail.run = on_position;
	position_wait(origin_cache(f->origin), &r->position);
}

static void judge(struct fresh *f, struct round *r, enum proof proof, uint64_t target)
{
	struct ring waits;

	/* Another server may have come in between: its positions prove nothing about this answer. */
	if (f->generation != origin_generation(f->origin))
		proof = PROOF_OFF;
	switch (proof) {
	case PROOF_NOW: proven(f, r); break;
	case PROOF_WAIT:
		if (ring_empty(&r->node)) {
			ring_add(&f->rounds, &r->node);
			f->nrounds++;
			ring_each (node, &r->waits)
				fresh_arm_late(f, ring_item(node, struct fresh_wait, node), r);
		}
		wait_position(f, r, target);
		break;
	case PROOF_OFF:
		ring_init(&waits);
		ring_splice(&waits, &r->waits);
		fresh_round_drop(f, r);
		fresh_tell_all(&waits, FRESH_OFF);
		break;
	}
	if (!ring_empty(&f->joined))
		loop_later(f->loop, &f->later);
}

static void on_position(struct mail *mail, void *ctx)
{
	struct round *r = ring_item(mail, struct round, position.mail);
	struct fresh *f = r->fresh;
	uint64_t target = 0;
	enum proof proof;

	(void)ctx;
	r->position.mb = NULL; /* no mail is under way now */
	if (f == NULL) {
		round_free(NULL, r);
		return;
	}
	proof = cache_prove_again(origin_cache(f->origin), r->epoch, r->probe.insert, r->probe.flush,
				  &r->probe.snapshot, &target);
	judge(f, r, proof, target);
}

static void take_answer(struct fresh *f)
{
	struct round *r = f->asking;
	uint64_t took_us = clock_us() - r->sent_us, target = 0;
	enum proof proof;

	f->asking = NULL;
	r->answered_us = r->sent_us + took_us;
	origin_note_probe(f->origin, took_us);
	f->rtt_us = f->rtt_us == 0 ? took_us : (f->rtt_us * 7 + took_us) / 8;
	fresh_note_took(f, took_us);
	count_add(f->counters, COUNTER_probe_us, (int64_t)took_us);
	proof = cache_prove(origin_cache(f->origin), r->epoch, r->probe.insert, r->probe.flush,
			    &r->probe.snapshot, &target);
	judge(f, r, proof, target);
}

static void ask(struct fresh *f)
{
	struct round *r = round_new(f);
	struct err err;

	f->asked_for = 0;
	f->arrived = f->noticed = 0;
	r->epoch = cache_epoch(origin_cache(f->origin));
	r->sent_us = clock_us();
	ring_each (node, &f->joined)
		f->asked_for++;
	ring_splice(&r->waits, &f->joined);
	f->refresh = false;
	f->asking = r;
	set_link(f, LINK_ASKING);
	count(f->counters, probes);
	count_add(f->counters, COUNTER_probe_readers, f->asked_for);
	if ((f->wire ? fresh_wire_ask(f, &err)
		     : sent(f, PQsendQueryPrepared(f->conn, FRESH_PROBE_NAME, 0, NULL, NULL, NULL, 0),
			    &err)) != 0)
		lost(f, &err);
}

/* Who reads at the same time shares a question: when the last one had several readers, the sockets are looked at for more of them
 * before the next goes. A lone reader does not wait for others. */
static bool gather(struct fresh *f)
{
	uint64_t now_us = loop_now_us(f->loop);

	if (f->noticed == 0)
		f->gather_us = now_us;
	f->quiet = f->arrived != f->noticed ? 0 : f->quiet + 1;
	f->noticed = f->arrived;
	if (f->asked_for <= 1 || f->arrived == 0 || f->quiet >= GATHER_QUIET ||
	    now_us - f->gather_us > FRESH_GATHER * f->rtt_us)
		return false;
	loop_later_round(f->loop, &f->later);
	return true;
}

/* At the end of the loop's round: all that joined in it share one question. */
static void on_later(struct later *later)
{
	struct fresh *f = ring_item(later, struct fresh, later);

	fresh_tell_all(&f->refused, FRESH_OFF);
	if (ring_empty(&f->joined) && !f->refresh)
		return;
	if (f->link == LINK_IDLE && f->generation == origin_generation(f->origin) &&
	    cache_on(origin_cache(f->origin))) {
		if (f->nrounds < FRESH_ROUNDS_MAX && !gather(f))
			ask(f);
	} else if (f->link != LINK_ASKING) {
		fresh_tell_all(&f->joined, FRESH_OFF);
	}
}

static void on_tick(void *arg)
{
	struct fresh *f = arg;
	uint64_t now_us = loop_now_us(f->loop);

	if (f->link != LINK_DOWN && f->generation != origin_generation(f->origin)) {
		f->connect_at_us = now_us;
		f->backoff_us = FRESH_TICK_US;
		disconnect(f);
	} else if (f->link != LINK_DOWN && f->link < LINK_IDLE && now_us - f->since_us > FRESH_CONNECT_US) {
		struct err err;

		err_set(&err, "no answer in time");
		lost(f, &err);
	}
	if (f->link == LINK_DOWN && now_us >= f->connect_at_us)
		connect_begin(f);
	timer_set(f->loop, &f->tick, FRESH_TICK_US);
}

/* --- the contract --- */

struct fresh *fresh_new(struct loop *l, struct origin *origin, struct counters *counters,
			uint64_t patience_us, uint64_t patience_max_us)
{
	struct fresh *f = check_alloc(sizeof(*f));

	f->loop = l;
	f->origin = origin;
	f->counters = counters;
	fresh_patience(f, patience_us, patience_max_us);
	f->backoff_us = FRESH_TICK_US;
	ring_init(&f->joined);
	ring_init(&f->rounds);
	ring_init(&f->refused);
	later_init(&f->later, on_later);
	watch_init(&f->watch, on_ready, f);
	buf_init(&f->in, 16u * 1024 * 1024);
	timer_init(&f->tick, on_tick, f);
	timer_init(&f->late, fresh_on_late, f);
	timer_set(l, &f->tick, 0);
	return f;
}

void fresh_free(struct fresh **fp)
{
	struct fresh *f = *fp;

	if (f == NULL)
		return;
	*fp = NULL;
	disconnect(f);
	later_cancel(&f->later);
	fresh_tell_all(&f->refused, FRESH_OFF);
	timer_free(&f->tick);
	timer_free(&f->late);
	snapshot_free(&f->proven);
	buf_free(&f->in);
	free(f->spare);
	free(f);
}

bool fresh_ready(const struct fresh *f)
{
	uint64_t now_us = loop_now_us(f->loop);

	if (f->link != LINK_IDLE && (f->link != LINK_ASKING || now_us - f->since_us > FRESH_STUCK_US))
		return false;
	return now_us >= f->rest_until_us && !origin_suspects(f->origin) &&
	       f->generation == origin_generation(f->origin) && cache_on(origin_cache(f->origin));
}

void fresh_join(struct fresh *f, struct fresh_wait *w, uint64_t cost_us)
{
	w->since_us = loop_now_us(f->loop);
	w->cost_us = cost_us;
	loop_later(f->loop, &f->later);
	if (f->link != LINK_IDLE && f->link != LINK_ASKING) {
		ring_add(&f->refused, &w->node);
		return;
	}
	f->arrived++;
	ring_add(&f->joined, &w->node);
	fresh_arm_late(f, w, NULL);
}

void fresh_leave(struct fresh_wait *w)
{
	ring_remove(&w->node);
}

uint64_t fresh_rtt_us(const struct fresh *f)
{
	return f->rtt_us;
}
