/* utf8.h - is a text valid UTF-8?
 * Source  what PostgreSQL takes for it (pg_utf8_islegal): no overlong forms, no surrogates, nothing above U+10FFFF.
 * Shape   one function.
 * Owner   -
 * Thread  pure; any.
 * Errors  - */
#ifndef PROTOCOL_UTF8_H
#define PROTOCOL_UTF8_H

#include "protocol/span.h"

bool utf8_valid(struct span text);

static inline bool utf8_is_ascii(struct span text)
{
	uint8_t all = 0;

	for (size_t i = 0; i < text.n; i++)
		all |= text.p[i];
	return all < 0x80;
}

#endif
