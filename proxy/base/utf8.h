/* utf8.h - is it text?
 * Source  RFC 3629: shortest forms only, no surrogates, nothing beyond U+10FFFF.
 * Shape   one character at a time, or a whole text.
 * Owner   the caller's bytes.
 * Thread  pure; any.
 * Errors  0: the first byte begins no character. */
#ifndef PROXY_BASE_UTF8_H
#define PROXY_BASE_UTF8_H

#include "protocol/span.h"

/* Bytes of the character that s, which is not empty, begins with. */
size_t utf8_length(struct span s);
bool utf8_valid(struct span text);

static inline bool utf8_is_ascii(struct span text)
{
	uint8_t all = 0;

	for (size_t i = 0; i < text.n; i++)
		all |= text.p[i];
	return all < 0x80;
}

#endif
