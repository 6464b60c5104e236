/* Input: a byte that chooses the type, a byte for the format, then the value. */
#include "tests/fuzz/fuzz.h"

#include "protocol/datum.h"

static const uint32_t arrays[] = {1000, 1001, 1003, 1005, 1007, 1009, 1015, 1016, 1028, 2951};

static void walk_array(uint32_t oid, bool binary, struct span in)
{
	struct datum_array array;
	enum datum_next next;
	struct buf out;
	size_t steps = 0;

	if (datum_array_open(oid, binary, in, &array) != DATUM_OK)
		return;
	buf_init(&out, 1 << 20);
	do {
		buf_clear(&out);
		next = datum_array_next(&array, &out);
		FUZZ_CHECK(steps++ <= in.n);
	} while (next == DATUM_ELEMENT || next == DATUM_NULL);
	buf_free(&out);
}

/* A canonical form is its own canonical form (as text; uuid and bytea as binary). */
static void check_value(uint32_t oid, bool binary, struct span in)
{
	bool again_binary = oid == DATUM_UUID || oid == DATUM_BYTEA;
	struct buf out, again;

	buf_init(&out, 1 << 20);
	buf_init(&again, 1 << 20);
	if (datum_canon(oid, binary, in, &out) != DATUM_OK)
		FUZZ_CHECK(out.len == 0);
	else if (datum_canon(oid, again_binary, buf_span(&out), &again) == DATUM_OK)
		FUZZ_CHECK(span_eq(buf_span(&out), buf_span(&again)));
	else
		FUZZ_CHECK(false);
	buf_free(&out);
	buf_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	uint32_t oid;
	bool binary;

	if (n < 2)
		return 0;
	oid = arrays[p[0] % (sizeof(arrays) / sizeof(arrays[0]))];
	binary = p[1] & 1;
	check_value(datum_element_type(oid), binary, span_of(p + 2, n - 2));
	walk_array(oid, binary, span_of(p + 2, n - 2));
	return 0;
}
