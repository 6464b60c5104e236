#include "proxy/admin/run.h"

#include "proxy/base/check.h"
#include "proxy/base/log.h"
#include "proxy/session/console.h"
#include "protocol/write.h"

#include <stdarg.h>
#include <stdio.h>

#define NOTICES_MAX 65536u

const char *run_database(const struct run *run)
{
	return run->parsed.command->args == ARGS_KEY_VALUE ? NULL : run->parsed.arg[0];
}

static void note(const struct run *run)
{
	if (run->parsed.command->right != RIGHT_ADMIN)
		return;
	log_info(&run->who, "console command", F_STR("command", run->parsed.command->words),
		 F_STR("argument", run->parsed.arg[0] != NULL ? run->parsed.arg[0] : ""));
}

void run_begin(struct run *run)
{
	const struct verb *c = run->parsed.command;

	timer_init(&run->timer, NULL, run);
	buf_init(&run->notices, NOTICES_MAX);
	if (c->columns != NULL)
		table_init(&run->table, c->columns);
	snprintf(run->tag, sizeof run->tag, "%s", c->tag);
	if (c->right == RIGHT_ADMIN && !run->admin) {
		run_fail(run, "42501", "permission denied: %s is for admin_users only", c->words);
		return;
	}
	note(run);
	c->run(run);
}

static void leave(struct run *run)
{
	if (run->round != NULL)
		round_abandon(run->round);
	run->round = NULL;
	timer_free(&run->timer);
}

void run_free(struct run *run)
{
	leave(run);
	if (!run->done && run->undo != NULL)
		run->undo(run);
	table_free(&run->table);
	buf_free(&run->notices);
	parsed_free(&run->parsed);
}

static void finish(struct run *run)
{
	leave(run);
	check(!run->done);
	run->done = true;
	run->finished(run, run->arg);
}

bool run_database_unknown(const struct run *run)
{
	const struct control *c = &run->parts->control;
	const char *name = run_database(run);

	return name != NULL && !console_name(name) && config_database(c->config(c->arg), name) == NULL;
}

/* One that has left the file is shown as long as there is anything of it. */
static bool shows_nothing(const struct run *run)
{
	return run->parsed.command->args == ARGS_OPTIONAL_DB && run->parsed.command->columns != NULL &&
	       run->table.nrows == 0 && run_database_unknown(run);
}

void run_done(struct run *run)
{
	if (run->table.failed)
		run_fail(run, "53200", "the result is too large");
	else if (shows_nothing(run))
		run_fail(run, "3D000", "no such database: %s", run_database(run));
	else
		finish(run);
}

void run_fail(struct run *run, const char *sqlstate, const char *fmt, ...)
{
	char text[sizeof run->err.text];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	err_state(&run->err, sqlstate, "%s", text);
	finish(run);
}

void run_cancel(struct run *run)
{
	if (run->done)
		return;
	if (run->undo != NULL)
		run->undo(run);
	run->undo = NULL;
	run_fail(run, "57014", "canceling statement due to user request");
}

void run_notice(struct run *run, const char *severity, const char *fmt, ...)
{
	char text[4096];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	write_error(&run->notices, 'N', severity, strcmp(severity, "WARNING") == 0 ? "01000" : "00000", text,
		    NULL, NULL);
}

static void round_ended(struct round *r, void *arg)
{
	struct run *run = arg;

	run->round = NULL;
	if (r->missing > 0)
		run_notice(run, "WARNING", "%u of %u workers are busy and have not answered yet", r->missing,
			   r->nparts);
	run->then(run, r);
}

void run_round(struct run *run, const struct round_order *order,
	       void (*then)(struct run *run, struct round *r))
{
	check(run->round == NULL);
	run->then = then;
	run->round = round_start(run->parts, order, round_ended, run);
}

void run_later(struct run *run, void (*fn)(void *run), uint64_t after_us)
{
	timer_free(&run->timer);
	timer_init(&run->timer, fn, run);
	timer_set(run->parts->loop, &run->timer, after_us);
}
