/* readkey.c - the names of things that an answer depends on; the feed computes the same ones from changes. */
#include "proxy/sql/reads.h"

#include <xxhash.h>

enum { SALT_ANY = 0x616e79, SALT_WHOLE = 0x77686f, SALT_ROW = 0x726f77, SALT_GONE = 0x676f6e };

uint64_t readkey_any(uint32_t relid)
{
	return XXH3_64bits_withSeed(&relid, sizeof(relid), SALT_ANY);
}

uint64_t readkey_whole(uint32_t relid)
{
	return XXH3_64bits_withSeed(&relid, sizeof(relid), SALT_WHOLE);
}

uint64_t readkey_gone(uint32_t relid)
{
	return XXH3_64bits_withSeed(&relid, sizeof(relid), SALT_GONE);
}

/* Every part is hashed with its length; two hashes are chained, so that parts cannot run into each other. */
uint64_t readkey_row(uint32_t relid, uint16_t ncols, const int16_t *attnums, const struct span *values)
{
	uint64_t hash = XXH3_64bits_withSeed(&relid, sizeof(relid), SALT_ROW);

	for (unsigned i = 0; i < ncols; i++) {
		uint64_t head[2] = {hash, ((uint64_t)(uint16_t)attnums[i] << 48) ^ values[i].n};

		hash = XXH3_64bits(head, sizeof(head));
		hash = XXH3_64bits_withSeed(values[i].n > 0 ? values[i].p : (const uint8_t *)"", values[i].n,
					    hash);
	}
	return hash;
}
