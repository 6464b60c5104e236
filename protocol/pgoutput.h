/* pgoutput.h - read the records of PostgreSQL's pgoutput plugin, protocol version 1.
 * Source  PostgreSQL manual, "Logical Replication Message Formats" (without streaming, without two-phase).
 * Shape   one XLogData payload is one record; checked whole before anything is handed out.
 * Owner   the caller's bytes; every span points into the record.
 * Thread  pure; any.
 * Errors  -1 and *why_r: anything not understood; the feed must start anew. */
#ifndef PROTOCOL_PGOUTPUT_H
#define PROTOCOL_PGOUTPUT_H

#include "protocol/span.h"

enum pgoutput_kind {
	PGOUTPUT_BEGIN,
	PGOUTPUT_COMMIT,
	PGOUTPUT_ORIGIN,
	PGOUTPUT_RELATION,
	PGOUTPUT_TYPE,
	PGOUTPUT_INSERT,
	PGOUTPUT_UPDATE,
	PGOUTPUT_DELETE,
	PGOUTPUT_TRUNCATE,
	PGOUTPUT_MESSAGE,
};

struct pgoutput {
	enum pgoutput_kind kind;
	uint32_t xid;	 /* BEGIN */
	uint64_t lsn;	 /* BEGIN: of the commit; COMMIT, ORIGIN, MESSAGE: of the record */
	uint64_t end;	 /* COMMIT: behind it, a proven position */
	int64_t time_us; /* BEGIN, COMMIT: microseconds since 2000-01-01 */

	uint32_t oid;	    /* RELATION, TYPE, INSERT, UPDATE, DELETE */
	struct span schema; /* RELATION, TYPE; "" = pg_catalog */
	struct span name;   /* RELATION, TYPE, ORIGIN */
	char identity;	    /* RELATION: d, n, f, i */
	uint16_t ncolumns;  /* RELATION */
	struct span columns;

	char old_kind; /* UPDATE, DELETE: 'K' only the key is set, 'O' whole old row, 0 none */
	struct span old_tuple;
	struct span new_tuple; /* INSERT, UPDATE */

	uint32_t noids; /* TRUNCATE */
	struct span oids;
	bool cascade;
	bool restart_seqs;

	bool transactional; /* MESSAGE */
	struct span prefix;
	struct span content;
};

enum pgoutput_state { PGOUTPUT_NULL, PGOUTPUT_UNCHANGED, PGOUTPUT_TEXT, PGOUTPUT_BINARY };

struct pgoutput_value {
	enum pgoutput_state state;
	struct span value; /* TEXT, BINARY */
};

struct pgoutput_column {
	bool key; /* part of the replica identity */
	struct span name;
	uint32_t type_oid;
	uint32_t type_mod;
};

int pgoutput_parse(struct span record, struct pgoutput *out_r, const char **why_r);

/* Value at *at (start with 0) of a tuple, in the order of the relation's columns; column at *at of
 * `columns`: 1 = one found, 0 = end, -1 = bad. */
int pgoutput_value_next(struct span tuple, size_t *at, struct pgoutput_value *out_r);
int pgoutput_column_next(struct span columns, size_t *at, struct pgoutput_column *out_r);

/* Relation `i` of a TRUNCATE. */
uint32_t pgoutput_truncated(const struct pgoutput *p, uint32_t i);

#endif
