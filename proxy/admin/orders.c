/* Commands that change something: PAUSE, RESUME, KILL, SUSPEND, RELOAD, SHUTDOWN, .. */
#include "proxy/admin/shows.h"

#include "proxy/backend/gates.h"
#include "proxy/base/clock.h"
#include "proxy/session/console.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define POLL_US 20000u

static struct config *config_of(struct run *run)
{
	return run->parts->control.config(run->parts->control.arg);
}

/* The database that is named, if any, is one that clients could ask for. Else the run has failed. */
static bool database_is_known(struct run *run)
{
	const char *name = run_database(run);

	if (name == NULL)
		return true;
	if (console_name(name)) {
		run_fail(run, "0A000", "the console's own database cannot be part of %s",
			 run->parsed.command->words);
		return false;
	}
	if (config_database(config_of(run), name) == NULL) {
		run_fail(run, "3D000", "no such database: %s", name);
		return false;
	}
	return true;
}

static bool stopped(struct run *run)
{
	const struct control *c = &run->parts->control;

	if (pools_paused(run->parts->pools, NULL) || pools_suspended(run->parts->pools)) {
		run_fail(run, "55000", "already suspended or paused");
		return true;
	}
	if (c->stopping(c->arg)) {
		run_fail(run, "55000", "the process is shutting down");
		return true;
	}
	return false;
}

/* --- PAUSE --- */

static void close_idle(struct house *h, const struct round_order *order, struct round_part *part)
{
	(void)order;
	(void)part;
	pools_tick(h->pools, &h->host);
}

static void undo_pause(struct run *run)
{
	pools_resume(run->parts->pools, run_database(run));
}

static void watch_pause(void *arg)
{
	struct run *run = arg;

	if (!pools_paused(run->parts->pools, run_database(run)))
		run_fail(run, "57014",
			 "the pause was ended, by RESUME or with the console that had begun it");
	else if (pools_backends(run->parts->pools, run_database(run), false) == 0)
		run_done(run);
	else
		run_later(run, watch_pause, POLL_US);
}

static void pause_told(struct run *run, struct round *r)
{
	(void)r;
	watch_pause(run);
}

void do_pause(struct run *run)
{
	struct round_order order = {.work = close_idle};

	if (!database_is_known(run) || stopped(run))
		return;
	/* Of a database that is paused already only the end of its transactions is waited for. */
	if (pools_pause(run->parts->pools, run_database(run)))
		run->undo = undo_pause;
	run_round(run, &order, pause_told);
}

/* --- RESUME --- */

static void set_suspended(struct house *h, const struct round_order *order, struct round_part *part)
{
	(void)part;
	roster_suspend(h, order->on);
}

static void resume_told(struct run *run, struct round *r)
{
	(void)r;
	run_done(run);
}

void do_resume(struct run *run)
{
	struct round_order order = {.work = set_suspended, .on = false};
	const struct control *c = &run->parts->control;
	const char *name = run_database(run);
	bool was = false;

	if (!database_is_known(run))
		return;
	if (c->stopping(c->arg)) {
		run_fail(run, "55000", "the process is shutting down");
		return;
	}
	was = pools_resume(run->parts->pools, name);
	if (name == NULL && pools_suspend(run->parts->pools, false)) {
		run_round(run, &order, resume_told);
		return;
	}
	if (was)
		run_done(run);
	else if (name != NULL)
		run_fail(run, "55000", "database %s is not paused", name);
	else
		run_fail(run, "55000", "the process is not paused or suspended");
}

/* --- RECONNECT, WAIT_CLOSE --- */

void do_reconnect(struct run *run)
{
	struct round_order order = {.work = close_idle};

	if (!database_is_known(run))
		return;
	pools_reconnect(run->parts->pools, run_database(run));
	run_round(run, &order, resume_told);
}

static void count_old(struct house *h, const struct round_order *order, struct round_part *part)
{
	roster_servers(&h->host, false, &part->rows);
	for (size_t i = 0; i < part->rows.n; i++) {
		const struct socket_row *row = &part->rows.rows[i];

		if (row->close_needed &&
		    (order->database == NULL ||
		     strncmp(row->database, order->database, ROSTER_NAME - 1) == 0)) /* rows' names are cut */
			part->number++;
	}
}

static void ask_old(void *arg);

static void have_old(struct run *run, struct round *r)
{
	if (r->missing == 0 && round_number(r) == 0)
		run_done(run);
	else
		run_later(run, ask_old, POLL_US * 5);
}

static void ask_old(void *arg)
{
	struct run *run = arg;
	struct round_order order = {.work = count_old, .database = run_database(run)};

	run_round(run, &order, have_old);
}

void do_wait_close(struct run *run)
{
	if (database_is_known(run))
		ask_old(run);
}

/* --- KILL, KILL_CLIENT --- */

static void kill_clients(struct house *h, const struct round_order *order, struct round_part *part)
{
	part->number = roster_kill(h, order->database, order->id, order->why);
	if (order->id == 0)
		pools_tick(h->pools, &h->host);
}

void do_kill(struct run *run)
{
	struct round_order order = {.work = kill_clients,
				    .database = run_database(run),
				    .why = "terminating connection due to administrator command"};

	if (!database_is_known(run) || stopped(run))
		return;
	pools_pause(run->parts->pools, run_database(run));
	run_round(run, &order, resume_told);
	if (run_database(run) != NULL)
		run->parts->control.leave(run->parts->control.arg, run_database(run));
}

static void have_killed(struct run *run, struct round *r)
{
	if (round_number(r) == 0 && r->missing == 0)
		run_fail(run, "42704", "client not found");
	else
		run_done(run);
}

void do_kill_client(struct run *run)
{
	struct round_order order = {.work = kill_clients, .why = "admin forced disconnect"};

	order.id = strtoull(run->parsed.arg[0], NULL, 10);
	if (order.id == 0) {
		run_fail(run, "42704", "client not found");
		return;
	}
	run_round(run, &order, have_killed);
}

/* --- SUSPEND --- */

static void count_busy(struct house *h, const struct round_order *order, struct round_part *part)
{
	part->number = roster_busy(h, order->on);
}

static void ask_busy(void *arg);

static void have_busy(struct run *run, struct round *r)
{
	/* After suspend_timeout those that were still busy have been closed. */
	if (round_number(r) == 0 || r->order.on)
		run_done(run);
	else
		run_later(run, ask_busy, POLL_US);
}

static void ask_busy(void *arg)
{
	struct run *run = arg;
	struct round_order order = {.work = count_busy, .on = clock_us() >= run->until_us};

	run_round(run, &order, have_busy);
}

static void suspend_told(struct run *run, struct round *r)
{
	(void)r;
	ask_busy(run);
}

static void undo_suspend(struct run *run)
{
	struct round_order order = {.work = set_suspended, .on = false};

	pools_suspend(run->parts->pools, false);
	round_start(run->parts, &order, NULL, NULL);
}

void do_suspend(struct run *run)
{
	struct round_order order = {.work = set_suspended, .on = true};

	if (stopped(run))
		return;
	if (pools_paused_count(run->parts->pools) > 0) {
		run_fail(run, "55000", "cannot suspend with paused databases");
		return;
	}
	pools_suspend(run->parts->pools, true);
	run->undo = undo_suspend;
	run->until_us = clock_us() + config_of(run)->suspend_timeout;
	run_round(run, &order, suspend_told);
}

/* --- the rest --- */

void do_enable(struct run *run)
{
	if (!database_is_known(run))
		return;
	pools_disable(run->parts->pools, run_database(run), false);
	run_done(run);
}

void do_disable(struct run *run)
{
	if (!database_is_known(run))
		return;
	pools_disable(run->parts->pools, run_database(run), true);
	run_done(run);
}

void do_reload(struct run *run)
{
	const struct control *c = &run->parts->control;
	struct err err = {0};

	if (c->reload(c->arg, &err) != 0)
		run_fail(run, "F0000", "%s", err.text);
	else
		run_done(run);
}

void do_shutdown(struct run *run)
{
	const struct control *c = &run->parts->control;
	const char *word = run->parsed.arg[0];

	c->shutdown(c->arg, word == NULL				? SHUTDOWN_NOW
			    : strcasecmp(word, "WAIT_FOR_CLIENTS") == 0 ? SHUTDOWN_CLIENTS
									: SHUTDOWN_SERVERS);
	run_done(run);
}

void do_set(struct run *run)
{
	const struct control *c = &run->parts->control;
	const char *key = run->parsed.arg[0], *value = run->parsed.arg[1];
	const struct config_option *option;
	struct err err = {0};

	if (fake_param(key) != NULL) {
		run_notice(run, "NOTICE", "SET ignored");
		run_done(run);
		return;
	}
	if (!run->admin) {
		run_fail(run, "42501", "permission denied: SET is for admin_users only");
		return;
	}
	log_info(&run->who, "console command", F_STR("command", "SET"), F_STR("argument", key));
	if (c->set(c->arg, key, value, &err) != 0) {
		run_fail(run, "22023", "%s", err.text);
		return;
	}
	option = config_option(key, CONFIG_GLOBAL);
	snprintf(run->tag, sizeof run->tag, "SET %.40s=%.60s", key,
		 option != NULL && option->kind == CONFIG_SECRET ? "***" : value);
	run_done(run);
}

void do_begin(struct run *run)
{
	*run->transaction = 'T';
	run_done(run);
}

void do_commit(struct run *run)
{
	if (*run->transaction == 'E')
		snprintf(run->tag, sizeof run->tag, "ROLLBACK");
	*run->transaction = 'I';
	run_done(run);
}

void do_rollback(struct run *run)
{
	*run->transaction = 'I';
	run_done(run);
}

void do_nothing(struct run *run)
{
	run_done(run);
}
