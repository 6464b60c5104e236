/* clock.h - monotonic time.
 * Source  clock_gettime(CLOCK_MONOTONIC).
 * Shape   microseconds and nanoseconds since an arbitrary start.
 * Owner   -
 * Thread  any.
 * Errors  none. */
#ifndef PROXY_BASE_CLOCK_H
#define PROXY_BASE_CLOCK_H

#include <stdint.h>

uint64_t clock_us(void);
uint64_t clock_ns(void);

#endif
