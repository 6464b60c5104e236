/* DROP DATABASE, ALTER DATABASE .. RENAME, CREATE DATABASE .. TEMPLATE: PostgreSQL refuses them while anybody else is connected to the database,
 * and we are, though none of our clients is: by idle backends, and by the feed, whose slot is in the way at once. So these go first.
 * Source: dbcommands.c of PostgreSQL, and CountOtherDBBackends(), which waits five seconds for others to go. */
#include "proxy/session/session_private.h"

#include "proxy/session/house.h"

#include <string.h>

#define PATIENCE_US 5000000u

/* Is the statement one for which something of ours has yet to leave a database? */
static bool in_the_way(const struct session *s, const struct stmt *stmt)
{
	const struct facts *f = stmt != NULL ? stmt->facts : NULL;
	const char *dbname;

	if (f == NULL || f->nstmts != 1 || (f->effects & EFFECT_VACATES) == 0)
		return false;
	dbname = f->stmts[0].name;
	/* Nobody can do that to the database he is in. */
	return dbname != NULL && strcmp(dbname, s->target->dbname) != 0 &&
	       !s->house->vacate(s->house->app, s->target, dbname);
}

bool vacate_begin(struct session *s, const struct batch *batch)
{
	if (!in_the_way(s, batch->stmt))
		return false;
	session_enter(s, SESSION_VACATE);
	return true;
}

void vacate_look(struct session *s, uint64_t now)
{
	struct front_parse none;
	struct batch batch;
	struct stmt *stmt;
	const char *why;
	bool waits = false;

	if (now - s->since_us < PATIENCE_US &&
	    batch_scan(conn_input(s->client), (uint32_t)s->config->max_packet_size, &batch, &why) ==
		    BATCH_OK) {
		stmt = batch_stmt(s->house->memo, &batch, 0, &none);
		waits = in_the_way(s, stmt);
		if (stmt != NULL)
			stmt_unref(stmt);
	}
	if (waits)
		return;
	s->pass_only = true;
	session_enter(s, SESSION_READY);
	session_run(s);
}
