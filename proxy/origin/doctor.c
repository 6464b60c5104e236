#include "proxy/origin/doctor.h"

#include "proxy/base/clock.h"
#include "proxy/origin/doctor_private.h"
#include "proxy/origin/feed.h"
#include "proxy/origin/preflight.h"
#include "proxy/origin/setup.h"
#include "protocol/hooks.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VERSION_TESTED 18

void doctor_say(struct doctor *d, enum doctor_level level, const char *fix, const char *fmt, ...)
{
	struct doctor_finding finding = {.level = level, .fix = fix != NULL ? fix : ""};
	char text[640];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	finding.text = text;
	if (level > d->worst)
		d->worst = level;
	d->say(d->arg, &finding);
}

struct link_wait doctor_wait(void)
{
	return (struct link_wait){.wake_fd = -1, .until_us = clock_us() + DOCTOR_ANSWER_US};
}

static struct link_target target_of(const struct origin_settings *set, bool replication)
{
	struct link_target target = origin_target(set, "pgweir doctor");

	target.attrs = set->several ? "primary" : NULL;
	target.replication = replication;
	return target;
}

static struct link_wait wait_to_connect(const struct origin_settings *set)
{
	uint64_t for_us =
		set->connect_timeout_s > 0 ? (uint64_t)set->connect_timeout_s * 1000000 : DOCTOR_ANSWER_US;

	return (struct link_wait){.wake_fd = -1, .until_us = clock_us() + for_us};
}

/* --- the server --- */

static const char server_sql[] =
	"SELECT current_setting('server_version'), pg_encoding_to_char(encoding), pg_is_in_recovery(),"
	" current_setting('wal_level'), current_setting('max_wal_senders')::int, (SELECT count(*) FROM pg_stat_replication),"
	" current_setting('max_replication_slots')::int, (SELECT count(*) FROM pg_replication_slots),"
	" (SELECT has_function_privilege(oid, 'EXECUTE') FROM pg_proc WHERE proname = 'pg_logical_emit_message'"
	" AND pronamespace = 'pg_catalog'::regnamespace AND proargtypes[2] = 'text'::regtype),"
	" has_function_privilege('pg_control_system()', 'EXECUTE')"
	" FROM pg_database WHERE datname = current_database()";

enum server_column {
	VERSION,
	ENCODING,
	RECOVERY,
	WAL_LEVEL,
	SENDERS,
	SENDERS_USED,
	SLOTS,
	SLOTS_USED,
	EMIT,
	CONTROL,
	NCOLUMNS
};

static void judge_version(struct doctor *d, int version, const char *text)
{
	if (version / 10000 < HOOKS_VERSION_MIN)
		doctor_say(d, DOCTOR_ERROR, "upgrade the server",
			   "PostgreSQL %s is too old: pgweir needs %d or later", text, HOOKS_VERSION_MIN);
	else if (version / 10000 > VERSION_TESTED)
		doctor_say(d, DOCTOR_NOTE, NULL, "PostgreSQL %s; pgweir is tested with PostgreSQL %d to %d",
			   text, HOOKS_VERSION_MIN, VERSION_TESTED);
	else
		doctor_say(d, DOCTOR_OK, NULL, "PostgreSQL %s", text);
}

static void judge_free(struct doctor *d, const char *setting, const char *of, const char *used)
{
	char fix[128];

	snprintf(fix, sizeof(fix), "raise %s (now %s) and restart the server", setting, of);
	if (atoi(used) >= atoi(of))
		doctor_say(d, DOCTOR_ERROR, fix,
			   "%s: all %s are in use; each pgweir needs one for each database", setting, of);
	else
		doctor_say(d, DOCTOR_OK, NULL, "%s: %d of %s are free", setting, atoi(of) - atoi(used), of);
}

static bool yes(const PGresult *r, enum server_column column)
{
	return *PQgetvalue(r, 0, column) == 't';
}

static void judge_server(struct doctor *d, int version, const PGresult *r)
{
	judge_version(d, version, PQgetvalue(r, 0, VERSION));
	doctor_say(d, strcmp(PQgetvalue(r, 0, ENCODING), "SQL_ASCII") == 0 ? DOCTOR_NOTE : DOCTOR_OK, NULL,
		   "encoding %s; clients with another client_encoding pass through",
		   PQgetvalue(r, 0, ENCODING));
	if (yes(r, RECOVERY))
		doctor_say(d, DOCTOR_ERROR, "point the database's host at the primary",
			   "the server is in recovery: the cache needs the primary");
	if (strcmp(PQgetvalue(r, 0, WAL_LEVEL), "logical") != 0)
		doctor_say(
			d, DOCTOR_ERROR,
			"ALTER SYSTEM SET wal_level = 'logical'; and restart the server (managed services have a parameter for it)",
			"wal_level is %s", PQgetvalue(r, 0, WAL_LEVEL));
	else
		doctor_say(d, DOCTOR_OK, NULL, "wal_level is logical");
	/* pg_stat_replication shows other roles' rows to everyone, without details. */
	judge_free(d, "max_wal_senders", PQgetvalue(r, 0, SENDERS), PQgetvalue(r, 0, SENDERS_USED));
	judge_free(d, "max_replication_slots", PQgetvalue(r, 0, SLOTS), PQgetvalue(r, 0, SLOTS_USED));
	if (!yes(r, EMIT))
		doctor_say(
			d, DOCTOR_ERROR,
			version < 170000
				? "GRANT EXECUTE ON FUNCTION pg_logical_emit_message(boolean, text, text) TO the role"
				: "GRANT EXECUTE ON FUNCTION pg_logical_emit_message(boolean, text, text, boolean) TO the role",
			"the role may not call pg_logical_emit_message");
	if (!yes(r, CONTROL))
		doctor_say(d, DOCTOR_ERROR, "GRANT EXECUTE ON FUNCTION pg_control_system() TO the role",
			   "the role may not call pg_control_system");
}

static void examine_server(struct doctor *d, PGconn *conn)
{
	struct link_wait wait = doctor_wait();
	PGresult *r;
	struct err err;

	if (link_query(conn, server_sql, &wait, &r, &err) != 0) {
		doctor_say(d, DOCTOR_ERROR, NULL, "cannot ask the server: %s", err.text);
		return;
	}
	if (PQntuples(r) == 1 && PQnfields(r) == NCOLUMNS)
		judge_server(d, PQserverVersion(conn), r);
	PQclear(r);
}

/* --- the event trigger --- */

static const char trigger_sql[] =
	"SELECT e.evtname, e.evtenabled, p.prosrc, p.prosecdef, n.nspname || '.' || p.proname,"
	" has_schema_privilege('public', n.oid, 'USAGE')"
	" FROM pg_event_trigger e JOIN pg_proc p ON p.oid = e.evtfoid JOIN pg_namespace n ON n.oid = p.pronamespace"
	" WHERE e.evtname IN ('pgweir_ddl', 'pgweir_drop', 'pgweir_detach') ORDER BY 1";

#define TRIGGER_FIX "pgweir setup --apply, or psql -f docs/setup.sql, as a superuser"

static bool trigger_current(const PGresult *r, int row)
{
	return *PQgetvalue(r, row, 3) == 't' && strcmp(PQgetvalue(r, row, 4), "pgweir.note_ddl") == 0 &&
	       setup_trigger_is(PQgetvalue(r, row, 2));
}

static void judge_triggers(struct doctor *d, const PGresult *r)
{
	enum doctor_level before = d->worst;

	d->worst = DOCTOR_OK;
	if (PQntuples(r) < 3)
		doctor_say(
			d, DOCTOR_WARNING, TRIGGER_FIX,
			"%s: changes of rights, and of tables made directly on the server, are noticed by polling (catalog_poll)",
			PQntuples(r) == 0 ? "there is no event trigger"
					  : "one of the three event triggers is missing");
	for (int i = 0; i < PQntuples(r); i++) {
		const char *name = PQgetvalue(r, i, 0);
		char fix[128];

		snprintf(fix, sizeof(fix), "ALTER EVENT TRIGGER %s ENABLE ALWAYS;", name);
		if (!trigger_current(r, i))
			doctor_say(d, DOCTOR_WARNING, TRIGGER_FIX,
				   "event trigger %s is not the one of this version", name);
		else if (*PQgetvalue(r, i, 1) != 'A')
			doctor_say(d, DOCTOR_WARNING, fix, "event trigger %s is not ENABLE ALWAYS", name);
	}
	if (d->worst == DOCTOR_OK)
		doctor_say(d, DOCTOR_OK, NULL, "the event triggers report changes of tables and rights");
	if (before > d->worst)
		d->worst = before;
}

static void examine_triggers(struct doctor *d, PGconn *conn)
{
	struct link_wait wait = doctor_wait();
	PGresult *r;
	struct err err;

	if (link_query(conn, trigger_sql, &wait, &r, &err) != 0) {
		doctor_say(d, DOCTOR_WARNING, NULL, "cannot look for the event trigger: %s", err.text);
		return;
	}
	judge_triggers(d, r);
	PQclear(r);
}

/* --- the stream: a replication connection and a temporary slot that is gone with it --- */

static void try_slot(struct doctor *d, const struct origin_settings *set, PGconn *conn)
{
	struct link_wait wait = doctor_wait();
	struct feed feed;
	struct err err;
	int rc;

	feed_init(&feed, set->pgoutput ? &feed_pgoutput : &feed_test_decoding, set->publication);
	if (feed_fits(&feed, conn, &err) != 0) {
		PQfinish(conn);
		doctor_say(d, DOCTOR_ERROR, "upgrade the server, or feed_plugin = test_decoding", "%s",
			   err.text);
		return;
	}
	rc = feed_slot_ask(&feed, conn, &err);
	if (rc == 0)
		rc = feed_slot_wait(&feed, &wait, &err);
	if (rc == 1) {
		doctor_say(d, DOCTOR_WARNING,
			   "end the transactions that have been open for long (pg_stat_activity)",
			   "a replication slot has to wait for transactions that are open on the server");
		wait.until_us = clock_us(); /* cancels it */
		feed_slot_wait(&feed, &wait, &err);
	} else if (rc != 0) {
		(void)preflight_slot(&err); /* a better text, if it knows one */
		doctor_say(d, DOCTOR_ERROR, NULL, "no replication slot: %s", err.text);
	} else {
		doctor_say(d, DOCTOR_OK, NULL, "%s may replicate, and the plugin %s is there", set->user,
			   feed.decoder->plugin);
	}
	feed_close(&feed);
}

static void examine_stream(struct doctor *d, const struct origin_settings *set)
{
	struct link_target feed = target_of(set, true);
	struct link_wait wait = wait_to_connect(set);
	char fix[160];
	PGconn *conn;
	struct err err;

	snprintf(
		fix, sizeof(fix),
		"ALTER ROLE \"%.64s\" REPLICATION; (pgweir setup prints it), and a line for it in pg_hba.conf",
		set->user);
	if (link_open(&feed, &wait, &conn, &err) != 0)
		doctor_say(d, DOCTOR_ERROR, fix, "no replication connection: %s", err.text);
	else
		try_slot(d, set, conn);
}

/* --- all of it --- */

void doctor_examine(struct doctor *d, const struct origin_settings *set)
{
	struct link_target control = target_of(set, false);
	struct link_wait wait = wait_to_connect(set);
	PGconn *conn;
	struct err err;

	if (link_open(&control, &wait, &conn, &err) != 0) {
		doctor_say(d, DOCTOR_ERROR,
			   "check host, port, feed_user, feed_password and the server's pg_hba.conf", "%s",
			   err.text);
		return;
	}
	examine_server(d, conn);
	if (d->worst < DOCTOR_ERROR)
		examine_stream(d, set);
	examine_triggers(d, conn);
	doctor_tables(d, set, conn);
}

int doctor_databases(const struct origin_settings *set, void (*fn)(void *arg, const char *database),
		     void *arg, struct err *err)
{
	struct link_target control = target_of(set, false);
	struct link_wait wait = wait_to_connect(set);
	PGresult *r;
	PGconn *conn;
	int rc;

	if (link_open(&control, &wait, &conn, err) != 0)
		return -1;
	wait = doctor_wait();
	rc = link_query(conn,
			"SELECT datname FROM pg_database WHERE datallowconn AND NOT datistemplate ORDER BY 1",
			&wait, &r, err);
	for (int i = 0; rc == 0 && i < PQntuples(r); i++)
		fn(arg, PQgetvalue(r, i, 0));
	if (rc == 0)
		PQclear(r);
	PQfinish(conn);
	return rc;
}
