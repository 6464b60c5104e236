#include "tests/unit/protocol/tools.h"

#include <stdlib.h>

bool within(struct span part, struct span whole)
{
	return part.p == NULL || part.n == 0 || (part.p >= whole.p && part.p + part.n <= whole.p + whole.n);
}

bool probe_copy(probe_fn probe, struct span body)
{
	uint8_t *copy = malloc(body.n == 0 ? 1 : body.n);
	bool taken;

	REQUIRE(copy != NULL);
	if (body.n > 0)
		memcpy(copy, body.p, body.n);
	taken = probe(span_of(copy, body.n));
	free(copy);
	return taken;
}

unsigned probe_cuts(probe_fn probe, struct span body)
{
	unsigned taken = 0;

	for (size_t n = 0; n < body.n; n++)
		taken += probe_copy(probe, span_of(body.p, n));
	return taken;
}

unsigned probe_corrupt(probe_fn probe, struct span body)
{
	static const uint32_t values[] = {0,	  1,	      2,	  0x7f,	      0xff,	 0x7fff,
					  0xffff, 0x7fffffff, 0x80000000, 0xfffffffe, UINT32_MAX};
	uint8_t *copy = malloc(body.n == 0 ? 1 : body.n);
	unsigned taken = 0;

	REQUIRE(copy != NULL);
	for (size_t width = 1; width <= 4; width *= 2) {
		for (size_t at = 0; at + width <= body.n; at++) {
			for (size_t v = 0; v < sizeof(values) / sizeof(values[0]); v++) {
				memcpy(copy, body.p, body.n);
				for (size_t i = 0; i < width; i++)
					copy[at + i] = (uint8_t)(values[v] >> (8 * (width - 1 - i)));
				taken += probe(span_of(copy, body.n));
			}
		}
	}
	free(copy);
	return taken;
}
