#include "proxy/sql/catalog.h"
#include "tests/support/test.h"
#include "tests/unit/sql/sample.h"

TEST(catalog, finds_by_name_and_oid)
{
	struct catalog *c = sample_catalog();
	const struct catalog_relation *rel = catalog_find(c, span_str("public"), span_str("mk_user")),
				      *any = NULL;

	REQUIRE(rel != NULL);
	EXPECT_STR(rel->name, "mk_user");
	EXPECT(catalog_find_oid(c, rel->oid) == rel);
	EXPECT(catalog_find(c, span_str("app"), span_str("mk_user")) == NULL);
	EXPECT(catalog_find(c, span_str(""), span_str("mk_user")) == NULL);
	EXPECT(catalog_find(c, span_str("publicm"), span_str("k_user")) == NULL);
	EXPECT(catalog_find_oid(c, 1) == NULL);
	EXPECT_EQ(catalog_count_name(c, span_str("twice"), &any), 2);
	EXPECT_STR(any->name, "twice");
	EXPECT_EQ(catalog_count_name(c, span_str("mk_user"), &any), 1);
	EXPECT(any == rel);
	EXPECT_EQ(catalog_count_name(c, span_str("nothing"), &any), 0);
	EXPECT(catalog_relations(c) > 30);
	catalog_unref(c);
}

TEST(catalog, copies_what_it_is_given)
{
	char name[] = "t", schema[] = "s", column[] = "c";
	int16_t key[] = {3};
	uint32_t ancestors[] = {7, 8};
	struct catalog_column columns[] = {
		{.attnum = 3, .name = column, .type_oid = 23, .builtin_type = true}};
	struct catalog_relation rel = {.oid = 5,
				       .schema = schema,
				       .name = name,
				       .kind = 'r',
				       .ncolumns = 1,
				       .columns = columns,
				       .nkey = 1,
				       .key = key,
				       .nancestors = 2,
				       .ancestors = ancestors};
	struct catalog *c = catalog_new();
	const struct catalog_relation *found;

	REQUIRE(catalog_add_relation(c, &rel) == 0);
	name[0] = schema[0] = column[0] = 'x';
	key[0] = 9;
	ancestors[1] = 9;
	columns[0].type_oid = 1;
	catalog_freeze(c);
	found = catalog_find(c, span_str("s"), span_str("t"));
	REQUIRE(found != NULL);
	EXPECT_EQ(found->key[0], 3);
	EXPECT_EQ(found->ancestors[1], 8);
	REQUIRE(catalog_column(found, span_str("c")) != NULL);
	EXPECT_EQ(catalog_column(found, span_str("c"))->type_oid, 23);
	EXPECT(catalog_column(found, span_str("x")) == NULL);
	catalog_unref(c);
}

TEST(catalog, counts_the_code_with_the_settings_and_not_with_the_state)
{
	struct catalog *c = catalog_new();

	EXPECT_EQ(catalog_set_fingerprint(c, "state | settings"), 0);
	EXPECT_STR(catalog_settings_fingerprint(c), "| settings");
	EXPECT_EQ(catalog_set_code(c, "on a|b"), 0);
	catalog_freeze(c);
	EXPECT_STR(catalog_fingerprint(c), "state | settings");
	EXPECT_STR(catalog_settings_fingerprint(c), "| settings on a|b");
	catalog_unref(c);
}

TEST(catalog, knows_functions_operators_and_fingerprint)
{
	struct catalog *c = catalog_new();

	EXPECT_STR(catalog_fingerprint(c), "");
	EXPECT_EQ(catalog_set_fingerprint(c, "abc"), 0);
	EXPECT_EQ(catalog_add_user_function(c, "f", CATALOG_USERS_CODE), 0);
	EXPECT_EQ(catalog_add_user_function(c, "f", CATALOG_OWN_CODE), 0);
	EXPECT_EQ(catalog_add_user_operator(c, "==", CATALOG_OWN_CODE), 0);
	catalog_freeze(c);
	EXPECT_STR(catalog_fingerprint(c), "abc");
	EXPECT_EQ(catalog_user_function(c, span_str("f")), CATALOG_USERS_CODE);
	EXPECT(!catalog_user_function(c, span_str("==")));
	EXPECT_EQ(catalog_user_operator(c, span_str("==")), CATALOG_OWN_CODE);
	EXPECT(!catalog_user_operator(c, span_str("=")));
	EXPECT(!catalog_user_operator(c, span_str("")));
	EXPECT(catalog_ref(c) == c);
	catalog_unref(c);
	EXPECT_STR(catalog_fingerprint(c), "abc");
	catalog_unref(c);
}
