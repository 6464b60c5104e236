/* units.h - numbers, sizes, durations and switches as a config file writes them.
 * Source  PgBouncer's config manual (plain durations are seconds) and postgresql.conf's units.
 * Shape   text -> value, and back. White space around the number and the unit is allowed.
 * Owner   nothing is kept.
 * Thread  pure; any.
 * Errors  -1, with *why_r static text that completes "NAME ..". */
#ifndef CONFIG_UNITS_H
#define CONFIG_UNITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Decimal. */
int units_int(const char *text, int64_t *value_r, const char **why_r);
/* Octal, with or without a leading 0. */
int units_mode(const char *text, int64_t *value_r, const char **why_r);
/* Plain = bytes; B, kB, MB, GB, TB (1024 each, any case, B may be left out). Fractions are allowed with a
 * unit. */
int units_size(const char *text, uint64_t *bytes_r, const char **why_r);
/* Plain = seconds; us, ms, s, min, h, d. Fractions are allowed. In microseconds. */
int units_duration(const char *text, uint64_t *us_r, const char **why_r);
/* 1 0 on off true false yes no t f y n, any case. */
int units_bool(const char *text, bool *value_r, const char **why_r);

/* Seconds with at most six decimals, as PgBouncer prints its durations: 120, 0.5, 0.001. */
void units_duration_text(uint64_t us, char *out, size_t n);

#endif
