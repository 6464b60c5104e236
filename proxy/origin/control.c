#include "proxy/origin/control.h"
#include "proxy/base/check.h"
#include "protocol/lsn.h"

static const char *const statements[] = {
	[CONTROL_NUDGE] = "SELECT pg_logical_emit_message(true, 'pgweir', '')",
	[CONTROL_PROBE] = CONTROL_PROBE_SQL,
	[CONTROL_ENDING] = "SELECT " ENDING_SQL,
};
static const char *const names[] = {
	[CONTROL_NUDGE] = "nudge",
	[CONTROL_PROBE] = "probe",
	[CONTROL_ENDING] = "ending",
	[CONTROL_CHECK] = "check",
};

int control_open(struct control *c, PGconn *conn, const struct schema_sql *schema,
		 const struct link_wait *wait, struct err *err)
{
	check(c->conn == NULL);
	c->conn = conn;
	c->schema = schema;
	c->job = CONTROL_IDLE;
	for (int i = CONTROL_NUDGE; i < CONTROL_CHECK; i++) {
		if (link_prepare(conn, names[i], statements[i], wait, err) != 0)
			return -1;
	}
	return link_prepare(conn, names[CONTROL_CHECK], schema->check, wait, err);
}

static void clear(struct control *c)
{
	for (int i = 0; i < c->nresults; i++)
		PQclear(c->result[i]);
	c->nresults = 0;
}

void control_close(struct control *c)
{
	clear(c);
	PQfinish(c->conn);
	*c = (struct control){0};
}

int control_send(struct control *c, enum control_job job, uint64_t now_us, struct err *err)
{
	int sent;

	check(c->job == CONTROL_IDLE && job != CONTROL_IDLE);
	clear(c);
	if (job == CONTROL_LOAD)
		sent = PQsendQuery(c->conn, c->schema->load);
	else
		sent = PQsendQueryPrepared(c->conn, names[job], 0, NULL, NULL, NULL, 0);
	if (!sent || PQflush(c->conn) < 0)
		return link_failed(c->conn, "control connection lost", err);
	c->job = job;
	c->sent_us = now_us;
	return 0;
}

bool control_unsent(struct control *c)
{
	return c->job != CONTROL_IDLE && PQflush(c->conn) > 0;
}

/* Keeps rows, drops what has none (BEGIN, COMMIT). */
static int keep(struct control *c, PGresult *result, struct err *err)
{
	switch (PQresultStatus(result)) {
	case PGRES_COMMAND_OK: PQclear(result); return 0;
	case PGRES_TUPLES_OK:
		if (c->nresults < SCHEMA_PARTS) {
			c->result[c->nresults++] = result;
			return 0;
		}
		/* fall through */
	default:
		link_refused(result, "control connection", err);
		PQclear(result);
		return -1;
	}
}

int control_read(struct control *c, enum control_job *done_r, struct err *err)
{
	PGresult *result;

	*done_r = CONTROL_IDLE;
	if (!PQconsumeInput(c->conn) || PQflush(c->conn) < 0)
		return link_failed(c->conn, "control connection lost", err);
	while (c->job != CONTROL_IDLE && !PQisBusy(c->conn)) {
		result = PQgetResult(c->conn);
		if (result == NULL) {
			*done_r = c->job;
			c->job = CONTROL_IDLE;
		} else if (keep(c, result, err) != 0) {
			return -1;
		}
	}
	if (PQstatus(c->conn) == CONNECTION_BAD)
		return link_failed(c->conn, "control connection lost", err);
	if (*done_r != CONTROL_IDLE && c->nresults != (*done_r == CONTROL_LOAD ? SCHEMA_PARTS : 1))
		return err_set(err, "control connection: unexpected answer");
	return 0;
}

int probe_read(const PGresult *result, struct probe *probe_r, struct err *err)
{
	struct probe probe;

	if (PQresultStatus(result) != PGRES_TUPLES_OK)
		return link_refused(result, "probe", err);
	if (PQntuples(result) != 1 || PQnfields(result) != 3 ||
	    !lsn_parse(link_field(result, 0, 0), &probe.insert) ||
	    !lsn_parse(link_field(result, 0, 1), &probe.flush) ||
	    snapshot_parse(link_field(result, 0, 2), &probe.snapshot) != 0)
		return err_set(err, "probe: unexpected answer");
	*probe_r = probe;
	return 0;
}

int ending_read(const PGresult *result, struct ending *ending, struct err *err)
{
	if (PQresultStatus(result) != PGRES_TUPLES_OK)
		return link_refused(result, "ending transactions", err);
	if (PQntuples(result) != 1 || PQnfields(result) != 1 ||
	    ending_still(ending, PQgetvalue(result, 0, 0)) != 0)
		return err_set(err, "ending transactions: unexpected answer");
	return 0;
}

int nudge_read(const PGresult *result, uint64_t *lsn_r, struct err *err)
{
	if (PQresultStatus(result) != PGRES_TUPLES_OK)
		return link_refused(result, "flushing message", err);
	if (PQntuples(result) != 1 || !lsn_parse(link_field(result, 0, 0), lsn_r))
		return err_set(err, "flushing message: unexpected answer");
	return 0;
}
