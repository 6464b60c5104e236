#include "proxy/origin/preflight.h"

#include <stdlib.h>
#include <string.h>

static const char settings_sql[] =
	"SELECT current_setting('wal_level'), CASE WHEN rolreplication OR rolsuper THEN '1' ELSE '0' END,"
	" (SELECT count(*) FROM pg_stat_replication)::text, current_setting('max_wal_senders'), quote_ident(rolname)"
	" FROM pg_roles WHERE rolname = current_user";

static enum preflight judge(const PGresult *result, struct err *err)
{
	if (PQntuples(result) != 1 || PQnfields(result) != 5)
		return PREFLIGHT_UNKNOWN;
	if (strcmp(PQgetvalue(result, 0, 0), "logical") != 0) {
		err_set(err, "wal_level is %s: set wal_level = logical and restart the server",
			PQgetvalue(result, 0, 0));
		return PREFLIGHT_REFUSED;
	}
	if (*PQgetvalue(result, 0, 1) != '1') {
		err_set(err, "the role may not replicate: ALTER ROLE %s REPLICATION",
			PQgetvalue(result, 0, 4));
		return PREFLIGHT_REFUSED;
	}
	if (atoi(PQgetvalue(result, 0, 2)) >= atoi(PQgetvalue(result, 0, 3))) {
		err_set(err, "no free walsender: raise max_wal_senders (%s)", PQgetvalue(result, 0, 3));
		return PREFLIGHT_REFUSED;
	}
	return PREFLIGHT_UNKNOWN;
}

enum preflight preflight(const struct link_target *control, const struct link_wait *wait, struct err *err)
{
	enum preflight verdict = PREFLIGHT_UNKNOWN;
	struct err ignored;
	PGresult *result;
	PGconn *conn;

	if (link_open(control, wait, &conn, &ignored) != 0)
		return verdict;
	if (link_query(conn, settings_sql, wait, &result, &ignored) == 0) {
		verdict = judge(result, err);
		PQclear(result);
	}
	PQfinish(conn);
	return verdict;
}

enum preflight preflight_slot(struct err *err)
{
	static const struct {
		const char *state, *text;
	} known[] = {
		{"53400", "no free replication slot: raise max_replication_slots"},
		{"42501", "the role may not create a replication slot: give it the attribute REPLICATION"},
		{"58P01", "the server has no test_decoding: install PostgreSQL's contrib modules there"},
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++) {
		if (strcmp(err->sqlstate, known[i].state) == 0) {
			err_set(err, "%s", known[i].text);
			return PREFLIGHT_REFUSED;
		}
	}
	return PREFLIGHT_UNKNOWN;
}
