/* map.h - uthash (Debian: uthash-dev) set up for this project.
 * Source  uthash user guide; XXH3 (Debian: libxxhash-dev) as the hash function.
 * Shape   intrusive: objects carry a UT_hash_handle `hh`.
 * Owner   the objects.
 * Thread  one at a time.
 * Errors  uthash's own small allocations abort when memory is gone. */
#ifndef PROXY_BASE_MAP_H
#define PROXY_BASE_MAP_H

#include "proxy/base/check.h"

#include <xxhash.h>

#define HASH_FUNCTION(keyptr, keylen, hashv) ((hashv) = (unsigned)XXH3_64bits((keyptr), (keylen)))
#define uthash_malloc(sz) check_alloc(sz)
#define uthash_free(ptr, sz) free(ptr)
#include <stdlib.h>
#include <uthash.h>

#endif
