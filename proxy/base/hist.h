/* hist.h - a histogram of durations with fixed power-of-two buckets.
 * Source  none.
 * Shape   bucket i counts values <= 2^i microseconds; the last takes the rest.
 * Owner   one writer thread.
 * Thread  hist_add from the owner; readers any.
 * Errors  none. */
#ifndef PROXY_BASE_HIST_H
#define PROXY_BASE_HIST_H

#include <stdatomic.h>
#include <stdint.h>

#define HIST_BUCKETS 28

struct hist {
	_Atomic uint64_t bucket[HIST_BUCKETS];
	_Atomic uint64_t sum_us;
};

void hist_add(struct hist *h, uint64_t us);

#endif
