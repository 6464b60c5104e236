/* DROP DATABASE, ALTER DATABASE .. RENAME, CREATE DATABASE .. TEMPLATE: PostgreSQL refuses them while anybody is connected to the database, and
 * we are, though none of our clients is: by idle backends, and by the feed, whose slot is in the way at once. So these go first.
 * Source: dropdb(), createdb_failed and RenameDatabase() of PostgreSQL's dbcommands.c, which wait five seconds for connections to go. */
#include "proxy/session/session_private.h"

#include "proxy/session/house.h"

#define PATIENCE_US 5000000u

/* The database that must have no connections; NULL = none. Borrowed from `stmt`. */
static const char *vacates(const struct stmt *stmt)
{
	const struct facts *f = stmt != NULL ? stmt->facts : NULL;

	return f != NULL && f->nstmts == 1 && (f->effects & EFFECT_VACATES) != 0 ? f->stmts[0].name : NULL;
}

bool vacate_begin(struct session *s, const struct batch *batch)
{
	const char *dbname = vacates(batch->stmt);

	if (dbname == NULL || !s->house->vacate(s->house->app, s->target, dbname))
		return false;
	session_enter(s, SESSION_VACATE);
	return true;
}

static void go_on(struct session *s)
{
	s->pass_only = true;
	session_enter(s, SESSION_READY);
	session_run(s);
}

void vacate_look(struct session *s, uint64_t now)
{
	struct front_parse none;
	struct batch batch;
	struct stmt *stmt;
	const char *why, *dbname;
	bool waits = false;

	if (batch_scan(conn_input(s->client), (uint32_t)s->config->max_packet_size, &batch, &why) ==
	    BATCH_OK) {
		stmt = batch_stmt(s->house->memo, &batch, 0, &none);
		dbname = vacates(stmt);
		waits = dbname != NULL && now - s->since_us < PATIENCE_US &&
			!s->house->vacated(s->house->app, s->target, dbname);
		if (stmt != NULL)
			stmt_unref(stmt);
	}
	if (!waits)
		go_on(s);
}
