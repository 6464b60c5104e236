/* custom_names.h - settings that no library has defined (app.x), by their names.
 * Source  PostgreSQL manual, "Customized Options".
 * Shape   finds what may be such a name in any text.
 * Owner   the caller's bytes.
 * Thread  pure; any.
 * Errors  - */
#ifndef PROXY_BACKEND_CUSTOM_NAMES_H
#define PROXY_BACKEND_CUSTOM_NAMES_H

#include "protocol/span.h"

#define CUSTOM_NAME_MAX 63

bool custom_name(const char *name);
/* May the byte stand in one? */
bool custom_name_byte(uint8_t c);
/* The next x.y at or behind *at; *before_r is the byte in front of it. false = there is none. */
bool custom_name_next(struct span text, size_t *at, char out[CUSTOM_NAME_MAX + 1], uint8_t *before_r);
/* Is the word of n bytes in the text, by itself or next to a dot? */
bool custom_name_mentioned(struct span text, const char *word, size_t n);
/* Is what stands in front of its dot one of the words, blanks between them? */
bool custom_name_of(const char *name, const char *words);

#endif
