/* The records were written by PostgreSQL 15. */
#include "tests/unit/protocol/tools.h"

#include "protocol/pgoutput.h"

#define BEGIN "B\0\0\0\0\x01\x60\x40\xb8\0\x03\x03\xe7\xad\xe4\x53\xd6\0\0\x03\x7e"
#define COMMIT "C\0\0\0\0\0\x01\x60\x40\xb8\0\0\0\0\x01\x60\x40\xe8\0\x03\x03\xe7\xad\xe4\x53\xd6"
#define RELATION \
	"R\0\0\x40\xa6public\0pa\0d\0\3\1id\0\0\0\0\x17\xff\xff\xff\xff\0t\0\0\0\0\x19\xff\xff\xff\xff\0b\0\0\0\0\x10\xff\xff\xff\xff"
#define INSERT                        \
	"I\0\0\x40\xa6N\0\3t\0\0\0\1" \
	"1t\0\0\0\7O'Brient\0\0\0\1t"
#define UPDATE                        \
	"U\0\0\x40\xa6K\0\3t\0\0\0\2" \
	"10nnN\0\3t\0\0\0\2"          \
	"11ut\0\0\0\1f"
#define DELETE "D\0\0\x40\xbaO\0\2nt\0\0\0\1x"
#define TRUNCATE "T\0\0\0\2\3\0\0\x40\xa6\0\0\x40\xb3"
#define MESSAGE "M\1\0\0\0\0\1\x60\x7b\xd8pgweir\0\0\0\0\5hello"

static struct pgoutput parse(struct span record)
{
	struct pgoutput p;
	const char *why = NULL;

	if (pgoutput_parse(record, &p, &why) != 0) {
		EXPECT_STR(why, "");
		REQUIRE(false);
	}
	return p;
}

TEST(pgoutput, reads_begin_and_commit)
{
	struct pgoutput p = parse(BYTES(BEGIN));

	EXPECT_EQ(p.kind, PGOUTPUT_BEGIN);
	EXPECT_EQ(p.xid, 0x37e);
	EXPECT_EQ(p.lsn, 0x16040b8);
	p = parse(BYTES(COMMIT));
	EXPECT_EQ(p.kind, PGOUTPUT_COMMIT);
	EXPECT_EQ(p.lsn, 0x16040b8);
	EXPECT_EQ(p.end, 0x16040e8);
	EXPECT_EQ(p.time_us, 0x303e7ade453d6);
}

TEST(pgoutput, reads_a_relation)
{
	struct pgoutput p = parse(BYTES(RELATION));
	struct pgoutput_column c;
	size_t at = 0;

	EXPECT_EQ(p.kind, PGOUTPUT_RELATION);
	EXPECT_EQ(p.oid, 0x40a6);
	EXPECT_MEM(p.schema, BYTES("public"));
	EXPECT_MEM(p.name, BYTES("pa"));
	EXPECT_EQ(p.identity, 'd');
	EXPECT_EQ(p.ncolumns, 3);
	REQUIRE(pgoutput_column_next(p.columns, &at, &c) == 1);
	EXPECT(c.key);
	EXPECT_MEM(c.name, BYTES("id"));
	EXPECT_EQ(c.type_oid, 23);
	REQUIRE(pgoutput_column_next(p.columns, &at, &c) == 1);
	EXPECT(!c.key);
	REQUIRE(pgoutput_column_next(p.columns, &at, &c) == 1);
	EXPECT_MEM(c.name, BYTES("b"));
	EXPECT_EQ(pgoutput_column_next(p.columns, &at, &c), 0);
}

static void expect_value(struct span tuple, size_t *at, enum pgoutput_state state, const char *value)
{
	struct pgoutput_value v;

	REQUIRE(pgoutput_value_next(tuple, at, &v) == 1);
	EXPECT_EQ(v.state, state);
	EXPECT_MEM(v.value, span_str(value));
}

TEST(pgoutput, reads_changes)
{
	struct pgoutput p = parse(BYTES(INSERT));
	struct pgoutput_value v;
	size_t at = 0;

	EXPECT_EQ(p.kind, PGOUTPUT_INSERT);
	EXPECT_EQ(p.oid, 0x40a6);
	EXPECT(p.old_tuple.p == NULL && p.old_kind == 0);
	expect_value(p.new_tuple, &at, PGOUTPUT_TEXT, "1");
	expect_value(p.new_tuple, &at, PGOUTPUT_TEXT, "O'Brien");
	expect_value(p.new_tuple, &at, PGOUTPUT_TEXT, "t");
	EXPECT_EQ(pgoutput_value_next(p.new_tuple, &at, &v), 0);

	p = parse(BYTES(UPDATE));
	EXPECT_EQ(p.kind, PGOUTPUT_UPDATE);
	EXPECT_EQ(p.old_kind, 'K');
	at = 0;
	expect_value(p.old_tuple, &at, PGOUTPUT_TEXT, "10");
	expect_value(p.old_tuple, &at, PGOUTPUT_NULL, "");
	at = 0;
	expect_value(p.new_tuple, &at, PGOUTPUT_TEXT, "11");
	expect_value(p.new_tuple, &at, PGOUTPUT_UNCHANGED, "");

	p = parse(BYTES(DELETE));
	EXPECT_EQ(p.kind, PGOUTPUT_DELETE);
	EXPECT_EQ(p.old_kind, 'O');
	EXPECT(p.new_tuple.p == NULL);
}

TEST(pgoutput, reads_the_rest)
{
	struct pgoutput p = parse(BYTES(TRUNCATE));

	EXPECT_EQ(p.kind, PGOUTPUT_TRUNCATE);
	REQUIRE(p.noids == 2);
	EXPECT_EQ(pgoutput_truncated(&p, 0), 0x40a6);
	EXPECT_EQ(pgoutput_truncated(&p, 1), 0x40b3);
	EXPECT(p.cascade && p.restart_seqs);
	p = parse(BYTES(MESSAGE));
	EXPECT_EQ(p.kind, PGOUTPUT_MESSAGE);
	EXPECT(p.transactional);
	EXPECT_MEM(p.prefix, BYTES("pgweir"));
	EXPECT_MEM(p.content, BYTES("hello"));
	p = parse(BYTES("Y\0\0\x40\xaepublic\0color\0"));
	EXPECT_EQ(p.kind, PGOUTPUT_TYPE);
	EXPECT_MEM(p.name, BYTES("color"));
	p = parse(BYTES("O\0\0\0\0\0\0\0\7there\0"));
	EXPECT_EQ(p.kind, PGOUTPUT_ORIGIN);
	EXPECT_MEM(p.name, BYTES("there"));
}

static bool probe(struct span record)
{
	struct pgoutput p;
	struct pgoutput_value v;
	struct pgoutput_column c;
	const char *why = NULL;
	size_t at = 0;
	int rc;

	if (pgoutput_parse(record, &p, &why) != 0) {
		EXPECT(why != NULL);
		return false;
	}
	while ((rc = pgoutput_value_next(p.old_tuple, &at, &v)) == 1)
		EXPECT(within(v.value, record));
	EXPECT_EQ(rc, 0);
	at = 0;
	while ((rc = pgoutput_value_next(p.new_tuple, &at, &v)) == 1)
		EXPECT(within(v.value, record));
	EXPECT_EQ(rc, 0);
	at = 0;
	while ((rc = pgoutput_column_next(p.columns, &at, &c)) == 1)
		EXPECT(within(c.name, record));
	EXPECT_EQ(rc, 0);
	for (uint32_t i = 0; i < p.noids; i++)
		pgoutput_truncated(&p, i);
	return true;
}

TEST(pgoutput, refuses_what_is_hurt)
{
	const struct span records[] = {BYTES(BEGIN),  BYTES(COMMIT), BYTES(RELATION), BYTES(INSERT),
				       BYTES(UPDATE), BYTES(DELETE), BYTES(TRUNCATE), BYTES(MESSAGE)};

	for (size_t i = 0; i < sizeof(records) / sizeof(records[0]); i++) {
		EXPECT(probe_copy(probe, records[i]));
		EXPECT_EQ(probe_cuts(probe, records[i]), 0);
		probe_corrupt(probe, records[i]);
	}
	EXPECT(!probe_copy(probe, BYTES(INSERT "x")));
	EXPECT(!probe_copy(probe, BYTES("S\0\0\0\1\0")));
	EXPECT(!probe_copy(probe, BYTES("I\0\0\0\1K\0\0")));
	EXPECT(!probe_copy(probe, BYTES("D\0\0\0\1N\0\0")));
	EXPECT(!probe_copy(probe, BYTES("I\0\0\0\1N\0\1x")));
	EXPECT(!probe_copy(probe, BYTES("T\0\0\0\0\4")));
}
