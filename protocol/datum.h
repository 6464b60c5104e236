/* datum.h - key values, text or binary, to one canonical byte form.
 * Source  PostgreSQL manual, "Data Types" (input syntax); binary forms of the types' send functions.
 * Shape   two values of one family are equal in PostgreSQL iff their canonical bytes are equal.
 *         Families: int2/int4/int8 together; text/varchar/name together; oid; bool; uuid; bytea.
 *         Everything else is DATUM_UNKNOWN (bpchar, numeric, float, citext, dates: equality is not
 *         that of bytes). text holds only for deterministic collations and when client and
 *         server encoding are the same: the caller knows that.
 * Owner   the caller's bytes and buf.
 * Thread  pure; any.
 * Errors  DATUM_BAD: not parseable or not certain; the value must not be used as a key. On all but
 *         DATUM_OK `out` is as before. */
#ifndef PROTOCOL_DATUM_H
#define PROTOCOL_DATUM_H

#include "protocol/buf.h"

enum datum_type {
	DATUM_BOOL = 16,
	DATUM_BYTEA = 17,
	DATUM_NAME = 19,
	DATUM_INT8 = 20,
	DATUM_INT2 = 21,
	DATUM_INT4 = 23,
	DATUM_TEXT = 25,
	DATUM_OID = 26,
	DATUM_VARCHAR = 1043,
	DATUM_UUID = 2950,
};

#define DATUM_NAME_MAX 63u /* bytes; PostgreSQL cuts longer names */

enum datum_status { DATUM_OK, DATUM_UNKNOWN, DATUM_BAD };

/* Can values of this type be brought to a canonical form at all? */
bool datum_known(uint32_t type_oid);
/* The canonical form of one value is appended to `out`. */
enum datum_status datum_canon(uint32_t type_oid, bool binary, struct span in, struct buf *out);

/* Element type of an array type, 0 = none that we know. */
uint32_t datum_element_type(uint32_t array_oid);

struct datum_array {
	uint32_t element_oid;
	bool binary;
	struct span in;
	size_t at;
	uint32_t left; /* binary: elements to come */
	bool first;    /* text: no element read yet */
};

enum datum_next { DATUM_END, DATUM_ELEMENT, DATUM_NULL, DATUM_BROKEN };

/* An array of one dimension, or empty. The elements are proved good only by reaching DATUM_END. */
enum datum_status datum_array_open(uint32_t array_oid, bool binary, struct span in,
				   struct datum_array *out_r);
/* DATUM_ELEMENT: its canonical form was appended to `out`, whose bound must leave room for twice the
 * element's text. */
enum datum_next datum_array_next(struct datum_array *a, struct buf *out);

#endif
