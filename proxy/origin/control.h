/* control.h - the control connection: one question at a time, answered while the stream goes on.
 * Source  docs/coherence.md (probe, nudge, catalog); libpq's asynchronous commands.
 * Shape   control_send() a job, control_read() when the socket is readable; *done_r says which job has its answer in `result`.
 * Owner   the stream; results until the next send.
 * Thread  the stream's.
 * Errors  -1 and the reason; any error of any statement here is a reason to start anew. */
#ifndef PROXY_ORIGIN_CONTROL_H
#define PROXY_ORIGIN_CONTROL_H

#include "proxy/origin/link.h"
#include "proxy/origin/schema.h"
#include "protocol/snapshot.h"

/* Position of the log's end, of its flushed part, and a snapshot that is older than both. */
#define CONTROL_PROBE_SQL \
	"SELECT pg_current_wal_insert_lsn(), pg_current_wal_flush_lsn(), pg_current_snapshot()"

enum control_job {
	CONTROL_IDLE,
	CONTROL_NUDGE, /* a message whose commit flushes the log */
	CONTROL_PROBE,
	CONTROL_ENDING, /* ENDING_SQL */
	CONTROL_CHECK,	/* schema's `check` */
	CONTROL_LOAD,	/* schema's `load` */
};

struct control {
	PGconn *conn; /* owned */
	const struct schema_sql *schema;
	enum control_job job;
	PGresult *result[SCHEMA_PARTS]; /* owned */
	int nresults;
	uint64_t sent_us;
};

/* Takes the connection over and prepares the statements. */
int control_open(struct control *c, PGconn *conn, const struct schema_sql *schema,
		 const struct link_wait *wait, struct err *err);
void control_close(struct control *c);
int control_send(struct control *c, enum control_job job, uint64_t now_us, struct err *err);
int control_read(struct control *c, enum control_job *done_r, struct err *err);
/* Something is still to be written: wait for POLLOUT, then control_read. */
bool control_unsent(struct control *c);

struct probe {
	uint64_t insert;
	uint64_t flush;
	struct snapshot snapshot; /* owned */
};

/* The answer of CONTROL_PROBE_SQL. */
int probe_read(const PGresult *result, struct probe *probe_r, struct err *err);
/* The answer of CONTROL_ENDING: leaves those that have not ended yet. */
int ending_read(const PGresult *result, struct ending *ending, struct err *err);
/* The position of the message that a nudge wrote; its commit lies behind. */
int nudge_read(const PGresult *result, uint64_t *lsn_r, struct err *err);

#endif
