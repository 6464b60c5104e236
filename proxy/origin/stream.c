#include "proxy/origin/stream.h"
#include "proxy/base/check.h"
#include "proxy/base/clock.h"
#include "protocol/lsn.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void stream_init(struct stream *s, struct cache *cache, struct counters *counters, const char *database,
		 const char *publication, size_t max_change_keys, uint64_t catalog_poll_us)
{
	*s = (struct stream){.cache = cache, .counters = counters, .catalog_poll_us = catalog_poll_us};
	s->database = database;
	s->changes = toplist_new(STREAM_CHANGED_ROWS);
	feed_init(&s->feed, publication != NULL ? &feed_pgoutput : &feed_test_decoding, publication);
	published_init(&s->published, publication);
	apply_init(&s->apply, max_change_keys);
	s->apply.signatures = cache_signatures(cache);
	s->apply.cache = cache;
}

void stream_done(struct stream *s)
{
	stream_close(s);
	apply_free(&s->apply);
	toplist_free(&s->changes);
	buf_free(&s->feed.status);
	free(s->xids);
	s->xids = NULL;
}

void stream_begin(struct stream *s, uint64_t now_us)
{
	apply_reset(&s->apply);
	atomic_store(&s->pos, 0);
	s->stage = STREAM_LOADING;
	s->hold = true;
	s->want_load = true;
	s->held_commit = s->reread = s->want_check = s->want_nudge = s->refused = false;
	s->ripe_us = STREAM_RIPE_MIN_US;
	s->confirm_at_us = 0;
	s->confirm_us = STREAM_CONFIRM_MIN_US;
	s->ask_at_us = s->nudge_lsn = s->nudge_us = 0;
	s->retry_us = STREAM_RETRY_MIN_US;
	s->poll_at_us = now_us;
	s->nxids = 0;
}

static void unsettled_clear(struct unsettled *u)
{
	ending_free(&u->ending);
	snapshot_free(&u->snapshot);
	free(u->fingerprint);
	if (u->catalog != NULL)
		catalog_unref(u->catalog);
	*u = (struct unsettled){0};
}

void stream_close(struct stream *s)
{
	control_close(&s->control);
	feed_close(&s->feed);
	if (s->catalog != NULL)
		catalog_unref(s->catalog);
	s->catalog = NULL;
	s->apply.catalog = NULL;
	published_clear(&s->published);
	snapshot_free(&s->seen);
	snapshot_free(&s->first.snapshot);
	unsettled_clear(&s->unsettled);
	free(s->settled);
	s->settled = NULL;
}

/* --- position --- */

static void advance(struct stream *s, uint64_t lsn)
{
	if (lsn <= atomic_load_explicit(&s->pos, memory_order_relaxed))
		return;
	atomic_store_explicit(&s->pos, lsn, memory_order_relaxed);
	if (s->stage == STREAM_ON)
		cache_advance(s->cache, lsn);
}

static void hold(struct stream *s)
{
	s->hold = true;
	s->want_check = true;
	s->retry_us = STREAM_RETRY_MIN_US;
}

/* The catalog is known to be right for everything received. */
static void release(struct stream *s)
{
	check(s->hold && s->nxids == 0);
	s->hold = false;
	s->reread = true;
	if (s->held_commit) {
		s->held_commit = false;
		cache_apply(s->cache, &s->apply.change);
		advance(s, s->held_lsn);
	}
	if (s->stage != STREAM_VERIFYING)
		return;
	s->stage = STREAM_ON;
	cache_turn_on(s->cache, s->catalog, atomic_load(&s->pos), &s->first.snapshot);
}

static void reach(struct stream *s)
{
	if (s->stage != STREAM_REACHING)
		return;
	if (atomic_load(&s->pos) < s->first.insert) {
		s->want_nudge = true;
		return;
	}
	s->stage = STREAM_VERIFYING;
	hold(s);
}

/* --- received transactions --- */

static int remember(struct stream *s, uint32_t xid, struct err *err)
{
	if (s->nxids == s->capxids) {
		size_t cap = s->capxids == 0 ? 256 : s->capxids * 2;
		uint32_t *grown = realloc(s->xids, cap * sizeof(*grown));

		if (grown == NULL)
			return err_set(err, "no memory for received transactions");
		s->xids = grown;
		s->capxids = cap;
	}
	s->xids[s->nxids++] = xid;
	return 0;
}

static void forget_completed(struct stream *s, const struct snapshot *snapshot)
{
	size_t kept = 0;

	for (size_t i = 0; i < s->nxids; i++) {
		if (!snapshot_completed(snapshot, s->xids[i]))
			s->xids[kept++] = s->xids[i];
	}
	s->nxids = kept;
}

static void note_changes(struct stream *s, const struct change *change)
{
	struct span database = span_str(s->database);
	uint64_t group = toplist_group(database);

	for (size_t i = 0; i < change->nrels; i++) {
		uint64_t id = toplist_id(group, change->rels[i].relid);
		const struct catalog_relation *rel;
		char name[256];

		if (toplist_count(s->changes, id, TOPLIST_CHANGES))
			continue;
		rel = s->catalog != NULL ? catalog_find_oid(s->catalog, change->rels[i].relid) : NULL;
		if (rel == NULL)
			continue;
		snprintf(name, sizeof(name), "%s.%s", rel->schema, rel->name);
		toplist_name(s->changes, id, database, span_str(name));
	}
}

/* The stream is ahead of visibility: what it brings may not be in the catalog that can be read now. So a suspicious transaction
 * is let through only when a snapshot that shows it has found the catalog unchanged, or a new one was loaded under such a
 * snapshot. All received ones have to be in it: fills under a new catalog must not miss changes that were resolved by the old. */
static int committed(struct stream *s, uint64_t lsn, struct err *err)
{
	struct change *change = &s->apply.change;
	bool covered = s->seen.xmax != 0 && snapshot_completed(&s->seen, change->xid);

	count(s->counters, feed_transactions);
	count_add(s->counters, COUNTER_feed_changes, (int64_t)change->nchanges);
	note_changes(s, change);
	if (!covered && remember(s, change->xid, err) != 0)
		return -1;
	/* What the columns are is not certain then. */
	if (apply_suspicious(&s->apply))
		change_rows_off(change);
	/* The fingerprint may come back to what it was (GRANT, REVOKE; CREATE, DROP), and what was filled in between would stay. */
	if (s->apply.ddl || (covered && apply_suspicious(&s->apply)))
		change->everything = true;
	if (!covered && (apply_suspicious(&s->apply) || s->nxids >= STREAM_XIDS_MAX)) {
		s->held_commit = true;
		s->held_lsn = lsn;
		hold(s);
		return 0;
	}
	cache_apply(s->cache, change);
	advance(s, lsn);
	return 0;
}

static int read_feed(struct stream *s, struct err *err)
{
	enum feed_event event;
	uint64_t lsn;

	if (feed_read(&s->feed, err) != 0)
		return -1;
	s->reread = false;
	for (unsigned i = 0; !s->hold; i++) {
		if (i == STREAM_BATCH) {
			s->reread = true;
			return 0;
		}
		if (feed_next(&s->feed, &s->apply, &event, &lsn, err) != 0)
			return -1;
		switch (event) {
		case FEED_NOTHING: return 0;
		case FEED_MESSAGE: break;
		case FEED_SUSPECT: hold(s); break;
		case FEED_KEEPALIVE:
			count(s->counters, feed_keepalives);
			advance(s, lsn);
			break;
		case FEED_COMMIT:
			if (committed(s, lsn, err) != 0)
				return -1;
			break;
		}
	}
	return 0;
}

/* --- answers of the control connection --- */

static void ask_again(struct stream *s, uint64_t now_us)
{
	s->ask_at_us = now_us + s->retry_us;
	s->retry_us = s->retry_us * 2 > STREAM_RETRY_MAX_US ? STREAM_RETRY_MAX_US : s->retry_us * 2;
}

static void see(struct stream *s, struct snapshot *snapshot)
{
	cache_confirm(s->cache, s->epoch, snapshot);
	forget_completed(s, snapshot);
	snapshot_free(&s->seen);
	s->seen = *snapshot;
	*snapshot = (struct snapshot){0};
}

/* When the catalog is looked at next without a reason: for the poll, and until tables count. */
static void poll_later(struct stream *s, uint64_t now_us)
{
	s->poll_at_us = now_us + s->catalog_poll_us;
	if (!s->published.waiting) {
		s->ripe_us = STREAM_RIPE_MIN_US;
		return;
	}
	if (s->catalog_poll_us == 0 || s->ripe_us < s->catalog_poll_us)
		s->poll_at_us = now_us + s->ripe_us;
	s->ripe_us = s->ripe_us * 2 > STREAM_RIPE_MAX_US ? STREAM_RIPE_MAX_US : s->ripe_us * 2;
}

static void use_catalog(struct stream *s, struct catalog *catalog)
{
	if (s->catalog != NULL)
		catalog_unref(s->catalog);
	s->catalog = catalog;
	s->apply.catalog = catalog;
	if (s->stage == STREAM_ON)
		cache_set_catalog(s->cache, catalog);
	if (s->stage == STREAM_LOADING) {
		s->stage = STREAM_NUDGING;
		s->want_nudge = true;
	}
}

static struct catalog *build(struct stream *s, const struct snapshot *snapshot, struct err *err)
{
	PGresult *const *parts = s->control.result;

	if (PQnfields(parts[SCHEMA_PUBLISHED]) == 3 && PQnfields(parts[SCHEMA_RELATIONS]) > 3 &&
	    published_note(&s->published, parts[SCHEMA_PUBLISHED], parts[SCHEMA_RELATIONS],
			   parts[SCHEMA_ANCESTORS], snapshot, err) != 0) {
		s->refused = true;
		return NULL;
	}
	return schema_build(parts, &s->published, err);
}

/* --- an answer about the catalog, and when it counts --- */

/* The state in the answer is read; *known_r: its fingerprint is one that all backends have known since before the question. */
static int take_state(struct stream *s, enum control_job job, bool *known_r, struct err *err)
{
	struct unsettled *u = &s->unsettled;
	const char *fingerprint;

	unsettled_clear(u);
	if (schema_state(s->control.result[SCHEMA_STATE], &u->snapshot, &u->ending, &fingerprint, err) != 0)
		return -1;
	u->fingerprint = strdup(fingerprint);
	if (u->fingerprint == NULL)
		return err_set(err, "no memory for a fingerprint");
	*known_r = s->settled != NULL && strcmp(s->settled, fingerprint) == 0;
	u->job = job;
	u->epoch = s->epoch;
	u->retry_us = STREAM_ENDING_MIN_US;
	return 0;
}

/* It goes on when all have ended. */
static bool settles(struct stream *s, uint64_t now_us)
{
	struct unsettled *u = &s->unsettled;

	if (u->ending.n > 0) {
		u->ask_at_us = now_us + u->retry_us;
		u->retry_us = u->retry_us * 2 > STREAM_ENDING_MAX_US ? STREAM_ENDING_MAX_US : u->retry_us * 2;
		return false;
	}
	free(s->settled);
	s->settled = u->fingerprint;
	u->fingerprint = NULL;
	s->epoch = u->epoch;
	return true;
}

static void check_settled(struct stream *s, uint64_t now_us)
{
	struct unsettled *u = &s->unsettled;

	if (u->changed) {
		s->hold = s->want_load = true;
		s->ask_at_us = now_us;
		s->retry_us = STREAM_RETRY_MIN_US;
		return;
	}
	see(s, &u->snapshot);
	if (!s->hold || s->want_check)
		return;
	if (s->nxids == 0) {
		release(s);
	} else {
		s->want_check = true;
		ask_again(s, now_us);
	}
}

static void load_settled(struct stream *s, uint64_t now_us)
{
	struct unsettled *u = &s->unsettled;

	if (u->catalog == NULL) {
		s->want_load = true;
		s->ask_at_us = now_us;
		return;
	}
	see(s, &u->snapshot);
	use_catalog(s, u->catalog);
	u->catalog = NULL;
	poll_later(s, now_us);
	if (!s->want_check)
		release(s);
}

static void go_on(struct stream *s, uint64_t now_us)
{
	struct unsettled *u = &s->unsettled;

	if (!settles(s, now_us))
		return;
	if (u->job == CONTROL_CHECK)
		check_settled(s, now_us);
	else
		load_settled(s, now_us);
	unsettled_clear(u);
}

static int ended(struct stream *s, uint64_t now_us, struct err *err)
{
	if (s->unsettled.job == CONTROL_IDLE)
		return 0;
	if (ending_read(s->control.result[0], &s->unsettled.ending, err) != 0)
		return -1;
	go_on(s, now_us);
	return 0;
}

static int checked(struct stream *s, uint64_t now_us, struct err *err)
{
	struct unsettled *u = &s->unsettled;
	bool known = false;

	if (take_state(s, CONTROL_CHECK, &known, err) != 0)
		return -1;
	/* A quarter of one core at most, however much suspicious traffic there is. */
	s->ask_at_us = now_us + 3 * (now_us - s->control.sent_us);
	u->changed = published_ripen(&s->published, &u->snapshot) ||
		     strcmp(u->fingerprint, catalog_fingerprint(s->catalog)) != 0;
	poll_later(s, now_us);
	s->hold |= u->changed;
	if (u->ending.n > 0)
		count(s->counters, catalog_unsettled);
	go_on(s, now_us);
	return 0;
}

/* What functions of PostgreSQL tell of the catalog (of publications, of bodies of functions) comes from what the backend knows. So while
 * something ends, the answer may be used only if the state is the one that all have known since before the question. */
static int loaded(struct stream *s, uint64_t now_us, struct err *err)
{
	struct unsettled *u = &s->unsettled;
	bool known = false;

	if (take_state(s, CONTROL_LOAD, &known, err) != 0)
		return -1;
	count(s->counters, catalog_loads);
	forget_completed(s, &u->snapshot);
	if (s->nxids > 0) {
		unsettled_clear(u);
		s->want_load = true;
		ask_again(s, now_us);
		return 0;
	}
	if (u->ending.n > 0)
		count(s->counters, catalog_unsettled);
	if (u->ending.n == 0 || known) {
		u->catalog = build(s, &u->snapshot, err);
		if (u->catalog == NULL)
			return -1;
	}
	go_on(s, now_us);
	return 0;
}

/* Changed rows wait for a snapshot that shows their transaction (refresh_in_place). */
static void confirmed(struct stream *s, const struct snapshot *snapshot, uint64_t now_us)
{
	unsigned before = cache_refreshing(s->cache), left;

	cache_confirm(s->cache, s->epoch, snapshot);
	left = cache_refreshing(s->cache);
	if (left == 0 || left < before)
		s->confirm_us = STREAM_CONFIRM_MIN_US;
	else if (s->confirm_us < STREAM_CONFIRM_MAX_US)
		s->confirm_us *= 2;
	s->confirm_at_us = now_us + s->confirm_us;
}

static int probed(struct stream *s, uint64_t now_us, struct err *err)
{
	struct probe probe;

	if (probe_read(s->control.result[0], &probe, err) != 0)
		return -1;
	if (s->stage != STREAM_PROBING) {
		confirmed(s, &probe.snapshot, now_us);
		snapshot_free(&probe.snapshot);
		return 0;
	}
	snapshot_free(&s->first.snapshot);
	s->first = probe;
	s->first.insert = lsn_normalise(probe.insert, s->server.wal_block, s->server.wal_segment);
	s->stage = STREAM_REACHING;
	return 0;
}

static int answered(struct stream *s, enum control_job job, uint64_t now_us, struct err *err)
{
	switch (job) {
	case CONTROL_NUDGE:
		if (s->stage == STREAM_NUDGING)
			s->stage = STREAM_PROBING;
		return nudge_read(s->control.result[0], &s->nudge_lsn, err);
	case CONTROL_PROBE: return probed(s, now_us, err);
	case CONTROL_CHECK: return checked(s, now_us, err);
	case CONTROL_LOAD: return loaded(s, now_us, err);
	case CONTROL_ENDING: return ended(s, now_us, err);
	case CONTROL_IDLE: break;
	}
	return 0;
}

static int read_control(struct stream *s, struct err *err)
{
	enum control_job done;

	if (control_read(&s->control, &done, err) != 0)
		return -1;
	return done == CONTROL_IDLE ? 0 : answered(s, done, clock_us(), err);
}

/* --- what to ask next --- */

/* When the next flushing message may go; UINT64_MAX = not before something else happens. */
static uint64_t nudge_at(const struct stream *s)
{
	if (!s->want_nudge)
		return UINT64_MAX;
	/* One that has not come through yet cannot be helped by another: the stream is busy with something large. */
	if (atomic_load_explicit(&s->pos, memory_order_relaxed) <= s->nudge_lsn)
		return s->nudge_us + STREAM_NUDGE_LOST_US;
	return s->nudge_us + STREAM_NUDGE_GAP_US;
}

static bool polls(const struct stream *s)
{
	return s->catalog_poll_us != 0 || s->published.waiting;
}

static bool poll_due(const struct stream *s, uint64_t now_us)
{
	return s->stage == STREAM_ON && polls(s) && now_us >= s->poll_at_us;
}

static bool confirms(const struct stream *s)
{
	return s->stage == STREAM_ON && cache_refreshing(s->cache) > 0;
}

static enum control_job next_job(const struct stream *s, uint64_t now_us)
{
	bool settled = s->unsettled.job == CONTROL_IDLE;

	if (!settled && now_us >= s->unsettled.ask_at_us)
		return CONTROL_ENDING;
	if (settled && s->want_load && now_us >= s->ask_at_us)
		return CONTROL_LOAD;
	if (settled && s->want_check && now_us >= s->ask_at_us && s->catalog != NULL)
		return CONTROL_CHECK;
	if (now_us >= nudge_at(s))
		return CONTROL_NUDGE;
	if (s->stage == STREAM_PROBING || (confirms(s) && now_us >= s->confirm_at_us))
		return CONTROL_PROBE;
	return settled && poll_due(s, now_us) ? CONTROL_CHECK : CONTROL_IDLE;
}

static int ask(struct stream *s, uint64_t now_us, struct err *err)
{
	enum control_job job;

	if (s->control.job != CONTROL_IDLE)
		return 0;
	job = next_job(s, now_us);
	switch (job) {
	case CONTROL_IDLE: return 0;
	case CONTROL_LOAD: s->want_load = false; break;
	case CONTROL_CHECK: s->want_check = false; break;
	case CONTROL_NUDGE:
		s->want_nudge = false;
		s->nudge_us = now_us;
		count(s->counters, nudges);
		break;
	case CONTROL_PROBE:
	case CONTROL_ENDING: break;
	}
	s->epoch = cache_epoch(s->cache);
	return control_send(&s->control, job, now_us, err);
}

/* --- the round --- */

static void earlier(uint64_t *until, uint64_t t)
{
	if (t < *until)
		*until = t;
}

static struct timespec timeout(const struct stream *s, uint64_t now_us)
{
	uint64_t until = s->feed.feedback_us + FEED_FEEDBACK_US;

	if (s->control.job == CONTROL_IDLE) {
		bool settled = s->unsettled.job == CONTROL_IDLE;

		if (!settled)
			earlier(&until, s->unsettled.ask_at_us);
		if (settled && (s->want_load || s->want_check))
			earlier(&until, s->ask_at_us);
		earlier(&until, nudge_at(s));
		if (settled && s->stage == STREAM_ON && polls(s))
			earlier(&until, s->poll_at_us);
		if (confirms(s))
			earlier(&until, s->confirm_at_us);
	}
	if ((s->reread && !s->hold) || until < now_us)
		until = now_us;
	return (struct timespec){.tv_sec = (time_t)((until - now_us) / 1000000),
				 .tv_nsec = (long)((until - now_us) % 1000000 * 1000)};
}

static int drain(int wake_fd, struct err *err)
{
	uint64_t ignored;

	if (read(wake_fd, &ignored, sizeof(ignored)) < 0 && errno != EAGAIN && errno != EINTR)
		return err_set(err, "cannot read the wake-up: %s", strerror(errno));
	return 0;
}

static void take_wishes(struct stream *s)
{
	/* Before the flag: what was raised before the flag was seen is covered by the check that the flag starts. */
	uint64_t raised = atomic_load(&s->suspicions);

	if (atomic_exchange(&s->nudge_wanted, false))
		s->want_nudge = true;
	if (atomic_exchange(&s->suspected, false) && s->stage != STREAM_LOADING)
		hold(s);
	s->looking_into = raised;
}

int stream_round(struct stream *s, int wake_fd, struct err *err)
{
	uint64_t now_us = clock_us();
	struct timespec wait;
	bool unsent;

	take_wishes(s);
	if (!s->hold && s->stage == STREAM_ON)
		atomic_store(&s->looked_into, s->looking_into);
	reach(s);
	if (ask(s, now_us, err) != 0 ||
	    feed_feedback(&s->feed, atomic_load(&s->pos), now_us, &unsent, err) != 0)
		return -1;

	struct pollfd fds[3] = {
		{.fd = PQsocket(s->feed.conn),
		 .events = (short)((s->hold ? 0 : POLLIN) | POLLRDHUP | (unsent ? POLLOUT : 0))},
		{.fd = PQsocket(s->control.conn),
		 .events = (short)(POLLIN | (control_unsent(&s->control) ? POLLOUT : 0))},
		{.fd = wake_fd, .events = POLLIN},
	};
	wait = timeout(s, now_us);
	if (ppoll(fds, 3, &wait, NULL) < 0)
		return errno == EINTR ? 0 : err_set(err, "poll: %s", strerror(errno));
	if ((fds[2].revents & POLLIN) && drain(wake_fd, err) != 0)
		return -1;
	/* While on hold nothing is read, but the end of the connection must not go unnoticed. */
	if (s->hold && (fds[0].revents & (POLLRDHUP | POLLHUP | POLLERR | POLLNVAL)))
		return err_set(err, "stream lost: the server closed the connection");
	if (fds[1].revents != 0 && read_control(s, err) != 0)
		return -1;
	if (!s->hold && ((fds[0].revents & ~POLLOUT) || s->reread) && read_feed(s, err) != 0)
		return -1;
	return 0;
}
