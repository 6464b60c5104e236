/* lsn.h - positions in the write-ahead log.
 * Source  PostgreSQL manual, "pg_lsn Type"; page header sizes of the WAL (24, 40 at a segment start).
 * Shape   uint64; text is two hex halves, "0/16B3748". 0 = none.
 * Owner   values.
 * Thread  pure; any.
 * Errors  lsn_parse returns false, output untouched. */
#ifndef PROTOCOL_LSN_H
#define PROTOCOL_LSN_H

#include "protocol/span.h"

#include <inttypes.h>
#include <stdio.h>

#define LSN_TEXT 18u /* "FFFFFFFF/FFFFFFFF" with NUL */

/* 1 to 8 hex digits; *at moves behind them. */
static inline bool lsn_parse_half(struct span text, size_t *at, uint32_t *half_r)
{
	size_t from = *at;
	uint32_t v = 0;

	for (; *at < text.n; ++*at) {
		uint8_t c = text.p[*at];

		if (c >= '0' && c <= '9')
			v = v << 4 | (uint32_t)(c - '0');
		else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
			v = v << 4 | (uint32_t)((c | 0x20) - 'a' + 10);
		else
			break;
	}
	*half_r = v;
	return *at > from && *at - from <= 8;
}

static inline bool lsn_parse(struct span text, uint64_t *lsn_r)
{
	size_t at = 0;
	uint32_t high, low;

	if (!lsn_parse_half(text, &at, &high) || at == text.n || text.p[at] != '/')
		return false;
	at++;
	if (!lsn_parse_half(text, &at, &low) || at != text.n)
		return false;
	*lsn_r = (uint64_t)high << 32 | low;
	return true;
}

static inline const char *lsn_format(uint64_t lsn, char out[LSN_TEXT])
{
	snprintf(out, LSN_TEXT, "%" PRIX32 "/%" PRIX32, (uint32_t)(lsn >> 32), (uint32_t)lsn);
	return out;
}

/* A position right behind a page header is the page's start to the stream: the header holds no
 * record, and the walsender never reports it. Both sizes in bytes, from the server's settings. */
static inline uint64_t lsn_normalise(uint64_t lsn, uint32_t wal_block_size, uint64_t wal_segment_size)
{
	if (wal_segment_size != 0 && lsn % wal_segment_size == 40)
		return lsn - 40;
	if (wal_block_size != 0 && lsn % wal_block_size == 24)
		return lsn - 24;
	return lsn;
}

#endif
