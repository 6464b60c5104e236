/* null_protocol.h - just enough of the protocol to answer every statement with the same row.
 * Source  the message formats of PostgreSQL's protocol 3.0.
 * Shape   messages in, answers appended to a buffer of the caller's; no socket.
 * Owner   the caller has the bytes.
 * Thread  any.
 * Errors  a buffer that is too small ends the program. */
#ifndef TESTS_BENCH_NULL_PROTOCOL_H
#define TESTS_BENCH_NULL_PROTOCOL_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct null_out {
	uint8_t *p;
	size_t n, max;
};

/* A result of one int4 column with one row. */
static const char null_row_description[] = "T\0\0\0\x21\0\x01"
					   "abalance\0\0\0\0\0\0\0\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0";
static const char null_data_row[] = "D\0\0\0\x0b\0\x01\0\0\0\x01"
				    "0";
static const char null_complete[] = "C\0\0\0\x0dSELECT 1";
static const char null_ready[] = "Z\0\0\0\x05I";
static const char null_parameters[] = "t\0\0\0\x0a\0\x01\0\0\0\x17";

static inline void null_put(struct null_out *o, const void *p, size_t n)
{
	if (n > o->max - o->n)
		abort();
	memcpy(o->p + o->n, p, n);
	o->n += n;
}

static inline void null_answer(struct null_out *o, uint8_t type, const uint8_t *body)
{
	switch (type) {
	case 'Q':
		null_put(o, null_row_description, sizeof null_row_description - 1);
		null_put(o, null_data_row, sizeof null_data_row - 1);
		null_put(o, null_complete, sizeof null_complete);
		null_put(o, null_ready, sizeof null_ready - 1);
		break;
	case 'P': null_put(o, "1\0\0\0\x04", 5); break;
	case 'B': null_put(o, "2\0\0\0\x04", 5); break;
	case 'C': null_put(o, "3\0\0\0\x04", 5); break;
	case 'D':
		if (body[0] == 'S')
			null_put(o, null_parameters, sizeof null_parameters - 1);
		null_put(o, null_row_description, sizeof null_row_description - 1);
		break;
	case 'E':
		null_put(o, null_data_row, sizeof null_data_row - 1);
		null_put(o, null_complete, sizeof null_complete);
		break;
	case 'S': null_put(o, null_ready, sizeof null_ready - 1); break;
	default: break;
	}
}

static inline uint32_t null_number(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* The startup packet (true), or a question for encryption before it. */
static inline bool null_greet(struct null_out *o, size_t n)
{
	if (n == 8) {
		null_put(o, "N", 1);
		return false;
	}
	null_put(o, "R\0\0\0\x08\0\0\0\0", 9);
	null_put(o,
		 "S\0\0\0\x19"
		 "client_encoding\0UTF8",
		 26);
	null_put(o, "S\0\0\0\x18server_version\00015.0", 25);
	null_put(o, "S\0\0\0\x23standard_conforming_strings\0on", 36);
	null_put(o, "K\0\0\0\x0c\0\0\0\x01\0\0\0\x02", 13);
	null_put(o, null_ready, sizeof null_ready - 1);
	return true;
}

/* Answers the whole messages; the number of bytes they had. (size_t)-1 = goodbye. */
static inline size_t null_take(struct null_out *o, bool *started, const uint8_t *p, size_t n)
{
	size_t at = 0;

	for (;;) {
		size_t head = *started ? 1 : 0, total;

		if (n - at < head + 4)
			return at;
		total = head + null_number(p + at + head);
		if (n - at < total)
			return at;
		if (!*started)
			*started = null_greet(o, total);
		else if (p[at] == 'X')
			return SIZE_MAX;
		else
			null_answer(o, p[at], p + at + 5);
		at += total;
	}
}

#endif
