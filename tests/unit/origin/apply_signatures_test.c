/* Rows count by the columns of every signature. */
#include "proxy/origin/apply.h"
#include "proxy/sql/reads.h"
#include "protocol/datum.h"
#include "tests/support/test.h"

#include <stdlib.h>

static struct catalog *catalog(char identity)
{
	const struct catalog_column columns[] = {
		{.attnum = 1, .name = "id", .type_oid = 23, .builtin_type = true, .plain_equality = true},
		{.attnum = 2, .name = "owner", .type_oid = 23, .builtin_type = true, .plain_equality = true},
		{.attnum = 4, .name = "kind", .type_oid = 25, .builtin_type = true, .plain_equality = true},
	};
	const int16_t key[] = {1};
	const struct catalog_relation rel = {.oid = 10,
					     .schema = "public",
					     .name = "t",
					     .kind = 'r',
					     .persistence = 'p',
					     .replica_identity = identity,
					     .ncolumns = 3,
					     .columns = columns,
					     .nkey = 1,
					     .key = key};
	struct catalog *c = catalog_new();

	REQUIRE(c != NULL && catalog_add_relation(c, &rel) == 0);
	catalog_freeze(c);
	return c;
}

/* One transaction of one record. */
static void one(struct apply *a, const char *record)
{
	const char *const records[] = {"BEGIN 700", record, "COMMIT 700"};

	for (int i = 0; i < 3; i++) {
		enum apply_event event;
		struct err err;

		REQUIRE(apply_decoding(a, span_str(records[i]), &event, &err) == 0);
	}
	signatures_end(a->signatures);
}

static uint64_t key_of(uint16_t n, const int16_t *attnums, const char *const *texts)
{
	struct span values[3] = {{0}};
	struct buf buf[3];
	uint64_t key;

	for (unsigned i = 0; i < n; i++) {
		buf_init(&buf[i], 64);
		REQUIRE(datum_canon(attnums[i] == 4 ? 25 : 23, false, span_str(texts[i]), &buf[i]) ==
			DATUM_OK);
		values[i] = buf_span(&buf[i]);
	}
	key = readkey_row(10, n, attnums, values);
	for (unsigned i = 0; i < n; i++)
		buf_free(&buf[i]);
	return key;
}

static bool has(const struct change *c, uint64_t key)
{
	for (size_t i = 0; i < c->nkeys; i++)
		if (c->keys[i] == key)
			return true;
	return false;
}

static const int16_t owner[] = {2}, both[] = {2, 4};

static bool has_owner(const struct apply *a, const char *value)
{
	return has(&a->change, key_of(1, owner, (const char *const[]){value}));
}

static bool has_both(const struct apply *a, const char *first, const char *second)
{
	return has(&a->change, key_of(2, both, (const char *const[]){first, second}));
}

static struct signatures *sigs;

static void set_up(struct apply *a, char identity)
{
	sigs = malloc(sizeof(*sigs));
	REQUIRE(sigs != NULL);
	signatures_init(sigs);
	EXPECT(signatures_want(sigs, 10, 1, owner) && signatures_want(sigs, 10, 2, both));
	apply_init(a, 100);
	a->catalog = catalog(identity);
	a->signatures = sigs;
}

static void tear_down(struct apply *a)
{
	catalog_unref((struct catalog *)(uintptr_t)a->catalog);
	apply_free(a);
	signatures_done(sigs);
	free(sigs);
}

TEST(apply_signatures, new_rows_count_by_each)
{
	struct apply a;

	set_up(&a, 'd');
	one(&a, "table public.t: INSERT: id[integer]:1 owner[integer]:4 kind[text]:'x'");
	EXPECT(has_owner(&a, "4") && has_both(&a, "4", "x") && a.change.nkeys == 3);
	EXPECT(!a.change.rels[0].whole && !a.change.rels[0].gone);
	one(&a, "table public.t: UPDATE: id[integer]:1 owner[integer]:5 kind[text]:'x'");
	EXPECT(has_owner(&a, "5") && has_both(&a, "5", "x") && !has_owner(&a, "4"));
	EXPECT(!a.change.rels[0].whole && a.change.rels[0].gone);
	one(&a, "table public.t: DELETE: id[integer]:1");
	EXPECT(a.change.nkeys == 1 && !a.change.rels[0].whole && a.change.rels[0].gone);
	tear_down(&a);
}

TEST(apply_signatures, null_is_in_no_predicate)
{
	struct apply a;

	set_up(&a, 'd');
	one(&a, "table public.t: INSERT: id[integer]:1 owner[integer]:null kind[text]:'x'");
	EXPECT(a.change.nkeys == 1 && !a.change.rels[0].whole);
	one(&a, "table public.t: INSERT: id[integer]:1 owner[integer]:4 kind[text]:null");
	EXPECT(a.change.nkeys == 2 && has_owner(&a, "4") && !a.change.rels[0].whole);
	tear_down(&a);
}

TEST(apply_signatures, what_is_not_sent_may_be_anything)
{
	struct apply a;

	set_up(&a, 'd');
	one(&a, "table public.t: UPDATE: id[integer]:1 owner[integer]:4 kind[text]:unchanged-toast-datum");
	EXPECT(a.change.rels[0].whole);
	/* But not where another column says that it does not match. */
	one(&a, "table public.t: UPDATE: id[integer]:1 owner[integer]:null kind[text]:unchanged-toast-datum");
	EXPECT(!a.change.rels[0].whole && a.change.nkeys == 1);
	tear_down(&a);
}

TEST(apply_signatures, old_rows_count_when_they_are_shown)
{
	struct apply a;

	set_up(&a, 'f');
	one(&a, "table public.t: UPDATE: old-key: id[integer]:1 owner[integer]:4 kind[text]:'x' "
		"new-tuple: id[integer]:1 owner[integer]:5 kind[text]:'x'");
	EXPECT(has_owner(&a, "4") && has_owner(&a, "5") && has_both(&a, "4", "x") && has_both(&a, "5", "x"));
	EXPECT(!a.change.rels[0].whole && !a.change.rels[0].gone);
	one(&a, "table public.t: DELETE: id[integer]:1 owner[integer]:4"); /* kind was NULL */
	EXPECT(has_owner(&a, "4") && a.change.nkeys == 2 && !a.change.rels[0].gone);
	tear_down(&a);
	/* The default identity shows the key alone: nothing is said of the old owner. */
	set_up(&a, 'd');
	one(&a,
	    "table public.t: UPDATE: old-key: id[integer]:1 new-tuple: id[integer]:2 owner[integer]:5 kind[text]:'x'");
	EXPECT(a.change.rels[0].gone && has_owner(&a, "5"));
	tear_down(&a);
}

TEST(apply_signatures, one_that_comes_in_the_middle_waits_for_the_next)
{
	static const int16_t kind[] = {4};
	struct apply a;
	enum apply_event event;
	struct err err;

	set_up(&a, 'd');
	REQUIRE(apply_decoding(&a, span_str("BEGIN 7"), &event, &err) == 0);
	EXPECT(!signatures_want(sigs, 10, 1, kind));
	EXPECT(!signatures_want(sigs, 10, 1, kind));
	REQUIRE(apply_decoding(&a, span_str("COMMIT 7"), &event, &err) == 0);
	EXPECT(!signatures_want(sigs, 10, 1, kind)); /* its change is not applied yet */
	signatures_end(sigs);
	EXPECT(signatures_want(sigs, 10, 1, kind));
	one(&a, "table public.t: INSERT: id[integer]:1 owner[integer]:4 kind[text]:'x'");
	EXPECT_EQ(a.change.nkeys, 4);
	tear_down(&a);
}
