#include "proxy/app.h"

#include "proxy/admin/console.h"
#include "proxy/admin/http.h"
#include "proxy/base/check.h"
#include "proxy/base/log.h"
#include "proxy/entrance.h"
#include "proxy/kin.h"
#include "proxy/manager.h"
#include "proxy/origins.h"
#include "proxy/prepare.h"
#include "proxy/reporting.h"
#include "proxy/net/resolve.h"
#include "proxy/session/cancel.h"
#include "proxy/session/census.h"
#include "proxy/session/image_ids.h"
#include "proxy/vacate.h"
#include "proxy/worker.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OFFLOAD_THREADS 2
#define OFFLOAD_QUEUE 4096
#define ASKER_THREADS 16 /* they wait nearly always */
#define WATCH_DRAIN_US 50000u
#define WATCH_CLOSE_US 1000u /* a round of the workers */
#define LEAVE_US 200000u     /* for handshakes under way when we stop to listen */
#define UPKEEP_US 500000u

struct app {
	struct config *cfg;		  /* counted */
	struct loop *loop;		  /* of the main thread: signals, stats, the console */
	struct offload *offload, *askers; /* of host.h */
	struct secrets *secrets;
	struct pools *pools;
	struct cancels *cancels;
	struct origins *origins;
	struct image_ids *image_ids;
	struct census *census;
	struct timer stats;
	struct timer upkeep;
	struct tls *client_tls, *server_tls;
	struct worker *workers[HOSTS_MAX];
	struct host *hosts[HOSTS_MAX];
	unsigned nworkers;
	atomic_uint nclients;
	struct entrance *entrance; /* NULL = nobody comes in any more */
	struct listener *kin;	   /* stays while we drain */
	struct acceptor *kin_door;
	struct kin kin_at;
	struct http *http;
	struct console *console;
	struct house *houses[HOSTS_MAX];
	struct reporting reporting;
	struct event *signals[4];
	struct timer drain;
	uint64_t drain_until_us;
	uint64_t leave_until_us;
	struct timer watchdog;
	bool draining;
	bool verbose; /* by the command line, which no reload changes */
	bool patient; /* it is the clients who decide when the drain ends */
};

/* --- TLS settings --- */

static bool same(const char *a, const char *b)
{
	return strcmp(a, b) == 0;
}

/* New settings for servers mean new server connections, so the old ones stay when nothing is different. Files may have
 * changed under the same name: with files they are always made anew. */
static int reload_server_tls(const struct app *app, const struct config *c, struct tls **tls_r,
			     struct err *err)
{
	const struct config *o = app->cfg;
	bool no_files = c->server_tls_ca_file[0] == '\0' && c->server_tls_cert_file[0] == '\0' &&
			c->server_tls_key_file[0] == '\0';

	if (no_files && c->server_tls_sslmode == o->server_tls_sslmode &&
	    same(c->server_tls_ca_file, o->server_tls_ca_file) &&
	    same(c->server_tls_cert_file, o->server_tls_cert_file) &&
	    same(c->server_tls_protocols, o->server_tls_protocols) &&
	    same(c->server_tls_ciphers, o->server_tls_ciphers) &&
	    same(c->server_tls13_ciphers, o->server_tls13_ciphers)) {
		*tls_r = app->server_tls != NULL ? tls_ref(app->server_tls) : NULL;
		return 0;
	}
	return prepare_server_tls(c, tls_r, err);
}

/* --- cancel requests of other processes --- */

static void accepted_kin(void *arg, int fd, bool is_unix)
{
	struct app *app = arg;

	(void)is_unix;
	worker_client(worker_emptiest(app->workers, app->nworkers), fd, DOOR_KIN);
}

static int hear_kin(struct app *app, struct err *err)
{
	app->kin = kin_listen(app->cfg, &app->kin_at);
	if (app->kin == NULL)
		return 0;
	app->kin_door = acceptor_new(app->loop, app->kin, accepted_kin, app, err);
	return app->kin_door != NULL ? 0 : -1;
}

/* --- signals --- */

static void log_notices(const struct config *cfg)
{
	for (unsigned i = 0; i < cfg->notice_count; i++)
		log_info(NULL, "configuration", F_STR("notice", cfg->notices[i]));
}

/* Takes over cfg, all or nothing: everything that can fail comes first. */
static int use_config(struct app *app, struct config *cfg, struct err *err)
{
	struct tls *client_tls = NULL, *server_tls = NULL;
	int log_fd;

	if (prepare_client_tls(cfg, &client_tls, err) != 0 ||
	    reload_server_tls(app, cfg, &server_tls, err) != 0 || prepare_log(cfg, &log_fd, err) != 0) {
		tls_unref(client_tls);
		tls_unref(server_tls);
		config_unref(cfg);
		return -1;
	}
	log_use(log_fd, prepare_log_level(cfg, app->verbose), cfg->log_format == LOG_FORMAT_JSON);
	log_notices(cfg);
	resolve_max_ttl(cfg->dns_max_ttl);
	origins_configure(app->origins, cfg);	      /* first: workers ask for what has moved */
	pools_configure(app->pools, cfg, server_tls); /* and pools: sessions look there */
	for (unsigned i = 0; i < app->nworkers; i++)
		worker_reload(app->workers[i], cfg, client_tls, server_tls);
	config_unref(app->cfg);
	tls_unref(app->client_tls);
	tls_unref(app->server_tls);
	app->cfg = cfg;
	if (app->entrance != NULL)
		entrance_tune(app->entrance, cfg);
	app->client_tls = client_tls;
	app->server_tls = server_tls;
	return 0;
}

static int load_again(struct app *app, struct err *err)
{
	struct config *cfg = NULL;

	manager_reloading();
	if (config_reload(app->cfg, &cfg, err) != 0 || use_config(app, cfg, err) != 0) {
		log_error(NULL, "reload refused, nothing changed", F_STR("reason", err->text));
		manager_ready("The last reload was refused: nothing changed");
		return -1;
	}
	log_info(NULL, "configuration reloaded");
	manager_ready("Serving");
	return 0;
}

static void reload(evutil_socket_t sig, short what, void *arg)
{
	struct err err;

	(void)sig;
	(void)what;
	load_again(arg, &err);
}

static void watch_drain(void *arg)
{
	struct app *app = arg;
	unsigned left = 0;

	if (loop_now_us(app->loop) >= app->leave_until_us && !entrance_close(&app->entrance)) {
		timer_set(app->loop, &app->drain, WATCH_CLOSE_US);
		return;
	}
	for (unsigned i = 0; i < app->nworkers; i++)
		left += worker_sessions(app->workers[i]);
	if ((left == 0 && app->entrance == NULL) || loop_now_us(app->loop) >= app->drain_until_us) {
		if (left > 0)
			log_warn(NULL, "closing clients that did not finish", F_INT("clients", left));
		loop_stop(app->loop);
		return;
	}
	timer_set(app->loop, &app->drain, WATCH_DRAIN_US);
}

/* With a shared port, the next process has the stats port, too. */
static void leave(struct app *app)
{
	entrance_leave(app->entrance);
	app->leave_until_us = loop_now_us(app->loop) + (app->cfg->so_reuseport ? LEAVE_US : LEAVE_US / 4);
	if (app->cfg->so_reuseport)
		http_free(&app->http);
}

/* No new clients; the old ones end with their transactions, or when they like (`patient`). */
static void drain(struct app *app, bool patient)
{
	uint64_t limit = app->cfg->drain_timeout;

	log_info(NULL, "shutting down", F_INT("clients", atomic_load(&app->nclients)));
	if (!app->draining)
		leave(app);
	app->draining = true;
	app->patient = patient;
	if (!patient)
		manager_stopping(limit);
	for (unsigned i = 0; i < app->nworkers && !patient; i++)
		worker_drain(app->workers[i], limit / 2);
	app->drain_until_us = patient ? UINT64_MAX : loop_now_us(app->loop) + limit;
	timer_set(app->loop, &app->drain, WATCH_DRAIN_US);
}

static void stop_now(struct app *app)
{
	log_info(NULL, "shutting down at once");
	loop_stop(app->loop);
}

/* SIGTERM and SIGINT: a second one ends all at once. */
static void terminate(evutil_socket_t sig, short what, void *arg)
{
	struct app *app = arg;

	(void)what;
	if ((app->draining && !app->patient) || sig == SIGQUIT)
		stop_now(app);
	else
		drain(app, false);
}

/* --- what the console may do --- */

static struct config *console_config(void *arg)
{
	return ((struct app *)arg)->cfg;
}

static int console_reload(void *arg, struct err *err)
{
	return load_again(arg, err);
}

static int console_set(void *arg, const char *key, const char *value, struct err *err)
{
	struct app *app = arg;
	struct config *cfg = NULL;

	if (config_with(app->cfg, key, value, &cfg, err) != 0)
		return -1;
	return use_config(app, cfg, err);
}

static void console_shutdown(void *arg, enum control_shutdown how)
{
	if (how == SHUTDOWN_NOW)
		stop_now(arg);
	else
		drain(arg, how == SHUTDOWN_CLIENTS);
}

static bool console_stopping(void *arg)
{
	return ((struct app *)arg)->draining;
}

static struct vacate leaving(const struct app *app)
{
	return (struct vacate){app->pools, app->origins, app->census, app->workers, app->nworkers};
}

static void console_leave(void *arg, const char *database)
{
	struct vacate v = leaving(arg);

	vacate_database(&v, database);
}

static void start_console(struct app *app)
{
	struct console_parts parts = {.loop = app->loop,
				      .houses = app->houses,
				      .nhouses = app->nworkers,
				      .pools = app->pools,
				      .cancels = app->cancels,
				      .report = reporting_source(&app->reporting),
				      .control = {.arg = app,
						  .config = console_config,
						  .reload = console_reload,
						  .set = console_set,
						  .shutdown = console_shutdown,
						  .stopping = console_stopping,
						  .leave = console_leave}};

	for (unsigned i = 0; i < app->nworkers; i++)
		app->houses[i] = worker_house(app->workers[i]);
	app->console = console_new(&parts);
}

/* In a worker. */
static void to_console(void *arg, struct console_guest *guest)
{
	console_take(((struct app *)arg)->console, guest);
}

static int catch_signals(struct app *app, struct err *err)
{
	static const int numbers[] = {SIGHUP, SIGTERM, SIGINT, SIGQUIT};

	for (unsigned i = 0; i < 4; i++) {
		app->signals[i] =
			evsignal_new(loop_base(app->loop), numbers[i], i == 0 ? reload : terminate, app);
		if (app->signals[i] == NULL || event_add(app->signals[i], NULL) != 0)
			return err_set(err, "cannot catch signals");
	}
	return 0;
}

/* --- making and running --- */

static struct origin *origin_of(void *arg, const char *database)
{
	struct app *app = arg;

	return origins_get(app->origins, database);
}

static bool origin_current(void *arg, struct config *cfg, const char *database, struct origin *origin)
{
	(void)arg;
	return !origin_retired(origin) && origins_current(cfg, database, origin);
}

static void origin_put(void *arg, struct origin *origin)
{
	struct app *app = arg;

	origins_put(app->origins, origin);
}

static bool vacate(void *arg, const struct pool_target *where, const char *dbname)
{
	struct vacate v = leaving(arg);

	return vacate_server(&v, where, dbname);
}

static int make_workers(struct app *app, struct err *err)
{
	struct house model = {
		.config = app->cfg,
		.client_tls = app->client_tls,
		.server_tls = app->server_tls,
		.pools = app->pools,
		.cancels = app->cancels,
		.image_ids = app->image_ids,
		.census = app->census,
		.nclients = &app->nclients,
		.origin_of = origin_of,
		.origin_current = origin_current,
		.origin_put = origin_put,
		.vacate = vacate,
		.console = to_console,
		.app = app,
		.kin = app->kin_at,
		.host = {.offload = app->offload, .askers = app->askers, .secrets = app->secrets}};

	for (unsigned i = 0; i < app->nworkers; i++) {
		app->workers[i] = worker_new(&model, i, err);
		if (app->workers[i] == NULL)
			return -1;
		app->hosts[i] = worker_host(app->workers[i]);
	}
	return 0;
}

/* log_stats: totals, once in stats_period. */
static void log_stats(void *arg)
{
	struct app *app = arg;
	struct report_source source = reporting_source(&app->reporting);
	int64_t sum[NCOUNTERS] = {0};

	timer_set(app->loop, &app->stats, app->cfg->stats_period);
	if (!app->cfg->log_stats)
		return;
	source.counters(source.arg, sum);
	log_info(NULL, "stats", F_INT("clients", atomic_load(&app->nclients)),
		 F_INT("transactions", sum[COUNTER_transactions]),
		 F_INT("statements", sum[COUNTER_statements]), F_INT("hits", sum[COUNTER_cache_hits]),
		 F_INT("misses", sum[COUNTER_cache_misses]), F_INT("waits", sum[COUNTER_waits]),
		 F_US("wait", sum[COUNTER_wait_us]), F_INT("bytes_sent", sum[COUNTER_bytes_sent]));
}

static void new_settings(void *arg, const char *database)
{
	struct app *app = arg;
	struct log_who who = {.kind = "feed", .database = database};

	log_info(&who, "settings of new sessions have changed, server connections are replaced");
	pools_reconnect(app->pools, database);
}

static void upkeep(void *arg)
{
	struct app *app = arg;

	timer_set(app->loop, &app->upkeep, UPKEEP_US);
	origins_settings_changed(app->origins, new_settings, app);
	origins_sweep(app->origins);
}

/* The service manager hears of us as long as every worker goes round. */
static void watchdog(void *arg)
{
	struct app *app = arg;

	for (unsigned i = 0; i < app->nworkers; i++)
		if (!worker_alive(app->workers[i]))
			goto out;
	manager_alive();
out:
	timer_set(app->loop, &app->watchdog, manager_watchdog_us() / 3);
}

static unsigned worker_number(const struct config *cfg)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned n = cfg->workers > 0 ? (unsigned)cfg->workers : cores > 0 ? (unsigned)cores : 1;

	return n > HOSTS_MAX ? HOSTS_MAX : n;
}

static int start_stats(struct app *app, struct err *err)
{
	struct http_settings set = {.addr = app->cfg->stats_addr,
				    .port = app->cfg->stats_port,
				    .user = app->cfg->stats_user,
				    .password = app->cfg->stats_password,
				    .reuseport = app->cfg->so_reuseport};
	struct err why;

	app->reporting = (struct reporting){.workers = app->workers,
					    .nworkers = app->nworkers,
					    .pools = app->pools,
					    .origins = app->origins,
					    .draining = &app->draining};
	if (app->cfg->stats_port == 0)
		return 0;
	if (prepare_stats_tls(app->cfg, &set.tls, err) != 0)
		return -1;
	struct report_source source = reporting_source(&app->reporting);

	app->http = http_new(app->loop, &set, &source, &why);
	tls_unref(set.tls);
	return app->http != NULL ? 0 : config_blame(app->cfg, OPTION_stats_addr, &why, err);
}

struct app *app_new(struct config *cfg, bool verbose, struct err *err)
{
	struct app *app = check_alloc(sizeof *app);

	app->cfg = config_ref(cfg);
	app->verbose = verbose;
	app->nworkers = worker_number(cfg);
	resolve_max_ttl(cfg->dns_max_ttl);
	app->loop = loop_new(app, err);
	if (app->loop == NULL || prepare_client_tls(cfg, &app->client_tls, err) != 0 ||
	    prepare_server_tls(cfg, &app->server_tls, err) != 0)
		goto fail;
	app->offload = offload_new(OFFLOAD_THREADS, OFFLOAD_QUEUE, err);
	if (app->offload != NULL)
		app->askers = offload_new(ASKER_THREADS, OFFLOAD_QUEUE, err);
	if (app->askers == NULL)
		goto fail;
	app->secrets = secrets_new();
	app->cancels = cancels_new(cfg->peer_id);
	app->image_ids = image_ids_new();
	app->census = census_new();
	timer_init(&app->stats, log_stats, app);
	timer_init(&app->upkeep, upkeep, app);
	app->origins = origins_new(cfg);
	app->pools = pools_new(app->hosts, app->nworkers);
	timer_init(&app->drain, watch_drain, app);
	timer_init(&app->watchdog, watchdog, app);
	if ((cfg->so_reuseport || manager_sockets() > 0) && hear_kin(app, err) != 0)
		goto fail;
	if (make_workers(app, err) != 0)
		goto fail;
	app->entrance = entrance_new(cfg, app->workers, app->nworkers, err);
	if (app->entrance == NULL || start_stats(app, err) != 0 || catch_signals(app, err) != 0)
		goto fail;
	start_console(app);
	return app;
fail:
	app_free(&app);
	return NULL;
}

int app_run(struct app *app)
{
	struct err err;

	log_notices(app->cfg);
	for (unsigned i = 0; i < app->nworkers; i++)
		if (worker_start(app->workers[i], &err) != 0) {
			log_error(NULL, "start failed", F_STR("reason", err.text));
			return 1;
		}
	log_info(NULL, "pgweir is ready", F_STR("version", PGWEIR_VERSION),
		 F_STR("listen_addr", app->cfg->listen_addr), F_INT("port", app->cfg->listen_port),
		 F_INT("workers", app->nworkers),
		 F_INT("stats_port", app->http != NULL ? http_port(app->http) : 0));
	timer_set(app->loop, &app->stats, app->cfg->stats_period);
	timer_set(app->loop, &app->upkeep, UPKEEP_US);
	if (manager_watchdog_us() > 0)
		timer_set(app->loop, &app->watchdog, manager_watchdog_us() / 3);
	manager_ready("Serving");
	loop_run(app->loop);
	log_info(NULL, "pgweir has stopped");
	return 0;
}

void app_free(struct app **app_p)
{
	struct app *app = *app_p;

	if (app == NULL)
		return;
	acceptor_free(&app->kin_door);
	listener_free(&app->kin);
	if (app->pools != NULL)
		pools_close(app->pools);
	http_free(&app->http);
	if (app->console != NULL)
		console_close(app->console);
	for (unsigned i = 0; i < app->nworkers; i++)
		if (app->workers[i] != NULL)
			worker_stop(app->workers[i]);
	entrance_free(&app->entrance);
	/* Lookups and PBKDF2 that are under way post to the workers' loops. */
	offload_free(&app->askers);
	offload_free(&app->offload);
	for (unsigned i = 0; i < app->nworkers; i++)
		worker_free(&app->workers[i]);
	pools_free(&app->pools);
	origins_free(&app->origins);
	cancels_free(&app->cancels);
	image_ids_free(&app->image_ids);
	census_free(&app->census);
	secrets_free(&app->secrets);
	for (unsigned i = 0; i < 4; i++)
		if (app->signals[i] != NULL)
			event_free(app->signals[i]);
	timer_free(&app->drain);
	timer_free(&app->watchdog);
	timer_free(&app->stats);
	timer_free(&app->upkeep);
	loop_free(&app->loop);
	console_free(&app->console);
	tls_unref(app->client_tls);
	tls_unref(app->server_tls);
	config_unref(app->cfg);
	free(app);
	*app_p = NULL;
}
