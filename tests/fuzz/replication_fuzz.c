#include "tests/fuzz/fuzz.h"

#include "protocol/lsn.h"
#include "protocol/replication.h"
#include "protocol/snapshot.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct span in = span_of(p, n);
	struct replication_message message;
	struct snapshot snapshot, copy;
	const char *why = NULL;
	char text[LSN_TEXT];
	uint64_t lsn, again;

	if (replication_decode(in, &message, &why) == 0)
		fuzz_within(message.payload, in);
	else
		FUZZ_CHECK(why != NULL);
	if (lsn_parse(in, &lsn))
		FUZZ_CHECK(lsn_parse(span_str(lsn_format(lsn, text)), &again) && again == lsn);
	if (snapshot_parse(in, &snapshot) == 0) {
		FUZZ_CHECK(!snapshot_completed_full(&snapshot, snapshot.xmax));
		FUZZ_CHECK(snapshot_completed_full(&snapshot, snapshot.xmin - 1));
		for (uint32_t i = 0; i < snapshot.nxip; i++)
			FUZZ_CHECK(!snapshot_completed_full(&snapshot, snapshot.xip[i]));
		FUZZ_CHECK(snapshot_copy(&snapshot, &copy) == 0);
		snapshot_free(&copy);
		snapshot_free(&snapshot);
	}
	return 0;
}
