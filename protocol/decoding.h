/* decoding.h - read the records of PostgreSQL's test_decoding output plugin.
 * Source  PostgreSQL manual, "test_decoding", and observed output (options include-xids on,
 *         include-timestamp on or off, stream-changes off, two-phase off).
 * Shape   one XLogData payload is one record. Names and values come unescaped.
 * Owner   the caller's record and scratch; all spans point into one of them and stay good until the
 *         next decoding_parse with that scratch.
 * Thread  one at a time per scratch.
 * Errors  -1 and *why_r: anything not understood; the feed must start anew. */
#ifndef PROTOCOL_DECODING_H
#define PROTOCOL_DECODING_H

#include "protocol/buf.h"

enum decoding_kind {
	DECODING_BEGIN,
	DECODING_COMMIT,
	DECODING_INSERT,
	DECODING_UPDATE,
	DECODING_DELETE,
	DECODING_TRUNCATE,
	DECODING_MESSAGE,
};

struct decoding {
	enum decoding_kind kind;
	uint32_t xid; /* BEGIN, COMMIT */

	/* INSERT, UPDATE, DELETE */
	struct span schema;
	struct span table;
	/* Raw column lists for decoding_column_next; p == NULL = not there.
	 * INSERT: new_tuple. UPDATE: new_tuple, and old_key if the key changed (or identity FULL).
	 * DELETE: old_key. "(no-tuple-data)" = not there. NULL columns are left out of old_key. */
	struct span old_key;
	struct span new_tuple;

	/* TRUNCATE: for decoding_table_next */
	struct span tables;
	bool cascade;
	bool restart_seqs;

	/* MESSAGE */
	bool transactional;
	struct span prefix;
	struct span content;

	struct span record; /* internal */
	uint8_t *scratch;   /* internal */
};

enum decoding_value { DECODING_TEXT, DECODING_NULL, DECODING_UNCHANGED /* toasted, not sent */ };

struct decoding_column {
	struct span name;
	struct span type; /* format_type's text, as it stands */
	enum decoding_value state;
	struct span value; /* DECODING_TEXT: the type's output text; bool is true/false */
};

int decoding_parse(struct span record, struct buf *scratch, struct decoding *out_r, const char **why_r);

/* Column at *at (start with 0) of d->old_key or d->new_tuple: 1 = one found, 0 = end, -1 = bad. */
int decoding_column_next(const struct decoding *d, struct span tuple, size_t *at,
			 struct decoding_column *out_r, const char **why_r);

/* Relation at *at (start with 0) of d->tables: 1 = one found, 0 = end, -1 = bad. */
int decoding_table_next(const struct decoding *d, size_t *at, struct span *schema_r, struct span *table_r,
			const char **why_r);

#endif
