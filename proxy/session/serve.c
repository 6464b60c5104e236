/* The cache's part of a request: is it cacheable, is it there, is it proven current. The rules are those of docs/coherence.md; their
 * names are used here. */
#include "proxy/session/serve_private.h"
#include "proxy/session/shown.h"
#include "proxy/session/tops.h"

#include "proxy/base/check.h"
#include "proxy/base/clock.h"
#include "proxy/sql/slots.h"
#include "protocol/write.h"

/* What of the session forbids it, whatever the statement. */
static enum reason session_reason(struct session *s)
{
	/* While an operator has paused the database its server may become another one. */
	if (s->served == NULL || s->served->dead || pool_paused(s->pool) ||
	    s->wishes.now.coherence == COHERENCE_OFF)
		return REASON_OFF;
	if (!s->unproven && !fresh_ready(s->served->fresh))
		return REASON_FEED;
	if (s->status == 'E')
		return REASON_TXN_FAILED;
	if (s->unsynced)
		return REASON_PIPELINE;
	if (s->txn != TXN_NONE && s->above_rc)
		return REASON_TXN_ISOLATION;
#ifndef PGWEIR_MUTATE_OWN_WRITES /* tests/truth must see it when a rule is left out */
	if (s->txn != TXN_NONE && !s->clean && !repeat_goes_on(s))
		return REASON_TXN_WROTE;
#endif
	/* The feed and the catalog speak the server's encoding: text keys of another one would not be recognised. */
	if ((s->backend != NULL && limits_backend_dozes(s)) || (s->pins & ~(1u << PIN_SEQUENCE)) != 0 ||
	    s->asked > 0 || !s->same_encoding || !s->certain)
		return REASON_SESSION_STATE;
	if (!s->read_committed)
		return REASON_TXN_ISOLATION;
	return REASON_NONE;
}

/* The literals of the text are parameters too, behind those of the Bind. Their values need no more room than the text. */
static bool add_literals(struct session *s, const struct stmt *stmt, struct reads_param *params)
{
	struct buf *values = &s->house->scratch;
	size_t at[LITERALS_MAX + 1];

	buf_clear(values);
	values->max = stmt->text.n + 2 * LITERALS_MAX;
	for (unsigned i = 0; i < stmt->facts->nslots; i++) {
		at[i] = values->len;
		literal_value(stmt->text, &stmt->literals[i], stmt->facts->slots[i].negative, values);
	}
	at[stmt->facts->nslots] = values->len;
	for (unsigned i = 0; i < stmt->facts->nslots; i++)
		params[i] = (struct reads_param){
			.value = span_skip(span_of(values->p, at[i + 1]), at[i]),
		};
	return !values->failed;
}

static bool signature_applied(void *arg, uint32_t relid, uint16_t ncols, const int16_t *attnums)
{
	const struct session *s = arg;

	return cache_signature(s->served->cache, relid, ncols, attnums);
}

static void note_rule(struct rows_rule *to, const struct reads_rule *rule, const struct wanted *w)
{
	*to = (struct rows_rule){.rule = *rule};
	for (unsigned i = 0; i < rule->ncols && !w->simple; i++)
		to->binary |= (uint8_t)((front_bind_result_format(&w->bind, rule->at[i]) == 1) << i);
}

/* The keys that rules stand for come last. */
static void note_rules(struct deps *d, const struct reads_set *set, const struct wanted *w)
{
	d->nrules = set->nrules;
	d->nkeys = set->nkeys;
	for (unsigned i = 0; i < set->nrules; i++) {
		note_rule(&d->rules[i], &set->rule[i], w);
		d->keys[d->nkeys++] = set->otherwise[i];
	}
}

static enum reason note_reads(struct session *s, const struct wanted *w, const struct reads *reads,
			      const struct reads_param *params, uint16_t n)
{
	const struct reads_signatures signatures = {.applied = signature_applied, .arg = s};
	struct deps *d = s->deps != NULL ? s->deps : check_alloc(sizeof *d);
	struct reads_set set = {.keys = d->keys,
				.max = LEASE_KEYS,
				.relids = s->dep_rels,
				.maxrels = sizeof s->dep_rels / sizeof *s->dep_rels};
	enum reason r = reads_keys(reads, params, n, &signatures, &set);

	s->deps = d;
	fill_drop_rows(d);
	if (r != REASON_NONE)
		return r;
	note_rules(d, &set, w);
	s->ndep_rels = set.nrels;
	s->dep_rels_cut = false;
	return REASON_NONE;
}

int serve_params(struct session *s, const struct stmt *stmt, const struct front_bind *bind,
		 struct reads_param params[SERVE_PARAMS_MAX + LITERALS_MAX])
{
	const struct facts *facts = stmt->facts;
	uint16_t n = bind == NULL ? 0 : bind->nparams;
	size_t at = 0;

	if (n > SERVE_PARAMS_MAX || (facts->nslots > 0 && n != facts->nparams))
		return -1;
	for (uint16_t i = 0; i < n; i++) {
		struct front_param p = front_bind_param(bind, i, &at);

		params[i] = (struct reads_param){.null = p.null, .binary = p.binary, .value = p.value};
	}
	if (facts->nslots > 0 && !add_literals(s, stmt, params + n))
		return -1;
	return (int)(n + facts->nslots);
}

/* Not found under its key. An answer that can be made of rows is in *made_r, counted; else the read set of this execution is in s->deps
 * and s->dep_rels. */
static enum reason look_further(struct session *s, struct wanted *w, struct entry **made_r)
{
	struct reads_param params[SERVE_PARAMS_MAX + LITERALS_MAX];
	int n = serve_params(s, w->stmt, w->simple ? NULL : &w->bind, params);
	enum reason r;

	if (n < 0)
		return REASON_PARAMETER;
	if (!s->fill.alone)
		*made_r = entity_answer(s, w, params, (uint16_t)n);
	if (*made_r != NULL)
		return REASON_NONE;
	r = note_reads(s, w, w->reads, params, (uint16_t)n);
	if (r == REASON_NONE && !s->fill.alone)
		entity_note(s, w, params, (uint16_t)n);
	if (r == REASON_NONE)
		repeat_rows_note(s, w, params, (uint16_t)n);
	return r;
}

void serve_key_who(struct session *s, char kind, struct buf *key)
{
	struct span who = key_span(s);

	who.n = s->key_prefix_n - s->key_path_n - s->key_role_n;
	buf_add_span(key, who);
	buf_add_u8(key, (uint8_t)kind);
}

static enum reason make_key(struct session *s, const struct wanted *w)
{
	struct buf *k = key_statement(s);

	if (k == NULL)
		return REASON_TOO_LARGE;
	buf_add_u8(k, w->simple ? 'Q' : 'E');
	key_add(k, w->stmt->text);
	if (!w->simple) {
		key_add(k, span_of(w->stmt->oids, w->stmt->noids * sizeof *w->stmt->oids));
		key_add(k, span_of(w->shape, w->nshape));
#ifndef PGWEIR_MUTATE_KEY
		buf_add_span(k, w->bind.after_names);
#endif
	}
	return k->failed ? REASON_TOO_LARGE : REASON_NONE;
}

/* Parse, Describe and Flush: what it runs comes later. */
static bool only_prepares(const struct batch *batch)
{
	for (unsigned i = 0; i + 1 < batch->n; i++)
		if (strchr("PDC", batch->op[i].type) == NULL)
			return false;
	return batch->op[batch->n - 1].type == 'H';
}

/* The statement, by what the session and the text say. REASON_NONE: w->stmt is counted. */
static enum reason identify(struct session *s, const struct batch *batch, struct wanted *w)
{
	enum reason r = session_reason(s);

	if (r != REASON_NONE)
		return r;
	if (batch->op[0].type == 'F' || only_prepares(batch))
		return REASON_NOT_SELECT;
	if (!batch->whole)
		return REASON_PIPELINE;
	r = wanted_read(s, batch, w);
	if (r != REASON_NONE)
		return r;
	return w->stmt->facts->shape == NULL ? (enum reason)w->stmt->facts->reason : REASON_NONE;
}

/* For the statistics of a hit; a miss finds out more (look_further). */
static void note_relations(struct session *s, const struct reads *reads)
{
	struct reads_part part;

	s->ndep_rels = 0;
	while (s->ndep_rels < sizeof s->dep_rels / sizeof *s->dep_rels &&
	       reads_part(reads, s->ndep_rels, &part))
		s->dep_rels[s->ndep_rels++] = part.relid;
	s->dep_rels_cut = reads_part(reads, s->ndep_rels, &part);
}

/* Why the batch is not answered from the cache; REASON_NONE: s->key is set. What it depends on is left to a miss (look_further). */
static enum reason examine(struct session *s, const struct batch *batch, struct wanted *w)
{
	enum reason r = identify(s, batch, w);
	const struct catalog *catalog;
	struct reads_session rs;

	if (r != REASON_NONE)
		return r;
	catalog = served_catalog(s->served, &s->dep_epoch);
	if (catalog == NULL)
		return REASON_FEED;
	if (s->wishes.now.coherence == COHERENCE_STRICT && !catalog_strict(catalog))
		return REASON_DDL_UNSEEN;
	if (!key_reads(s, &rs))
		return REASON_TOO_LARGE;
	w->reads = memo_reads(w->stmt, catalog, &rs);
	if (w->reads == NULL)
		return REASON_TOO_LARGE;
	r = reads_reason(w->reads);
	if (r != REASON_NONE)
		return r;
	if (w->from != NULL && !under_types_hold(s, w->from, w->stmt, w->reads))
		return REASON_PARSED_BEFORE;
	note_relations(s, w->reads);
	return make_key(s, w);
}

/* The answer goes out, and the session is as if the statement had run. */
static void send_blob(struct session *s, struct blob *blob, const struct batch *batch, const struct wanted *w)
{
	fill_drop_deps(s); /* of a miss that became a hit while it waited for another client's fill */
	conn_send_blob(s->client, blob);
	write_ready(conn_out(s->client), s->status);
	conn_flush_later(s->client);
	if (w->simple)
		stmts_set_unnamed(&s->stmts, NULL);
	else if (w->parsed)
		stmts_add_settled(s, w->parse_name, w->stmt);
	conn_consume(s->client, batch->op[batch->n - 1].end);
	account_outcome(s, OUTCOME_HIT);
	account_text(s, w->stmt);
	if (s->txn == TXN_NONE)
		account_answered_alone(s);
	else
		account_answered(s);
}

/* The entry is alive after the proof. */
static void send_answer(struct session *s, struct entry *e, const struct batch *batch, const struct wanted *w)
{
	struct house *h = s->house;

	if (entry_stored_us(e) > s->floor_us)
		s->floor_us = entry_stored_us(e); /* it may show more than the newest proof */
	s->queried = s->txn != TXN_NONE;
	count(&h->host.counters, cache_hits);
	if (entry_made(e)) {
		count(&h->host.counters, cache_row_hits);
		tally_add(s->tally, TALLY_row_hits, 1);
	}
	tops_statement(h, s->served, w->stmt, TOPLIST_HITS);
	tops_relations(h, s->served, s->dep_rels, s->ndep_rels, TOPLIST_HITS);
	tally_add(s->tally, TALLY_hits, 1);
	repeat_keep_hit(s, e, w);
	check_served(s, w->stmt, w->simple ? NULL : &w->bind,
		     span_of(entry_answer(e)->bytes, entry_answer(e)->n));
	send_blob(s, entry_answer(e), batch, w);
}

/* The transaction has had that answer before, or was shown all rows that it asks for. */
static bool send_again(struct session *s, const struct batch *batch, const struct wanted *w)
{
	struct context *c = repeat_context(s);
	struct blob *blob = NULL;

	if (c == NULL)
		return false;
	blob = context_find(c, s->served->cache, s->dep_epoch, key_span(s));
	blob = blob != NULL ? blob_ref(blob) : repeat_rows_answer(s, w);
	if (blob == NULL)
		return false;
	count(&s->house->host.counters, context_answers);
	send_blob(s, blob, batch, w);
	blob_unref(blob);
	return true;
}

/* Is the answer to come for the transaction's own context alone? It has written, or the cache cannot prove what it has. */
static enum reason look_alone(struct session *s)
{
	s->fill.alone = repeat_context(s) != NULL && (!s->clean || s->unproven);
	return s->fill.alone && (s->dep_rels_cut || context_written(s->context, s->dep_rels, s->ndep_rels))
		       ? REASON_TXN_WROTE
		       : REASON_NONE;
}

/* A miss: lead the fill of this key, or wait for who does. Once: when what was waited for could not be stored, a herd would else
 * ask one after the other. */
static enum serve miss(struct session *s)
{
	struct house *h = s->house;
	struct flight_wait *wait = s->followed ? NULL : &s->flight_wait;

	if (s->fill.alone) {
		account_pass(s, s->clean ? REASON_FEED : REASON_TXN_WROTE);
		return SERVE_FILL;
	}
	count(&h->host.counters, cache_misses);
	tops_relations(h, s->served, s->dep_rels, s->ndep_rels, TOPLIST_MISSES);
	tally_add(s->tally, TALLY_misses, 1);
	account_outcome(s, OUTCOME_MISS);
	s->fill.leading = flight_join(s->served->cache, key_span(s), wait);
	if (!s->fill.leading && wait != NULL) {
		count(&h->host.counters, flights_followed);
		s->flight_waiting = s->followed = true;
		session_enter(s, SESSION_FLIGHT);
		return SERVE_WAIT;
	}
	return SERVE_FILL;
}

/* bounded: a recent proof is enough, if it was asked for after all that this session has seen and done, and after the entry was
 * filled: then the answer is what stood at the proof, and the next one cannot be older. */
static bool recent(struct session *s, const struct entry *e)
{
	uint64_t after_us = entry_stored_us(e) > s->floor_us ? entry_stored_us(e) : s->floor_us;

#ifdef PGWEIR_MUTATE_FLOOR
	after_us = 0;
#endif
	return s->wishes.now.coherence == COHERENCE_BOUNDED &&
	       fresh_within(s->served->fresh, after_us, s->wishes.now.max_staleness);
}

/* The entry, if it is alive. One that a change has ended counts for its statement and for each of its relations. */
static struct entry *look_up(struct session *s, struct stmt *stmt)
{
	bool killed;
	struct entry *e = cache_look(s->served->cache, key_span(s), &killed);

	if (killed) {
		count(&s->house->host.counters, cache_killed);
		tops_statement(s->house, s->served, stmt, TOPLIST_KILLS);
		tops_relations(s->house, s->served, s->dep_rels, s->ndep_rels, TOPLIST_KILLS);
	}
	return e;
}

enum serve serve_decide(struct session *s, const struct batch *batch)
{
	struct wanted w = {0};
	struct entry *e = NULL;
	enum serve serve = SERVE_WAIT;
	enum reason r;

	s->fill.alone = false;
	s->unproven = repeat_context(s) != NULL && (s->unproven || !fresh_ready(s->served->fresh));
	r = examine(s, batch, &w);
	if (r == REASON_NONE && send_again(s, batch, &w)) {
		s->unproven = false;
		wanted_free(&w);
		return SERVE_DONE;
	}
	if (r == REASON_NONE)
		r = look_alone(s);
	s->unproven = false;
	if (r == REASON_NONE && !s->fill.alone)
		e = look_up(s, w.stmt);
	if (e != NULL && recent(s, e)) {
		send_answer(s, e, batch, &w);
		serve = SERVE_DONE;
	} else if (e == NULL && r == REASON_NONE) {
		r = look_further(s, &w, &e);
	}
	if (e != NULL && serve == SERVE_WAIT) {
		s->proof_entry = e;
		s->proof_stmt = stmt_ref(w.stmt);
	}
	if (r == REASON_NONE && e == NULL && !s->fill.alone)
		s->fill.statement = tops_statement(s->house, s->served, w.stmt, TOPLIST_MISSES);
	wanted_free(&w);
	if (r != REASON_NONE) {
		fill_drop_deps(s);
		account_pass(s, r);
		return SERVE_PASS;
	}
	if (e == NULL)
		return miss(s);
	if (serve == SERVE_DONE) {
		entry_unref(e);
		return SERVE_DONE;
	}
	session_enter(s, SESSION_PROOF);
	fresh_join(s->served->fresh, &s->fresh_wait, entry_took_us(e));
	return SERVE_WAIT;
}

static void proof_forget(struct session *s)
{
	if (s->proof_entry != NULL)
		entry_unref(s->proof_entry);
	stmt_unref(s->proof_stmt);
	s->proof_entry = NULL;
	s->proof_stmt = NULL;
}

/* What serve_decide found out still holds: the input has not been touched since, and an entry that is alive is one of the present
 * epoch. Only what may forbid it on the session's side is looked at again. */
static enum reason examine_again(struct session *s, const struct batch *batch, struct wanted *w)
{
	enum reason r;

	if (cache_epoch(s->served->cache) != s->dep_epoch)
		return examine(s, batch, w);
	r = session_reason(s);
	if (r != REASON_NONE || batch->op[0].type != 'Q')
		return r != REASON_NONE ? r : wanted_read(s, batch, w);
	w->simple = true;
	w->stmt = stmt_ref(s->proof_stmt);
	return REASON_NONE;
}

/* The entry has died meanwhile, and another may have come. One that was made of rows since the proof was asked for may show two moments
 * (cache/entity.c). */
static struct entry *find_in_its_place(struct session *s, struct stmt *stmt)
{
	struct entry *e = look_up(s, stmt);

#ifndef PGWEIR_MUTATE_MADE
	if (e != NULL && entry_made(e)) {
		entry_unref(e);
		return NULL;
	}
#endif
	return e;
}

/* The proof is here: only an entry that is alive now may be served. */
static bool serve_proven(struct session *s)
{
	struct cache *cache = s->served->cache;
	struct wanted w = {0};
	struct batch batch;
	const char *why;
	struct entry *e = NULL;

	if (batch_scan(conn_input(s->client), (uint32_t)s->config->max_packet_size, &batch, &why) ==
		    BATCH_OK &&
	    examine_again(s, &batch, &w) == REASON_NONE) {
		e = s->proof_entry;
		s->proof_entry = NULL;
		if (!cache_alive(cache, e)) {
			entry_unref(e);
			e = find_in_its_place(s, w.stmt);
		}
	}
	if (e != NULL) {
		send_answer(s, e, &batch, &w);
		entry_unref(e);
	}
	wanted_free(&w);
	return e != NULL;
}

void serve_fresh(struct fresh_wait *w, enum fresh_result result)
{
	struct session *s = (struct session *)(void *)((char *)w - offsetof(struct session, fresh_wait));
	struct counters *c = &s->house->host.counters;

	check(s->state == SESSION_PROOF);
	s->proof_us += clock_us() - w->since_us;
	hist_add(&s->tally->fresh, s->proof_us);
	session_enter(s, SESSION_READY);
	if (result != FRESH_PROVEN) {
		count(c, cache_late);
		if (repeat_context(s) != NULL) {
			s->unproven = true; /* what PostgreSQL says is kept for the transaction */
		} else {
			account_pass(s, REASON_FEED);
			s->pass_only = true;
		}
	} else if (!serve_proven(s)) {
		count(c, cache_overtaken); /* step_ready finds no entry and fills */
	}
	proof_forget(s);
	session_run(s);
}

void serve_flight(struct mail *mail, void *ctx)
{
	struct session *s =
		(struct session *)(void *)((char *)mail - offsetof(struct session, flight_wait.mail));

	(void)ctx;
	s->flight_waiting = false;
	if (s->state == SESSION_CLOSED) {
		session_free_after_mail(s);
		return;
	}
	if (s->state != SESSION_FLIGHT)
		return;
	session_enter(s, SESSION_READY);
	session_run(s);
}

void serve_leave(struct session *s)
{
	if (s->state == SESSION_PROOF)
		fresh_leave(&s->fresh_wait);
	proof_forget(s);
	if (s->flight_waiting && flight_cancel(s->served->cache, key_span(s), &s->flight_wait))
		s->flight_waiting = false;
}

void serve_key_changes(struct session *s)
{
	if (s->flight_waiting && flight_cancel(s->served->cache, key_span(s), &s->flight_wait))
		s->flight_waiting = false;
	if (s->fill.leading || s->fill.on || s->fill_wanted)
		fill_drop(s);
}
