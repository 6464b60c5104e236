/* blob.h - immutable bytes shared by reference count.
 * Source  none.
 * Shape   count, length, bytes in one allocation.
 * Owner   each holder of a reference.
 * Thread  any (atomic count).
 * Errors  blob_new returns NULL when memory is gone. */
#ifndef PROXY_BASE_BLOB_H
#define PROXY_BASE_BLOB_H

#include "protocol/span.h"

#include <stdatomic.h>

struct blob {
	atomic_uint refs;
	uint32_t n;
	uint8_t bytes[];
};

/* A copy of `s` (at most 4 GiB - 1) with one reference. */
struct blob *blob_new(struct span s);
struct blob *blob_ref(struct blob *b);
void blob_unref(struct blob *b); /* NULL is fine */

#endif
