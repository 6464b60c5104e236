/* Records to changes, without a server. */
#include "proxy/origin/apply.h"
#include "proxy/sql/reads.h"
#include "protocol/datum.h"
#include "tests/support/test.h"

#include <stdio.h>
#include <stdlib.h>

static struct catalog *catalog(void)
{
	const struct catalog_column columns[] = {
		{.attnum = 1, .name = "v", .type_oid = 25, .builtin_type = true, .plain_equality = true},
		{.attnum = 2, .name = "id", .type_oid = 23, .builtin_type = true, .plain_equality = true},
	};
	const int16_t key[] = {2};
	const uint32_t up[] = {7, 8};
	struct catalog *c = catalog_new();

	REQUIRE(c != NULL);
	struct catalog_relation rel = {.oid = 10,
				       .schema = "public",
				       .name = "t",
				       .kind = 'r',
				       .persistence = 'p',
				       .replica_identity = 'd',
				       .ncolumns = 2,
				       .columns = columns,
				       .nkey = 1,
				       .key = key};
	REQUIRE(catalog_add_relation(c, &rel) == 0);
	rel.oid = 11;
	rel.name = "leaf";
	rel.nancestors = 2;
	rel.ancestors = up;
	REQUIRE(catalog_add_relation(c, &rel) == 0);
	catalog_freeze(c);
	return c;
}

static int feed_one(struct apply *a, const char *record, enum apply_event *event_r)
{
	/* A buffer of exactly its size: reading beyond shows. */
	size_t n = strlen(record);
	char *bytes = malloc(n);
	struct err err;
	int rc;

	REQUIRE(bytes != NULL);
	memcpy(bytes, record, n);
	rc = apply_decoding(a, span_of(bytes, n), event_r, &err);
	free(bytes);
	return rc;
}

static int feed(struct apply *a, const char *const *records)
{
	enum apply_event event = APPLY_NONE;

	for (; *records != NULL; records++) {
		if (feed_one(a, *records, &event) != 0)
			return -1;
	}
	return event;
}

#define FEED(a, ...) feed((a), (const char *const[]){__VA_ARGS__, NULL})

static uint64_t key_of(uint32_t relid, uint8_t last)
{
	struct buf b;
	char text[4];
	const int16_t attnum = 2;
	uint64_t key;

	buf_init(&b, 64);
	snprintf(text, sizeof(text), "%u", last);
	REQUIRE(datum_canon(23, false, span_str(text), &b) == DATUM_OK);
	struct span value = buf_span(&b);
	key = readkey_row(relid, 1, &attnum, &value);
	buf_free(&b);
	return key;
}

static bool has_key(const struct change *c, uint64_t key)
{
	for (size_t i = 0; i < c->nkeys; i++) {
		if (c->keys[i] == key)
			return true;
	}
	return false;
}

static const struct change_relation *has(const struct change *c, uint32_t relid)
{
	for (size_t i = 0; i < c->nrels; i++) {
		if (c->rels[i].relid == relid)
			return &c->rels[i];
	}
	return NULL;
}

TEST(apply, rows_and_what_is_above_them)
{
	struct catalog *c = catalog();
	struct apply a;

	apply_init(&a, 100);
	a.catalog = c;
	EXPECT_EQ(FEED(&a, "BEGIN 700", "table public.t: INSERT: v[text]:'x' id[integer]:1",
		       "table public.t: UPDATE: old-key: id[integer]:2 new-tuple: v[text]:null id[integer]:3",
		       "table public.leaf: DELETE: id[integer]:4", "COMMIT 700"),
		  APPLY_COMMIT);
	EXPECT(a.change.xid == 700 && a.change.nchanges == 3 && !a.change.everything &&
	       !apply_suspicious(&a));
	EXPECT(has_key(&a.change, key_of(10, 1)) && has_key(&a.change, key_of(10, 2)) &&
	       has_key(&a.change, key_of(10, 3)));
	EXPECT(has_key(&a.change, key_of(11, 4)) && a.change.nkeys == 4);
	EXPECT(has(&a.change, 10) != NULL && !has(&a.change, 10)->whole);
	EXPECT(has(&a.change, 11) != NULL && !has(&a.change, 11)->whole);
	EXPECT(has(&a.change, 7) != NULL && has(&a.change, 7)->whole);
	EXPECT(has(&a.change, 8) != NULL && has(&a.change, 8)->whole);
	/* The next transaction starts empty. */
	EXPECT_EQ(FEED(&a, "BEGIN 701", "table public.t: UPDATE: v[text]:unchanged-toast-datum id[integer]:1",
		       "COMMIT 701"),
		  APPLY_COMMIT);
	EXPECT(a.change.nkeys == 1 && a.change.nrels == 1 && has_key(&a.change, key_of(10, 1)));
	apply_free(&a);
	catalog_unref(c);
}

TEST(apply, what_it_cannot_tell_apart)
{
	struct catalog *c = catalog();
	struct apply a;
	const char *const uncertain[] = {
		"table public.t: DELETE: (no-tuple-data)",
		"table public.t: UPDATE: (no-tuple-data)",
		"table public.t: UPDATE: v[text]:'x' id[integer]:unchanged-toast-datum",
		"table public.t: INSERT: v[text]:'x' id[integer]:null",
		"table public.t: INSERT: v[text]:'x' id[integer]:1x",
		"table public.t: DELETE: v[text]:'x'",
		"table public.t, public.leaf: TRUNCATE: (no-flags)",
	};

	apply_init(&a, 100);
	a.catalog = c;
	for (size_t i = 0; i < sizeof(uncertain) / sizeof(*uncertain); i++) {
		EXPECT_EQ(FEED(&a, "BEGIN 1", uncertain[i], "COMMIT 1"), APPLY_COMMIT);
		EXPECT(has(&a.change, 10) != NULL && has(&a.change, 10)->whole);
		EXPECT(!a.change.everything);
	}
	/* What the catalog does not know may be anything, and says that the catalog is old. */
	EXPECT_EQ(FEED(&a, "BEGIN 2", "table public.nobody: INSERT: id[integer]:1", "COMMIT 2"),
		  APPLY_COMMIT);
	EXPECT(a.change.everything && apply_suspicious(&a));
	EXPECT_EQ(FEED(&a, "BEGIN 3", "table public.t: INSERT: v[text]:'x' id[integer]:1 more[integer]:1",
		       "COMMIT 3"),
		  APPLY_COMMIT);
	EXPECT(apply_suspicious(&a) && has(&a.change, 10)->whole);
	EXPECT_EQ(FEED(&a, "BEGIN 4", "table public.t: INSERT: id[integer]:1", "COMMIT 4"), APPLY_COMMIT);
	EXPECT(apply_suspicious(&a) && has(&a.change, 10)->whole);
	apply_free(&a);
	catalog_unref(c);
}

TEST(apply, messages_and_empty_transactions)
{
	struct catalog *c = catalog();
	struct apply a;

	apply_init(&a, 100);
	a.catalog = c;
	EXPECT_EQ(FEED(&a, "BEGIN 1", "COMMIT 1"), APPLY_COMMIT);
	EXPECT(apply_suspicious(&a));
	EXPECT_EQ(FEED(&a, "BEGIN 2", "message: transactional: 1 prefix: pgweir, sz: 0 content:", "COMMIT 2"),
		  APPLY_COMMIT);
	EXPECT(!apply_suspicious(&a));
	EXPECT_EQ(FEED(&a, "BEGIN 3", "message: transactional: 1 prefix: other, sz: 3 content:ddl",
		       "COMMIT 3"),
		  APPLY_COMMIT);
	EXPECT(apply_suspicious(&a) && !a.ddl);
	EXPECT_EQ(FEED(&a, "BEGIN 4", "table public.t: INSERT: v[text]:'x' id[integer]:1",
		       "message: transactional: 1 prefix: pgweir, sz: 18 content:ddl ALTER TABLE t,",
		       "COMMIT 4"),
		  APPLY_COMMIT);
	EXPECT(a.ddl && apply_suspicious(&a));
	EXPECT_EQ(FEED(&a, "message: transactional: 0 prefix: pgweir, sz: 3 content:ddl"), APPLY_SUSPECT);
	EXPECT_EQ(FEED(&a, "message: transactional: 0 prefix: pgweir, sz: 0 content:"), APPLY_NONE);
	apply_free(&a);
	catalog_unref(c);
}

TEST(apply, what_is_out_of_order_ends_the_stream)
{
	struct catalog *c = catalog();
	struct apply a;
	enum apply_event event;

	apply_init(&a, 100);
	a.catalog = c;
	EXPECT_EQ(FEED(&a, "COMMIT 1"), -1);
	EXPECT_EQ(FEED(&a, "table public.t: INSERT: v[text]:'x' id[integer]:1"), -1);
	EXPECT_EQ(FEED(&a, "BEGIN 1", "BEGIN 2"), -1);
	apply_reset(&a);
	EXPECT_EQ(FEED(&a, "BEGIN 1", "COMMIT 2"), -1);
	apply_reset(&a);
	EXPECT_EQ(FEED(&a, "BEGIN 1", "table public.t: INSERT: v[text]:'x' id[integer"), -1);
	apply_reset(&a);
	EXPECT_EQ(FEED(&a, "BEGIN 1", "table public.t: MERGE: id[integer]:1"), -1);
	apply_reset(&a);
	EXPECT_EQ(FEED(&a, "hello"), -1);
	EXPECT_EQ(feed_one(&a, "", &event), -1);
	EXPECT_EQ(FEED(&a, "BEGIN 1", "COMMIT 1"), APPLY_COMMIT);
	apply_free(&a);
	catalog_unref(c);
}
