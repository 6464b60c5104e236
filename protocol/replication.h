/* replication.h - what walsender and receiver put into CopyData.
 * Source  PostgreSQL manual, "Streaming Replication Protocol": XLogData, keepalive, status update.
 * Shape   the payload of one CopyData, without its 'd' and length.
 * Owner   the caller's bytes.
 * Thread  pure; any.
 * Errors  -1 and *why_r; outputs untouched. Every unknown message is an error. */
#ifndef PROTOCOL_REPLICATION_H
#define PROTOCOL_REPLICATION_H

#include "protocol/buf.h"

enum replication_kind { REPLICATION_DATA, REPLICATION_KEEPALIVE };

struct replication_message {
	enum replication_kind kind;
	uint64_t start;	      /* DATA: position of the payload; 0 in KEEPALIVE */
	uint64_t end;	      /* DATA: the server's sent position; KEEPALIVE: walEnd, a proven position */
	int64_t time_us;      /* server clock, microseconds since 2000-01-01 */
	bool reply_requested; /* KEEPALIVE */
	struct span payload;  /* DATA: one record of the output plugin */
};

#define REPLICATION_EPOCH_S 946684800 /* 2000-01-01 in Unix seconds */

int replication_decode(struct span payload, struct replication_message *out_r, const char **why_r);

/* 'r': standby status update. */
void replication_status(struct buf *out, uint64_t written, uint64_t flushed, uint64_t applied, int64_t now_us,
			bool reply_now);

#endif
