/* How an answer of PostgreSQL gets into the cache: the lease before its statement leaves, its bytes as they pass, the rule at its end
 * (docs/coherence.md, "Fill"). */
#include "proxy/session/serve_private.h"
#include "proxy/session/shown.h"
#include "proxy/session/tops.h"

#include "proxy/base/check.h"
#include "proxy/origin/link.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* --- the read set --- */

void fill_drop_rows(struct deps *d)
{
	entity_drop(&d->entity);
	shown_free(&d->shown);
}

void fill_drop_deps(struct session *s)
{
	struct deps *d = s->deps;

	s->deps = NULL;
	if (d == NULL)
		return;
	fill_drop_rows(d);
	snapshot_free(&d->s0);
	buf_free(&d->answer);
	free(d);
}

/* --- may it be kept? --- */

/* Does the backend run on the server whose changes the feed brings, as the user of the key? Names may move to another server, lists
 * have several, standbys lag. */
static bool same_server(struct session *s)
{
	const struct backend *b = s->backend;
	const char *server = settings_get(&b->defaults, "server");
	struct link_identity feed;
	uint32_t generation;
	char text[128];

	if (server == NULL || pool_generation(s->pool) != b->generation ||
	    strcmp(b->target->user, s->target->user) != 0 ||
	    !origin_server(s->served->origin, &feed, &generation))
		return false;
	snprintf(text, sizeof(text), "%" PRIu64 " %s 0", feed.system_id, feed.started);
	return strcmp(server, text) == 0 &&
	       strcmp(b->target->dbname, origin_settings(s->served->origin)->dbname) == 0;
}

/* A backend reads what it is told of the catalog when a transaction begins; later only by chance, so that what it does in one that began
 * before DDL may be by rights and names of before. */
static bool knows_catalog(const struct session *s)
{
	return s->txn != TXN_REAL || s->block_epoch == s->dep_epoch;
}

static void leave_flight(struct session *s)
{
	if (!s->fill.leading)
		return;
	s->fill.leading = false;
	flight_done(s->served->cache, key_span(s));
}

/* PostgreSQL 18 takes a simple query behind an Execute without a Sync into a transaction with that, and then ends it with neither: there the
 * snapshot has one of its own. */
static int ask_snapshot(struct session *s)
{
	struct backend *b = s->backend;
	struct span in = conn_input(s->client);
	bool apart = backend_pipelines_are_blocks(b) && s->txn != TXN_REAL && in.n > 0 && in.p[0] == 'Q';

	return (apart && backend_sys(b, SYS_BEGIN, NULL, 0, WHY_SNAPSHOT, 0) != 0) ||
			       backend_sys(b, SYS_SNAPSHOT, NULL, 0, WHY_SNAPSHOT, 0) != 0 ||
			       (apart && backend_sys(b, SYS_COMMIT, NULL, 0, WHY_SNAPSHOT, 0) != 0)
		       ? -1
		       : 0;
}

void fill_begin(struct session *s)
{
	struct fill *f = &s->fill;
	struct cache *c = s->served->cache;
	struct deps *d = s->deps;
	bool same;

	check(d != NULL);
	s->fill_wanted = false;
	/* Register before the statement leaves. */
	lease_take(c, s->dep_epoch, d->keys, d->nkeys, d->nrules, s->dep_rels, s->ndep_rels, &d->lease);
	same = (f->alone && d->shown == NULL) || (same_server(s) && knows_catalog(s));
	if (!same)
		shown_free(&d->shown); /* its catalog may be another one */
	if (!f->alone && (!same || (d->lease.full && !lease_needs_snapshot(&d->lease)))) {
		count(&s->house->host.counters, cache_fills_refused);
		leave_flight(s);
		if (!repeat_goes_on(s)) {
			fill_drop(s);
			return;
		}
		f->alone = true;
	}
	f->on = true;
	f->spoiled = false;
	f->have_s0 = false;
	buf_free(&d->answer);
	buf_init(&d->answer, s->policy->cache_max_result);
	if (!f->alone && lease_needs_snapshot(&d->lease) && ask_snapshot(s) != 0)
		f->spoiled = true;
}

void fill_tee(struct session *s, struct span bytes)
{
	struct fill *f = &s->fill;

	if (!f->on || f->spoiled)
		return;
	buf_add_span(&s->deps->answer, bytes);
	if (s->deps->answer.failed)
		f->spoiled = true; /* larger than cache_max_result */
}

void fill_drop(struct session *s)
{
	struct fill *f = &s->fill;

	f->on = f->alone = false;
	s->fill_wanted = false;
	leave_flight(s);
	fill_drop_deps(s);
}

static void note_stored(struct session *s)
{
	count(&s->house->host.counters, cache_fills);
	tally_add(s->tally, TALLY_fills, 1);
	tops_again(s->house, s->fill.statement, TOPLIST_FILLS);
	tops_relations(s->house, s->served, s->dep_rels, s->ndep_rels, TOPLIST_FILLS);
}

static int fill_store(struct session *s, struct blob *blob, const struct snapshot *s0)
{
	const struct deps *d = s->deps;
	struct cache *c = s->served->cache;
	uint64_t rows[LEASE_ROWS_MAX];
	unsigned n;

	if (d->nrules > 0 &&
	    rows_of_answer(span_of(blob->bytes, blob->n), d->rules, d->nrules, rows, LEASE_ROWS_MAX, &n))
		return cache_store_rows(c, key_span(s), blob, &d->lease, s0, rows, n);
	return cache_store(c, key_span(s), blob, &d->lease, s0);
}

void fill_end(struct session *s)
{
	struct fill *f = &s->fill;
	struct counters *c = &s->house->host.counters;
	struct deps *d = s->deps;
	struct blob *blob;
	bool stored = false;

	if (!f->on)
		return;
	blob = !f->spoiled && d->answer.len > 0 ? blob_new(buf_span(&d->answer)) : NULL;
	if (blob != NULL && !f->alone && (!lease_needs_snapshot(&d->lease) || f->have_s0))
		stored = fill_store(s, blob, f->have_s0 ? &d->s0 : NULL) == 1;
	if (stored) {
		note_stored(s);
		entity_keep(s, span_of(blob->bytes, blob->n), f->have_s0 ? &d->s0 : NULL);
	} else if (!f->alone) {
		count(c, cache_fills_refused);
	}
	if (blob != NULL)
		repeat_keep_fill(s, blob, stored);
	blob_unref(blob);
	fill_drop(s);
}
