#include "proxy/origin/origin.h"
#include "proxy/base/check.h"
#include "proxy/base/clock.h"
#include "proxy/base/log.h"
#include "proxy/origin/preflight.h"
#include "proxy/origin/stream.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define RETRY_MIN_US 100000u
#define RETRY_MAX_US 5000000u
#define RETRY_REFUSED_US 30000000u /* the server has to be set up first */
#define ANSWER_US 10000000u	   /* longest wait for a small answer during the start */
#define SLOT_SLOW_US 5000000u	   /* creation of the slot takes longer than that: say why */

enum phase {
	PHASE_CONNECT,
	PHASE_SLOT,
	PHASE_CONTROL,
	PHASE_START,
	PHASE_STREAM,
	PHASE_RETRY,
	PHASE_STOP,
};

struct origin {
	struct origin_settings set; /* strings owned */
	struct cache *cache;	    /* counted */
	pthread_t thread;
	int wake_fd;
	atomic_bool stop, ended; /* asked to; done */
	atomic_bool retired;
	atomic_uint generation;
	_Atomic uint64_t rtt_us, lag_us; /* noted by the workers */
	struct counters counters;

	pthread_mutex_t lock; /* guards what readers see: */
	struct origin_state state;
	struct link_identity server;
	bool served; /* `server` is that of a running stream */

	/* the thread's own */
	struct stream stream;
	PGconn *conn;	  /* owned; to become the feed's */
	char host[256];	  /* of set.host, which may be a list: the one in use */
	unsigned host_at; /* its place there */
	struct err err;
	bool refused; /* trying again soon will not help */
	uint64_t retry_us;
	char logged[sizeof(((struct err *)0)->text)]; /* the last reason that was logged */
};

/* --- what others see --- */

static void enter(struct origin *o, const char *phase)
{
	pthread_mutex_lock(&o->lock);
	if (o->state.phase == NULL || strcmp(o->state.phase, phase) != 0) {
		o->state.phase = phase;
		o->state.since_us = clock_us();
	}
	pthread_mutex_unlock(&o->lock);
}

void origin_state(struct origin *o, struct origin_state *state_r)
{
	pthread_mutex_lock(&o->lock);
	*state_r = o->state;
	pthread_mutex_unlock(&o->lock);
	state_r->pos = atomic_load_explicit(&o->stream.pos, memory_order_relaxed);
	state_r->rtt_us = atomic_load_explicit(&o->rtt_us, memory_order_relaxed);
	state_r->lag_us = atomic_load_explicit(&o->lag_us, memory_order_relaxed);
}

/* Of several workers at once one may get lost: this is a mean for people. */
void origin_note_probe(struct origin *o, uint64_t took_us)
{
	uint64_t old = atomic_load_explicit(&o->rtt_us, memory_order_relaxed);

	atomic_store_explicit(&o->rtt_us, old == 0 ? took_us : (old * 7 + took_us) / 8, memory_order_relaxed);
}

void origin_note_lag(struct origin *o, uint64_t behind_us)
{
	atomic_store_explicit(&o->lag_us, behind_us, memory_order_relaxed);
}

uint32_t origin_generation(const struct origin *o)
{
	return atomic_load(&o->generation);
}

bool origin_server(struct origin *o, struct link_identity *server_r, uint32_t *generation_r)
{
	bool served;

	pthread_mutex_lock(&o->lock);
	served = o->served;
	if (served) {
		*server_r = o->server;
		*generation_r = atomic_load(&o->generation);
	}
	pthread_mutex_unlock(&o->lock);
	return served;
}

bool origin_identity(struct origin *o, uint64_t *system_id_r, uint32_t *timeline_r)
{
	struct link_identity server;
	uint32_t generation;

	if (!origin_server(o, &server, &generation))
		return false;
	*system_id_r = server.system_id;
	*timeline_r = server.timeline;
	return true;
}

void origin_counters(struct origin *o, int64_t sum[NCOUNTERS])
{
	counters_sum(sum, &o->counters);
}

const struct toplist *origin_changes(const struct origin *o)
{
	return o->stream.changes;
}

struct cache *origin_cache(struct origin *o)
{
	return o->cache;
}

const struct origin_settings *origin_settings(const struct origin *o)
{
	return &o->set;
}

static void wake(struct origin *o)
{
	uint64_t one = 1;
	ssize_t ignored = write(o->wake_fd, &one, sizeof(one));

	(void)ignored; /* full: the thread will wake anyway */
}

void origin_nudge(struct origin *o)
{
	if (!atomic_exchange(&o->stream.nudge_wanted, true))
		wake(o);
}

void origin_suspect_ddl(struct origin *o)
{
	atomic_store(&o->stream.suspected, true);
	atomic_fetch_add(&o->stream.suspicions, 1);
	wake(o);
}

bool origin_suspects(const struct origin *o)
{
	return atomic_load(&o->stream.suspicions) != atomic_load(&o->stream.looked_into);
}

/* --- the phases; each ends with the next one --- */

static struct link_wait waiting(const struct origin *o, uint64_t for_us)
{
	return (struct link_wait){
		.wake_fd = o->wake_fd, .stop = &o->stop, .until_us = for_us == 0 ? 0 : clock_us() + for_us};
}

struct link_target origin_target(const struct origin_settings *set, const char *name)
{
	return (struct link_target){
		.host = set->host,
		.port = set->port,
		.dbname = set->dbname,
		.user = set->user,
		.password = set->password,
		.sslmode = set->sslmode,
		.sslrootcert = set->sslrootcert,
		.sslcert = set->sslcert,
		.sslkey = set->sslkey,
		.name = name,
		.connect_timeout_s = set->connect_timeout_s,
	};
}

static struct link_target target(const struct origin *o, bool replication)
{
	struct link_target target = origin_target(&o->set, replication ? "pgweir feed" : "pgweir control");

	target.host = o->host;
	target.replication = replication;
	return target;
}

static uint64_t connect_us(const struct origin *o)
{
	return o->set.connect_timeout_s > 0 ? (uint64_t)o->set.connect_timeout_s * 1000000 : 15000000;
}

static enum phase refuse(struct origin *o)
{
	o->refused = true;
	return PHASE_RETRY;
}

/* The host at host_at, modulo their number. */
static void pick_host(struct origin *o)
{
	const char *list = o->set.host != NULL ? o->set.host : "", *at = list;
	unsigned n = 1;

	for (const char *c = list; *c != '\0'; c++)
		n += *c == ',';
	o->host_at %= n;
	for (unsigned i = 0; i < o->host_at; i++)
		at = strchr(at, ',') + 1;
	snprintf(o->host, sizeof(o->host), "%.*s", (int)strcspn(at, ","), at);
}

static enum phase connect_to_host(struct origin *o)
{
	struct link_target feed = target(o, true), control = target(o, false);
	struct link_wait wait = waiting(o, connect_us(o));
	struct link_identity *server = &o->stream.server;

	if (link_open(&feed, &wait, &o->conn, &o->err) != 0) {
		wait = waiting(o, connect_us(o));
		o->refused = preflight(&control, &wait, &o->err) == PREFLIGHT_REFUSED;
		return PHASE_RETRY;
	}
	wait = waiting(o, ANSWER_US);
	if (link_identify(o->conn, &wait, server, &o->err) != 0)
		return PHASE_RETRY;
	if (server->recovery) {
		err_set(&o->err, "the server is in recovery: the feed needs the primary");
		return PHASE_RETRY;
	}
	if (!server->logical) {
		err_set(&o->err, "wal_level is not logical: set wal_level = logical and restart the server");
		return refuse(o);
	}
	return PHASE_SLOT;
}

/* One host after the other, each with a time of its own, until one is the primary. */
static enum phase step_connect(struct origin *o)
{
	unsigned first = o->host_at;
	enum phase phase;

	for (;;) {
		pick_host(o);
		o->refused = false;
		phase = connect_to_host(o);
		if (phase != PHASE_RETRY || !o->set.several || atomic_load(&o->stop))
			return phase;
		PQfinish(o->conn);
		o->conn = NULL;
		o->host_at++;
		pick_host(o);
		if (o->host_at == first)
			return phase;
	}
}

static enum phase step_slot(struct origin *o)
{
	const struct log_who who = {.kind = "feed", .database = o->set.database};
	struct link_wait wait = waiting(o, SLOT_SLOW_US);
	PGconn *conn = o->conn;
	int rc;

	if (feed_fits(&o->stream.feed, conn, &o->err) != 0) {
		o->refused = true;
		return PHASE_RETRY;
	}
	o->conn = NULL;
	rc = feed_slot_ask(&o->stream.feed, conn, &o->err);
	if (rc == 0)
		rc = feed_slot_wait(&o->stream.feed, &wait, &o->err);
	if (rc == 1) {
		log_warn(
			&who,
			"the slot waits for transactions that are open on the server; nothing is cached until they end");
		wait = waiting(o, 0);
		rc = feed_slot_wait(&o->stream.feed, &wait, &o->err);
	}
	if (rc == 0)
		return PHASE_CONTROL;
	o->refused = preflight_slot(&o->err) == PREFLIGHT_REFUSED;
	return PHASE_RETRY;
}

static enum phase step_control(struct origin *o)
{
	struct link_identity *server = &o->stream.server, here;
	struct link_target control = target(o, false);
	struct link_wait wait = waiting(o, connect_us(o));

	control.host = server->host;
	control.port = server->port;
	control.address = server->address;
	if (link_open(&control, &wait, &o->conn, &o->err) != 0)
		return PHASE_RETRY;
	wait = waiting(o, ANSWER_US);
	if (link_identify(o->conn, &wait, &here, &o->err) != 0)
		return PHASE_RETRY;
	if (!link_identity_same(server, &here)) {
		err_set(&o->err, "feed and control connection reached different servers");
		return PHASE_RETRY;
	}
	PGconn *conn = o->conn;
	o->conn = NULL;
	return control_open(&o->stream.control, conn, o->set.pgoutput ? &schema_sql_published : &schema_sql,
			    &wait, &o->err) == 0
		       ? PHASE_START
		       : PHASE_RETRY;
}

static enum phase step_start(struct origin *o)
{
	struct link_wait wait = waiting(o, ANSWER_US);

	if (feed_start(&o->stream.feed, &wait, &o->err) != 0)
		return PHASE_RETRY;
	cache_set_wal_sizes(o->cache, o->stream.server.wal_block, o->stream.server.wal_segment);
	stream_begin(&o->stream, clock_us());
	pthread_mutex_lock(&o->lock);
	o->server = o->stream.server;
	o->served = true;
	pthread_mutex_unlock(&o->lock);
	return PHASE_STREAM;
}

static void streaming(struct origin *o, const struct log_who *who)
{
	static const char *const names[] = {
		[STREAM_LOADING] = "loading catalog", [STREAM_NUDGING] = "proving",
		[STREAM_PROBING] = "proving",	      [STREAM_REACHING] = "proving",
		[STREAM_VERIFYING] = "proving",	      [STREAM_ON] = "streaming",
	};

	enter(o, names[o->stream.stage]);
	if (o->stream.stage != STREAM_ON)
		return;
	o->retry_us = RETRY_MIN_US;
	o->logged[0] = '\0';
	log_info(who, "feed streams", F_STR("slot", o->stream.feed.slot),
		 F_LSN("position", atomic_load(&o->stream.pos)),
		 F_INT("relations", catalog_relations(o->stream.catalog)));
}

static enum phase step_stream(struct origin *o)
{
	const struct log_who who = {.kind = "feed", .database = o->set.database};
	enum stream_stage stage = STREAM_LOADING;

	streaming(o, &who);
	while (!atomic_load(&o->stop)) {
		if (stream_round(&o->stream, o->wake_fd, &o->err) != 0) {
			o->refused = o->stream.refused;
			return PHASE_RETRY;
		}
		if (o->stream.stage != stage) {
			stage = o->stream.stage;
			streaming(o, &who);
		}
	}
	return PHASE_STOP;
}

/* The cache goes off before anything else can be reached under the old identity. */
static void go_off(struct origin *o, const char *why)
{
	cache_turn_off(o->cache, why);
	pthread_mutex_lock(&o->lock);
	o->served = false;
	atomic_fetch_add(&o->generation, 1);
	pthread_mutex_unlock(&o->lock);
	stream_close(&o->stream);
	PQfinish(o->conn);
	o->conn = NULL;
}

static void tell(struct origin *o)
{
	const struct log_who who = {.kind = "feed", .database = o->set.database};

	pthread_mutex_lock(&o->lock);
	snprintf(o->state.last_error, sizeof(o->state.last_error), "%.255s", o->err.text);
	o->state.restarts++;
	pthread_mutex_unlock(&o->lock);
	if (strcmp(o->logged, o->err.text) == 0)
		return;
	snprintf(o->logged, sizeof(o->logged), "%s", o->err.text);
	log_warn(&who,
		 o->refused ? "no feed, nothing is cached" : "feed lost, nothing is cached until it is back",
		 F_STR("reason", o->err.text));
}

static enum phase step_retry(struct origin *o)
{
	uint64_t until, now, after_us = o->refused ? RETRY_REFUSED_US : o->retry_us;

	if (atomic_load(&o->stop))
		return PHASE_STOP; /* run() has more to do before it goes off */
	go_off(o, o->refused ? "the server is not set up for a feed" : "the feed is lost");
	count(&o->counters, feed_restarts);
	tell(o);
	o->refused = false;
	o->retry_us = o->retry_us * 2 > RETRY_MAX_US ? RETRY_MAX_US : o->retry_us * 2;
	until = clock_us() + after_us;
	while (!atomic_load(&o->stop) && (now = clock_us()) < until)
		link_sleep(o->wake_fd, until - now);
	return PHASE_CONNECT;
}

static const struct {
	const char *name;
	enum phase (*step)(struct origin *o);
} phases[] = {
	[PHASE_CONNECT] = {"connecting", step_connect},
	[PHASE_SLOT] = {"creating slot", step_slot},
	[PHASE_CONTROL] = {"connecting control", step_control},
	[PHASE_START] = {"starting stream", step_start},
	[PHASE_STREAM] = {"loading catalog", step_stream},
	[PHASE_RETRY] = {"waiting to retry", step_retry},
};

static void *run(void *arg)
{
	struct origin *o = arg;
	enum phase phase = PHASE_CONNECT;

	while (phase != PHASE_STOP && !atomic_load(&o->stop)) {
		enter(o, phases[phase].name);
		phase = phases[phase].step(o);
	}
	cache_turn_off(o->cache, "stopped"); /* first: the server may take a moment */
	if (atomic_load(&o->retired))
		feed_end(&o->stream.feed);
	go_off(o, "stopped");
	enter(o, "stopped");
	atomic_store(&o->ended, true);
	return NULL;
}

/* --- life --- */

static const char *copy(const char *s)
{
	char *c;

	if (s == NULL)
		return NULL;
	c = strdup(s);
	check(c != NULL);
	return c;
}

static void copy_settings(struct origin_settings *to, const struct origin_settings *from)
{
	*to = *from;
	to->database = copy(from->database);
	to->host = copy(from->host);
	to->port = copy(from->port);
	to->dbname = copy(from->dbname);
	to->user = copy(from->user);
	to->password = copy(from->password);
	to->sslmode = copy(from->sslmode);
	to->sslrootcert = copy(from->sslrootcert);
	to->sslcert = copy(from->sslcert);
	to->sslkey = copy(from->sslkey);
	to->publication = copy(from->publication);
}

static void free_settings(struct origin_settings *set)
{
	const char *strings[] = {set->database, set->host,     set->port,	set->dbname,
				 set->user,	set->password, set->sslmode,	set->sslrootcert,
				 set->sslcert,	set->sslkey,   set->publication};

	for (size_t i = 0; i < sizeof(strings) / sizeof(*strings); i++)
		free((void *)strings[i]);
}

static void free_origin(struct origin *o)
{
	stream_done(&o->stream);
	if (o->wake_fd >= 0)
		close(o->wake_fd);
	cache_unref(o->cache);
	pthread_mutex_destroy(&o->lock);
	free_settings(&o->set);
	free(o);
}

/* Signals are the main thread's. */
static int start_thread(struct origin *o)
{
	sigset_t all, before;
	int rc;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(&o->thread, NULL, run, o);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return rc;
}

struct origin *origin_start(const struct origin_settings *set, struct cache *cache, struct err *err)
{
	struct origin *o = check_alloc(sizeof(*o));
	int rc;

	copy_settings(&o->set, set);
	o->cache = cache_ref(cache);
	o->retry_us = RETRY_MIN_US;
	o->state.phase = phases[PHASE_CONNECT].name;
	o->state.since_us = clock_us();
	pthread_mutex_init(&o->lock, NULL);
	stream_init(&o->stream, cache, &o->counters, o->set.database != NULL ? o->set.database : "",
		    set->pgoutput ? o->set.publication : NULL, set->max_change_keys, set->catalog_poll_us);
	o->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	rc = o->wake_fd < 0 ? -1 : start_thread(o);
	if (rc == 0)
		return o;
	err_set(err, "cannot start the feed of %s", set->database != NULL ? set->database : "the database");
	free_origin(o);
	return NULL;
}

static void stop(struct origin *o)
{
	atomic_store(&o->stop, true);
	wake(o);
}

void origin_retire(struct origin *o)
{
	atomic_store(&o->retired, true);
	stop(o);
}

bool origin_retired(const struct origin *o)
{
	return atomic_load(&o->retired);
}

bool origin_ended(const struct origin *o)
{
	return atomic_load(&o->ended);
}

void origin_stop(struct origin **o)
{
	if (*o == NULL)
		return;
	stop(*o);
	pthread_join((*o)->thread, NULL);
	free_origin(*o);
	*o = NULL;
}
