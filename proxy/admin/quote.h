/* quote.h - names from outside inside the quotes of other languages, or in messages that are to be UTF-8.
 * Source  OpenMetrics 1.0 "escaped-string"; RFC 8259 section 7; RFC 3629.
 * Shape   appends the text without the quotes around it; bytes that are not UTF-8 become U+FFFD.
 * Owner   the caller's buf.
 * Thread  pure; any.
 * Errors  the buf's sticky `failed`. */
#ifndef PROXY_ADMIN_QUOTE_H
#define PROXY_ADMIN_QUOTE_H

#include "protocol/buf.h"

/* As it is, but for those bytes. */
void quote_text(struct buf *b, const char *text);
void quote_label(struct buf *b, const char *text);
void quote_json(struct buf *b, const char *text);

/* printf at the end of b; for numbers and our own words only, at most 511 bytes a call. */
void quote_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
