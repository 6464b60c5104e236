#include "tests/unit/protocol/tools.h"

#include "protocol/replication.h"

#define DATA                                                                  \
	"w\0\0\0\0\x01\x02\x03\x04\0\0\0\0\x01\x02\x03\x05\0\0\0\0\0\0\0\x2a" \
	"BEGIN 728"
#define KEEPALIVE "k\0\0\0\1\0\0\0\2\xff\xff\xff\xff\xff\xff\xff\xff\1"

TEST(replication, reads_data)
{
	struct replication_message m;
	const char *why;

	REQUIRE(replication_decode(BYTES(DATA), &m, &why) == 0);
	EXPECT_EQ(m.kind, REPLICATION_DATA);
	EXPECT_EQ(m.start, 0x01020304);
	EXPECT_EQ(m.end, 0x01020305);
	EXPECT_EQ(m.time_us, 42);
	EXPECT_MEM(m.payload, BYTES("BEGIN 728"));
}

TEST(replication, reads_a_keepalive)
{
	struct replication_message m;
	const char *why;

	REQUIRE(replication_decode(BYTES(KEEPALIVE), &m, &why) == 0);
	EXPECT_EQ(m.kind, REPLICATION_KEEPALIVE);
	EXPECT_EQ(m.end, 0x100000002);
	EXPECT_EQ(m.time_us, -1);
	EXPECT(m.reply_requested);
}

static bool probe(struct span body)
{
	struct replication_message m;
	const char *why = NULL;

	if (replication_decode(body, &m, &why) != 0) {
		EXPECT(why != NULL);
		return false;
	}
	EXPECT(within(m.payload, body));
	return true;
}

TEST(replication, refuses_what_is_cut_or_unknown)
{
	EXPECT_EQ(probe_cuts(probe, BYTES(KEEPALIVE)), 0);
	EXPECT_EQ(probe_cuts(probe, span_of(DATA, 25)), 0);
	EXPECT(!probe_copy(probe, BYTES(KEEPALIVE "x")));
	EXPECT(!probe_copy(probe, BYTES("s\0\0\0\0")));
	probe_corrupt(probe, BYTES(DATA));
	probe_corrupt(probe, BYTES(KEEPALIVE));
}

TEST(replication, builds_a_status_update)
{
	struct buf b;

	buf_init(&b, 100);
	replication_status(&b, 1, 2, UINT64_C(0x300000004), -2, true);
	EXPECT_MEM(buf_span(&b), BYTES("r\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\2\0\0\0\3\0\0\0\4"
				       "\xff\xff\xff\xff\xff\xff\xff\xfe\1"));
	buf_free(&b);
}
