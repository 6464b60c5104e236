/* The console's side of the protocol: simple and extended queries. */
#include "proxy/admin/console_private.h"
#include "proxy/admin/quote.h"
#include "proxy/admin/shows.h"

#include "proxy/base/check.h"
#include "proxy/base/log.h"
#include "proxy/session/cancel.h"
#include "protocol/frame.h"
#include "protocol/front.h"
#include "protocol/startup.h"
#include "protocol/write.h"

#include <stdlib.h>
#include <string.h>

#define ROWS_AT_ONCE 64

static struct buf *out(struct client *c)
{
	conn_flush_later(c->conn);
	return conn_out(c->conn);
}

void client_fatal(struct client *c, const char *sqlstate, const char *message)
{
	write_error(out(c), 'E', "FATAL", sqlstate, message, NULL, NULL);
	client_close(c, message);
}

/* The text may hold what the client has sent, cut somewhere. */
static void error(struct client *c, const struct err *err)
{
	struct buf text;

	buf_init(&text, 4 * sizeof err->text);
	quote_text(&text, err->text);
	buf_add_u8(&text, 0);
	write_error(out(c), 'E', "ERROR", err->sqlstate[0] != '\0' ? err->sqlstate : "XX000",
		    text.failed ? "out of memory" : (const char *)text.p, NULL, NULL);
	buf_free(&text);
	if (c->transaction == 'T')
		c->transaction = 'E';
}

static void errorf(struct client *c, const char *sqlstate, const char *text)
{
	struct err err;

	err_state(&err, sqlstate, "%s", text);
	error(c, &err);
}

static void ready(struct client *c)
{
	write_ready(out(c), c->transaction);
}

/* --- login --- */

static void cancel(void *owner)
{
	struct client *c = owner;

	if (c->running)
		run_cancel(c->run);
}

static void param(struct client *c, const char *name, const char *value)
{
	write_param_status(out(c), span_str(name), span_str(value));
}

void client_welcome(struct client *c)
{
	struct console_parts *parts = &c->console->parts;
	uint8_t secret[CANCEL_SECRET_LONG];
	unsigned n = c->version == PROTOCOL_3_2 ? CANCEL_SECRET_LONG : 4;

	write_auth(out(c), 0, span_of(NULL, 0));
	param(c, "server_version", CONSOLE_LIKE "/bouncer");
	param(c, "client_encoding", "UTF8");
	param(c, "server_encoding", "UTF8");
	param(c, "DateStyle", "ISO");
	param(c, "TimeZone", "GMT");
	param(c, "integer_datetimes", "on");
	param(c, "standard_conforming_strings", "on");
	param(c, "is_superuser", "on");
	c->number = cancels_add_other(parts->cancels, parts->loop, c, cancel, secret, n);
	write_backend_key(out(c), c->number, span_of(secret, n));
	ready(c);
}

/* --- the end of a command --- */

void client_free_query(struct client *c)
{
	free(c->query);
	c->query = NULL;
	c->nquery = c->query_at = 0;
}

static void drop_run(struct client *c)
{
	if (c->portal == NULL && c->run != NULL) {
		run_free(c->run);
		free(c->run);
	}
	c->run = NULL;
	c->portal = NULL;
	c->running = false;
}

static void failed(struct client *c)
{
	error(c, &c->run->err);
	if (c->after == AFTER_QUERY) {
		client_free_query(c);
		ready(c);
	} else {
		c->skipping = true;
	}
	drop_run(c);
}

static void complete(struct client *c, const char *tag)
{
	size_t mark = write_begin(out(c), 'C');

	quote_text(conn_out(c->conn), tag); /* SET's has what the client has sent, cut somewhere */
	buf_add_u8(conn_out(c->conn), 0);
	write_end(conn_out(c->conn), mark);
}

/* Sends as much as the client takes. false = there is more, on_output goes on. */
static bool send_rows(struct client *c)
{
	struct run *run = c->run;
	const struct formats *formats = c->portal != NULL ? &c->portal->formats : NULL;
	uint32_t left = c->max_rows;
	bool end = run->table.columns == NULL;

	while (!end) {
		uint32_t n = left != 0 && left < ROWS_AT_ONCE ? left : ROWS_AT_ONCE;

		if (conn_full(c->conn))
			return false;
		end = table_write(&run->table, out(c), formats, n);
		if (left == 0)
			continue;
		left -= n;
		c->max_rows = left;
		if (left == 0 && !end) {
			size_t mark = write_begin(out(c), 's'); /* PortalSuspended */

			write_end(out(c), mark);
			drop_run(c);
			return true;
		}
	}
	complete(c, run->tag);
	drop_run(c);
	return true;
}

/* "SHOW" alone says nothing about rows, as PgBouncer's does not. */
static void run_ended(struct run *run, void *arg)
{
	struct client *c = arg;

	c->running = false;
	if (run->notices.len > 0)
		buf_add_span(out(c), buf_span(&run->notices));
	if (run->err.sqlstate[0] == '\0' && c->after == AFTER_QUERY && run->table.columns != NULL)
		table_describe(out(c), run->table.columns, NULL);
	client_step(c);
}

static void begin(struct client *c, struct parsed *parsed, enum after after)
{
	struct run *run = check_alloc(sizeof *run);

	c->console->commands++;
	run->parts = &c->console->parts;
	run->averages = c->console->averages;
	run->consoles = c->console->nclients;
	run->commands = c->console->commands;
	run->parsed = *parsed;
	run->admin = c->admin;
	run->who = client_who(c);
	run->transaction = &c->transaction;
	run->finished = run_ended;
	run->arg = c;
	c->run = run;
	c->running = true;
	c->after = after;
	if (c->portal != NULL)
		c->portal->run = run;
	run_begin(run);
}

/* A failed transaction takes nothing but its end. */
static bool refused(struct client *c, const struct parsed *p)
{
	if (c->transaction != 'E' || p->command->run == do_commit || p->command->run == do_rollback)
		return false;
	errorf(c, "25P02", "current transaction is aborted, commands ignored until end of transaction block");
	return true;
}

/* --- simple query --- */

static void query_next(struct client *c)
{
	struct span rest = span_of(c->query + c->query_at, c->nquery - c->query_at);
	struct parsed parsed;
	struct err err = {0};
	size_t used = 0;
	bool first = c->query_at == 0;

	switch (command_parse(rest, &parsed, &used, &err)) {
	case PARSED_EMPTY:
		if (first)
			write_empty_query(out(c));
		break;
	case PARSED_ERROR: error(c, &err); break;
	case PARSED_OK:
		c->query_at += used;
		if (refused(c, &parsed)) {
			parsed_free(&parsed);
			break;
		}
		c->max_rows = 0;
		begin(c, &parsed, AFTER_QUERY);
		return;
	}
	client_free_query(c);
	ready(c);
}

static void on_query(struct client *c, struct span body)
{
	struct span text;
	const char *why;

	if (front_query_decode(body, &text, &why) != 0) {
		client_fatal(c, "08P01", why);
		return;
	}
	named_remove(c, false, span_str(""));
	named_clear_portals(c);
	c->query = check_alloc(text.n + 1);
	memcpy(c->query, text.p, text.n);
	c->nquery = text.n;
	c->query_at = 0;
	query_next(c);
}

/* --- extended query --- */

static void fail(struct client *c, const char *sqlstate, const char *text)
{
	errorf(c, sqlstate, text);
	c->skipping = true;
}

/* The command of a stored text; NULL = it is empty. It has been parsed before, so it can be parsed again. */
static const struct verb *command_of(const char *text, struct parsed *parsed)
{
	struct err err;
	size_t used;

	if (command_parse(span_str(text), parsed, &used, &err) != PARSED_OK)
		return NULL;
	return parsed->command;
}

static void on_parse(struct client *c, struct span body)
{
	struct front_parse p;
	struct parsed parsed = {0}, second = {0};
	struct err err = {0};
	size_t used = 0, more = 0;
	const char *why;

	if (front_parse_decode(body, &p, &why) != 0) {
		client_fatal(c, "08P01", why);
		return;
	}
	if (p.name.n > 0 && named_find(c, false, p.name) != NULL) {
		fail(c, "42P05", "prepared statement already exists");
		return;
	}
	if (command_parse(p.query, &parsed, &used, &err) == PARSED_ERROR) {
		error(c, &err);
		c->skipping = true;
		return;
	}
	parsed_free(&parsed);
	if (used < p.query.n &&
	    command_parse(span_skip(p.query, used), &second, &more, &err) != PARSED_EMPTY) {
		parsed_free(&second);
		fail(c, "42601", "cannot insert multiple commands into a prepared statement");
		return;
	}
	if (named_add(c, false, p.name, p.query) == NULL)
		fail(c, "54000", "too many prepared statements");
	else
		write_parse_complete(out(c));
}

static int take_formats(const struct front_bind *b, struct formats *f)
{
	if (b->nresults > TABLE_COLUMNS || !front_bind_formats_known(b))
		return -1;
	f->n = b->nresults;
	for (uint16_t i = 0; i < f->n; i++)
		f->code[i] = (uint16_t)(b->result_formats.p[2 * i] << 8 | b->result_formats.p[2 * i + 1]);
	return 0;
}

static void on_bind(struct client *c, struct span body)
{
	struct front_bind b;
	struct named *stmt, *portal;
	struct formats formats = {0};
	struct parsed parsed = {0};
	const struct verb *command;
	const char *why;

	if (front_bind_decode(body, &b, &why) != 0) {
		client_fatal(c, "08P01", why);
		return;
	}
	stmt = named_find(c, false, b.stmt);
	if (stmt == NULL) {
		fail(c, "26000", "prepared statement does not exist");
		return;
	}
	if (b.nparams != 0) {
		fail(c, "08P01", "commands of the console have no parameters");
		return;
	}
	command = command_of(stmt->text, &parsed);
	parsed_free(&parsed);
	if (take_formats(&b, &formats) != 0 ||
	    (formats.n > 1 &&
	     (command == NULL || command->columns == NULL || formats.n != column_count(command->columns)))) {
		fail(c, "08P01", "bind message has result formats that do not fit the columns");
		return;
	}
	portal = named_add(c, true, b.portal, span_str(stmt->text));
	if (portal == NULL) {
		fail(c, "54000", "too many portals");
		return;
	}
	portal->formats = formats;
	write_bind_complete(out(c));
}

static void on_describe(struct client *c, struct span body)
{
	struct front_target t;
	struct parsed parsed = {0};
	const struct verb *command;
	struct named *n;
	const char *why;

	if (front_target_decode(body, &t, &why) != 0) {
		client_fatal(c, "08P01", why);
		return;
	}
	n = named_find(c, t.kind == 'P', t.name);
	if (n == NULL) {
		fail(c, t.kind == 'P' ? "34000" : "26000",
		     t.kind == 'P' ? "portal does not exist" : "prepared statement does not exist");
		return;
	}
	command = command_of(n->text, &parsed);
	parsed_free(&parsed);
	if (t.kind == 'S')
		write_param_description(out(c), NULL, 0);
	if (command == NULL || command->columns == NULL)
		write_no_data(out(c));
	else
		table_describe(out(c), command->columns, t.kind == 'P' ? &n->formats : NULL);
}

static void on_execute(struct client *c, struct span body)
{
	struct front_execute e;
	struct parsed parsed = {0};
	struct named *portal;
	const char *why;

	if (front_execute_decode(body, &e, &why) != 0) {
		client_fatal(c, "08P01", why);
		return;
	}
	portal = named_find(c, true, e.portal);
	if (portal == NULL) {
		fail(c, "34000", "portal does not exist");
		return;
	}
	c->max_rows = e.max_rows;
	if (portal->run != NULL) {
		/* The rows that are left. */
		c->portal = portal;
		c->run = portal->run;
		c->after = AFTER_EXECUTE;
		return;
	}
	if (command_of(portal->text, &parsed) == NULL) {
		write_empty_query(out(c));
		return;
	}
	if (refused(c, &parsed)) {
		parsed_free(&parsed);
		c->skipping = true;
		return;
	}
	c->portal = portal;
	begin(c, &parsed, AFTER_EXECUTE);
}

static void on_close_name(struct client *c, struct span body)
{
	struct front_target t;
	const char *why;

	if (front_target_decode(body, &t, &why) != 0) {
		client_fatal(c, "08P01", why);
		return;
	}
	named_remove(c, t.kind == 'P', t.name);
	write_close_complete(out(c));
}

static void on_sync(struct client *c)
{
	c->skipping = false;
	if (c->transaction == 'I')
		named_clear_portals(c);
	ready(c);
}

static void on_message(struct client *c, const struct frame *f)
{
	if (f->type == 'X') {
		client_close(c, "client said goodbye");
		return;
	}
	if (f->type == 'S') {
		on_sync(c);
		return;
	}
	if (c->skipping)
		return;
	switch (f->type) {
	case 'Q': on_query(c, f->body); break;
	case 'P': on_parse(c, f->body); break;
	case 'B': on_bind(c, f->body); break;
	case 'D': on_describe(c, f->body); break;
	case 'E': on_execute(c, f->body); break;
	case 'C': on_close_name(c, f->body); break;
	case 'H': conn_flush_later(c->conn); break;
	case 'd':
	case 'c':
	case 'f': break; /* of a COPY that never was: ignored, as PostgreSQL does */
	case 'F':
		errorf(c, "0A000", "the console has no functions");
		ready(c);
		break;
	default: client_fatal(c, "08P01", "unexpected message type"); break;
	}
}

/* --- the machine --- */

/* One thing; false = nothing can be done now. */
static bool step(struct client *c)
{
	struct frame f;
	size_t used;
	const char *why;

	if (c->running)
		return false;
	if (c->run != NULL) {
		if (c->run->err.sqlstate[0] != '\0') {
			failed(c);
			return true;
		}
		return send_rows(c);
	}
	if (c->query != NULL) {
		query_next(c);
		return true;
	}
	if (conn_full(c->conn))
		return false;
	switch (frame_next(conn_input(c->conn), TEXT_MAX, &f, &used, &why)) {
	case FRAME_MORE: return false;
	case FRAME_BAD: client_fatal(c, "08P01", why); return false;
	case FRAME_OK: break;
	}
	on_message(c, &f);
	if (!c->closed)
		conn_consume(c->conn, used);
	return true;
}

void client_step(struct client *c)
{
	if (c->in_step)
		return;
	c->in_step = true;
	while (!c->closed && step(c))
		continue;
	c->in_step = false;
}
