/* utf8.h - is it text?
 * Source  RFC 3629: shortest forms only, no surrogates, nothing beyond U+10FFFF.
 * Shape   one character at a time.
 * Owner   the caller's bytes.
 * Thread  pure; any.
 * Errors  0: the first byte begins no character. */
#ifndef PROXY_BASE_UTF8_H
#define PROXY_BASE_UTF8_H

#include "protocol/span.h"

/* Bytes of the character that s, which is not empty, begins with. */
size_t utf8_length(struct span s);

#endif
