/* Records of pgoutput to changes, without a server. */
#include "proxy/origin/apply.h"
#include "proxy/sql/reads.h"
#include "protocol/datum.h"
#include "tests/support/test.h"

#include <stdio.h>
#include <stdlib.h>

#define BEGIN "B\0\0\0\0\x01\x60\x40\xb8\0\x03\x03\xe7\xad\xe4\x53\xd6\0\0\x03\x7e"
#define COMMIT "C\0\0\0\0\0\x01\x60\x40\xb8\0\0\0\0\x01\x60\x40\xe8\0\x03\x03\xe7\xad\xe4\x53\xd6"
/* v text, id int (the key): relation 10; `g`, the third column of the table, is generated and does not come. */
#define RELATION "R\0\0\0\x0apublic\0t\0d\0\2\0v\0\0\0\0\x19\xff\xff\xff\xff\1id\0\0\0\0\x17\xff\xff\xff\xff"
#define WIDER                                                                                        \
	"R\0\0\0\x0apublic\0t\0d\0\3\0v\0\0\0\0\x19\xff\xff\xff\xff\1id\0\0\0\0\x17\xff\xff\xff\xff" \
	"\0more\0\0\0\0\x17\xff\xff\xff\xff"
#define INSERT_1                              \
	"I\0\0\0\x0aN\0\2t\0\0\0\1xt\0\0\0\1" \
	"1"
#define UPDATE_2_TO_3                \
	"U\0\0\0\x0aK\0\2nt\0\0\0\1" \
	"2N\0\2t\0\0\0\1xt\0\0\0\1"  \
	"3"
#define UPDATE_4                     \
	"U\0\0\0\x0aN\0\2ut\0\0\0\1" \
	"4"
#define DELETE_5                     \
	"D\0\0\0\x0aK\0\2nt\0\0\0\1" \
	"5"
#define KEY_UNCHANGED "U\0\0\0\x0aN\0\2t\0\0\0\1xu"
#define WIDER_ROW                             \
	"I\0\0\0\x0aN\0\3t\0\0\0\1xt\0\0\0\1" \
	"1n"
#define SHORT_ROW "I\0\0\0\x0aN\0\1t\0\0\0\1x"
#define UNKNOWN_RELATION "R\0\0\0\x0dpublic\0q\0d\0\1\1id\0\0\0\0\x17\xff\xff\xff\xff"
#define UNKNOWN_ROW                 \
	"I\0\0\0\x0dN\0\1t\0\0\0\1" \
	"1"
#define TRUNCATE "T\0\0\0\2\0\0\0\0\x0a\0\0\0\x0b"
#define TRUNCATE_UNKNOWN "T\0\0\0\1\0\0\0\0\x0d"
#define NUDGE "M\1\0\0\0\0\1\x60\x7b\xd8pgweir\0\0\0\0\0"
#define DDL "M\1\0\0\0\0\1\x60\x7b\xd8pgweir\0\0\0\0\7ddl x,y"
#define DDL_OUTSIDE "M\0\0\0\0\0\1\x60\x7b\xd8pgweir\0\0\0\0\3ddl"
#define TYPE "Y\0\0\x40\0public\0mood\0"

static struct catalog *catalog(void)
{
	const struct catalog_column columns[] = {
		{.attnum = 1, .name = "v", .type_oid = 25, .builtin_type = true, .plain_equality = true},
		{.attnum = 2, .name = "id", .type_oid = 23, .builtin_type = true, .plain_equality = true},
		{.attnum = 3, .name = "g", .type_oid = 23, .builtin_type = true, .plain_equality = true},
	};
	const int16_t key[] = {2};
	struct catalog *c = catalog_new();
	struct catalog_relation rel = {.oid = 10,
				       .schema = "public",
				       .name = "t",
				       .kind = 'r',
				       .persistence = 'p',
				       .replica_identity = 'd',
				       .ngenerated = 1,
				       .ncolumns = 3,
				       .columns = columns,
				       .nkey = 1,
				       .key = key};

	REQUIRE(c != NULL && catalog_add_relation(c, &rel) == 0);
	rel.oid = 11;
	rel.name = "u";
	REQUIRE(catalog_add_relation(c, &rel) == 0);
	catalog_freeze(c);
	return c;
}

static int feed_one(struct apply *a, struct span record, enum apply_event *event_r)
{
	/* A buffer of exactly its size: reading beyond shows. */
	uint8_t *bytes = malloc(record.n);
	struct err err;
	int rc;

	REQUIRE(bytes != NULL);
	memcpy(bytes, record.p, record.n);
	rc = apply_pgoutput(a, span_of(bytes, record.n), event_r, &err);
	free(bytes);
	return rc;
}

static int feed(struct apply *a, const struct span *records)
{
	enum apply_event event = APPLY_NONE;

	for (; records->p != NULL; records++) {
		if (feed_one(a, *records, &event) != 0)
			return -1;
	}
	return event;
}

#define R(literal) span_of((literal), sizeof(literal) - 1)
#define FEED(a, ...) feed((a), (const struct span[]){__VA_ARGS__, {NULL, 0}})

static bool has_key(const struct change *c, const char *text)
{
	const int16_t attnum = 2;
	struct span value;
	struct buf b;
	uint64_t key;
	bool found = false;

	buf_init(&b, 64);
	REQUIRE(datum_canon(23, false, span_str(text), &b) == DATUM_OK);
	value = buf_span(&b);
	key = readkey_row(10, 1, &attnum, &value);
	buf_free(&b);
	for (size_t i = 0; i < c->nkeys; i++)
		found |= c->keys[i] == key;
	return found;
}

static bool whole(const struct change *c, uint32_t relid)
{
	for (size_t i = 0; i < c->nrels; i++) {
		if (c->rels[i].relid == relid)
			return c->rels[i].whole;
	}
	return false;
}

static void start(struct apply *a, struct catalog **c)
{
	*c = catalog();
	apply_init(a, 100);
	a->catalog = *c;
}

static void stop(struct apply *a, struct catalog *c)
{
	apply_free(a);
	catalog_unref(c);
}

TEST(apply_pgoutput, rows_count_by_key)
{
	struct catalog *c;
	struct apply a;

	start(&a, &c);
	EXPECT_EQ(FEED(&a, R(BEGIN), R(RELATION), R(TYPE), R(INSERT_1), R(UPDATE_2_TO_3), R(UPDATE_4),
		       R(DELETE_5), R(COMMIT)),
		  APPLY_COMMIT);
	EXPECT(a.change.xid == 0x37e && a.change.nchanges == 4 && !a.change.everything &&
	       !apply_suspicious(&a));
	EXPECT_EQ(a.end, 0x16040e8);
	EXPECT(has_key(&a.change, "1") && has_key(&a.change, "2") && has_key(&a.change, "3") &&
	       has_key(&a.change, "4") && has_key(&a.change, "5") && a.change.nkeys == 5);
	EXPECT(!whole(&a.change, 10));
	/* What was announced stays announced. */
	EXPECT_EQ(FEED(&a, R(BEGIN), R(INSERT_1), R(COMMIT)), APPLY_COMMIT);
	EXPECT(has_key(&a.change, "1") && a.change.nkeys == 1);
	stop(&a, c);
}

TEST(apply_pgoutput, what_is_not_certain)
{
	struct catalog *c;
	struct apply a;

	start(&a, &c);
	EXPECT_EQ(FEED(&a, R(BEGIN), R(RELATION), R(KEY_UNCHANGED), R(COMMIT)), APPLY_COMMIT);
	EXPECT(whole(&a.change, 10) && !a.change.everything && !apply_suspicious(&a));
	EXPECT_EQ(FEED(&a, R(BEGIN), R(TRUNCATE), R(COMMIT)), APPLY_COMMIT);
	EXPECT(whole(&a.change, 10) && whole(&a.change, 11) && !apply_suspicious(&a));
	EXPECT_EQ(FEED(&a, R(BEGIN), R(UNKNOWN_RELATION), R(UNKNOWN_ROW), R(COMMIT)), APPLY_COMMIT);
	EXPECT(a.change.everything && apply_suspicious(&a));
	EXPECT_EQ(FEED(&a, R(BEGIN), R(TRUNCATE_UNKNOWN), R(COMMIT)), APPLY_COMMIT);
	EXPECT(a.change.everything && apply_suspicious(&a));
	/* A column that the catalog does not know: the table has changed. */
	EXPECT_EQ(FEED(&a, R(BEGIN), R(WIDER), R(WIDER_ROW), R(COMMIT)), APPLY_COMMIT);
	EXPECT(whole(&a.change, 10) && apply_suspicious(&a));
	stop(&a, c);
}

TEST(apply_pgoutput, messages)
{
	struct catalog *c;
	struct apply a;

	start(&a, &c);
	EXPECT_EQ(FEED(&a, R(BEGIN), R(NUDGE), R(COMMIT)), APPLY_COMMIT);
	EXPECT(!apply_suspicious(&a));
	EXPECT_EQ(FEED(&a, R(BEGIN), R(RELATION), R(INSERT_1), R(DDL), R(COMMIT)), APPLY_COMMIT);
	EXPECT(a.ddl && apply_suspicious(&a));
	EXPECT_EQ(FEED(&a, R(DDL_OUTSIDE)), APPLY_SUSPECT);
	stop(&a, c);
}

TEST(apply_pgoutput, what_is_not_understood_ends_the_stream)
{
	struct catalog *c;
	struct apply a;

	start(&a, &c);
	EXPECT_EQ(FEED(&a, R(COMMIT)), -1);
	EXPECT_EQ(FEED(&a, R(RELATION)), -1);
	EXPECT_EQ(FEED(&a, R(NUDGE)), -1);
	EXPECT_EQ(FEED(&a, R(BEGIN), R(BEGIN)), -1);
	apply_reset(&a);
	/* Not announced on this stream. */
	EXPECT_EQ(FEED(&a, R(BEGIN), R(INSERT_1)), -1);
	apply_reset(&a);
	EXPECT_EQ(FEED(&a, R(BEGIN), R(RELATION), R(SHORT_ROW)), -1);
	apply_reset(&a);
	EXPECT_EQ(FEED(&a, R(BEGIN), R(RELATION), R(WIDER_ROW)), -1);
	apply_reset(&a);
	EXPECT_EQ(FEED(&a, R(BEGIN), R("X")), -1);
	apply_reset(&a);
	EXPECT_EQ(FEED(&a, R(BEGIN), R(COMMIT)), APPLY_COMMIT);
	stop(&a, c);
}
