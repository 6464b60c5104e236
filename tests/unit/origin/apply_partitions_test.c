/* Rows of a partition count for the tables above it, by keys and signatures of theirs. */
#include "proxy/origin/apply.h"
#include "proxy/sql/reads.h"
#include "protocol/datum.h"
#include "tests/support/test.h"

#include <stdlib.h>

#define COL(num, name_)                                                                 \
	{                                                                               \
		.attnum = (num), .name = (name_), .type_oid = 23, .builtin_type = true, \
		.plain_equality = true                                                  \
	}

enum { ROOT = 20, LEAF = 21, PARENT = 22, CHILD = 23, ODD = 24, ODD_LEAF = 25 };

static void add(struct catalog *c, struct catalog_relation rel)
{
	rel.schema = "public";
	rel.persistence = 'p';
	rel.ncolumns = 2;
	REQUIRE(catalog_add_relation(c, &rel) == 0);
}

/* The leaf was attached: its columns have other numbers. */
static struct catalog *catalog(char identity)
{
	const struct catalog_column above[] = {COL(1, "owner"), COL(3, "id")},
				    below[] = {COL(1, "id"), COL(2, "owner")};
	const int16_t one[] = {1}, two[] = {2}, three[] = {3};
	const uint32_t root[] = {ROOT}, parent[] = {PARENT}, odd[] = {ODD};
	struct catalog *c = catalog_new();

	REQUIRE(c != NULL);
	add(c, (struct catalog_relation){
		       .oid = ROOT, .name = "root", .kind = 'p', .columns = above, .nkey = 1, .key = three});
	add(c, (struct catalog_relation){.oid = LEAF,
					 .name = "leaf",
					 .kind = 'r',
					 .replica_identity = identity,
					 .columns = below,
					 .nkey = 1,
					 .key = one,
					 .nancestors = 1,
					 .ancestors = root});
	add(c, (struct catalog_relation){.oid = PARENT,
					 .name = "parent",
					 .kind = 'r',
					 .replica_identity = 'd',
					 .columns = below,
					 .nkey = 1,
					 .key = one});
	add(c, (struct catalog_relation){.oid = CHILD,
					 .name = "child",
					 .kind = 'r',
					 .replica_identity = 'd',
					 .columns = below,
					 .nkey = 1,
					 .key = one,
					 .nancestors = 1,
					 .ancestors = parent});
	add(c, (struct catalog_relation){
		       .oid = ODD, .name = "odd", .kind = 'p', .columns = below, .nkey = 1, .key = two});
	add(c, (struct catalog_relation){.oid = ODD_LEAF,
					 .name = "odd_leaf",
					 .kind = 'r',
					 .replica_identity = 'd',
					 .columns = below,
					 .nkey = 1,
					 .key = one,
					 .nancestors = 1,
					 .ancestors = odd});
	catalog_freeze(c);
	return c;
}

static struct signatures *sigs;
static struct apply a;

static void set_up(char identity)
{
	static const int16_t owner_above[] = {1};

	sigs = malloc(sizeof(*sigs));
	REQUIRE(sigs != NULL);
	signatures_init(sigs);
	EXPECT(signatures_want(sigs, ROOT, 1, owner_above));
	apply_init(&a, 100);
	a.catalog = catalog(identity);
	a.signatures = sigs;
}

static void tear_down(void)
{
	catalog_unref((struct catalog *)(uintptr_t)a.catalog);
	apply_free(&a);
	signatures_done(sigs);
	free(sigs);
}

static void one(const char *record)
{
	const char *const records[] = {"BEGIN 700", record, "COMMIT 700"};

	for (int i = 0; i < 3; i++) {
		enum apply_event event;
		struct err err;

		REQUIRE(apply_decoding(&a, span_str(records[i]), &event, &err) == 0);
	}
	signatures_end(sigs);
}

static bool has(uint32_t relid, int16_t attnum, const char *text)
{
	struct buf buf;
	struct span value;
	uint64_t key;

	buf_init(&buf, 64);
	REQUIRE(datum_canon(23, false, span_str(text), &buf) == DATUM_OK);
	value = buf_span(&buf);
	key = readkey_row(relid, 1, &attnum, &value);
	buf_free(&buf);
	for (size_t i = 0; i < a.change.nkeys; i++)
		if (a.change.keys[i] == key)
			return true;
	return false;
}

static struct change_relation rel(uint32_t relid)
{
	for (size_t i = 0; i < a.change.nrels; i++)
		if (a.change.rels[i].relid == relid)
			return a.change.rels[i];
	return (struct change_relation){0};
}

TEST(apply_partitions, a_row_counts_by_the_roots_own_columns)
{
	set_up('d');
	one("table public.leaf: INSERT: id[integer]:1 owner[integer]:4");
	EXPECT(has(LEAF, 1, "1") && has(ROOT, 3, "1") && has(ROOT, 1, "4") && a.change.nkeys == 3);
	EXPECT(rel(ROOT).relid == ROOT && !rel(ROOT).whole && !rel(ROOT).gone && !rel(LEAF).whole);
	one("table public.leaf: UPDATE: old-key: id[integer]:1 new-tuple: id[integer]:2 owner[integer]:5");
	EXPECT(has(ROOT, 3, "1") && has(ROOT, 3, "2") && has(ROOT, 1, "5") && has(LEAF, 1, "1") &&
	       has(LEAF, 1, "2"));
	EXPECT(rel(ROOT).gone && !rel(ROOT).whole);
	one("table public.leaf: DELETE: id[integer]:2");
	EXPECT(has(ROOT, 3, "2") && a.change.nkeys == 2 && rel(ROOT).gone && !rel(ROOT).whole);
	tear_down();
}

TEST(apply_partitions, the_identity_is_the_leafs)
{
	set_up('f');
	one("table public.leaf: UPDATE: old-key: id[integer]:1 owner[integer]:4 new-tuple: id[integer]:1 owner[integer]:5");
	EXPECT(has(ROOT, 1, "4") && has(ROOT, 1, "5") && has(ROOT, 3, "1") && !rel(ROOT).gone &&
	       !rel(ROOT).whole);
	tear_down();
	set_up('n');
	one("table public.leaf: UPDATE: id[integer]:1 owner[integer]:5");
	EXPECT(rel(ROOT).whole && rel(LEAF).whole);
	one("table public.leaf: DELETE: (no-tuple-data)");
	EXPECT(rel(ROOT).whole && rel(LEAF).whole);
	one("table public.leaf: TRUNCATE: (no-flags)");
	EXPECT(rel(ROOT).whole && rel(LEAF).whole);
	tear_down();
}

TEST(apply_partitions, other_parents_are_touched_as_a_whole)
{
	set_up('d');
	one("table public.child: INSERT: id[integer]:1 owner[integer]:4");
	EXPECT(rel(PARENT).whole && !rel(CHILD).whole && has(CHILD, 1, "1") && a.change.nkeys == 1);
	/* A key of the parent that the partition's identity does not show; PostgreSQL knows no such thing. */
	one("table public.odd_leaf: UPDATE: id[integer]:1 owner[integer]:4");
	EXPECT(rel(ODD).whole && !rel(ODD_LEAF).whole);
	tear_down();
}
