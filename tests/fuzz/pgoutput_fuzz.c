#include "tests/fuzz/fuzz.h"

#include "protocol/pgoutput.h"

static void walk_tuple(struct span tuple, struct span record)
{
	struct pgoutput_value value;
	size_t at = 0;
	int rc;

	while ((rc = pgoutput_value_next(tuple, &at, &value)) == 1)
		fuzz_within(value.value, record);
	FUZZ_CHECK(rc == 0 && at == tuple.n);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct span record = span_of(p, n);
	struct pgoutput out;
	struct pgoutput_column column;
	const char *why = NULL;
	size_t at = 0;
	int rc;

	if (pgoutput_parse(record, &out, &why) != 0) {
		FUZZ_CHECK(why != NULL);
		return 0;
	}
	walk_tuple(out.old_tuple, record);
	walk_tuple(out.new_tuple, record);
	while ((rc = pgoutput_column_next(out.columns, &at, &column)) == 1)
		fuzz_within(column.name, record);
	FUZZ_CHECK(rc == 0);
	for (uint32_t i = 0; i < out.noids; i++)
		pgoutput_truncated(&out, i);
	fuzz_within(out.content, record);
	return 0;
}
