#include "tests/fuzz/fuzz.h"

#include "protocol/decoding.h"

static void walk_tuple(const struct decoding *d, struct span tuple, struct span scratch)
{
	struct decoding_column column;
	const char *why = NULL;
	size_t at = 0, before = 0;
	int rc;

	while ((rc = decoding_column_next(d, tuple, &at, &column, &why)) == 1) {
		FUZZ_CHECK(at > before && at <= tuple.n);
		before = at;
		if (column.value.n > 0 && column.value.p >= scratch.p &&
		    column.value.p < scratch.p + scratch.n)
			fuzz_within(column.value, scratch);
		else
			fuzz_within(column.value, d->record);
	}
	FUZZ_CHECK(rc == 0); /* what was accepted whole can be walked to its end */
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct span record = span_of(p, n), schema, table;
	struct decoding d;
	const char *why = NULL;
	struct buf scratch;
	size_t at = 0;
	int rc;

	buf_init(&scratch, 1 << 20);
	if (decoding_parse(record, &scratch, &d, &why) != 0) {
		FUZZ_CHECK(why != NULL);
	} else {
		walk_tuple(&d, d.old_key, span_of(scratch.p, n));
		walk_tuple(&d, d.new_tuple, span_of(scratch.p, n));
		while ((rc = decoding_table_next(&d, &at, &schema, &table, &why)) == 1)
			;
		FUZZ_CHECK(rc == 0);
		fuzz_within(d.content, record);
		fuzz_within(d.prefix, record);
	}
	buf_free(&scratch);
	return 0;
}
