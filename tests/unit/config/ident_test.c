#include "config/ident.h"
#include "tests/support/test.h"

static struct ident *parse(const char *text)
{
	struct ident *ident = NULL;
	struct err err = {0};

	if (ident_parse(text, strlen(text), "ident", &ident, &err) != 0)
		EXPECT_STR(err.text, "");
	REQUIRE(ident != NULL);
	return ident;
}

TEST(ident, without_a_map_both_names_are_equal)
{
	EXPECT(ident_allows(NULL, "", "anna", "anna"));
	EXPECT(ident_allows(NULL, NULL, "anna", "anna"));
	EXPECT(!ident_allows(NULL, "", "anna", "bob"));
	EXPECT(!ident_allows(NULL, "m", "anna", "anna"));
}

TEST(ident, maps_names)
{
	struct ident *ident = parse("# map\nm root anna\nm root bob\nother root carl\nm \"a b\" anna\n");

	EXPECT(ident_allows(ident, "m", "root", "anna"));
	EXPECT(ident_allows(ident, "m", "root", "bob"));
	EXPECT(ident_allows(ident, "m", "a b", "anna"));
	EXPECT(!ident_allows(ident, "m", "root", "carl"));
	EXPECT(!ident_allows(ident, "m", "anna", "anna"));
	EXPECT(!ident_allows(ident, "none", "root", "anna"));
	ident_free(&ident);
}

TEST(ident, knows_all_and_the_quoted_all)
{
	struct ident *ident = parse("m root all\nq root \"all\"\n");

	EXPECT(ident_allows(ident, "m", "root", "anyone"));
	EXPECT(!ident_allows(ident, "q", "root", "anyone"));
	EXPECT(ident_allows(ident, "q", "root", "all"));
	ident_free(&ident);
}

TEST(ident, puts_the_group_of_a_regular_expression_in)
{
	struct ident *ident =
		parse("m /^(.*)@example\\.org$ \\1\nm /^(x)?$ pre_\\1_post\nm /^guest$ guest\n");

	EXPECT(ident_allows(ident, "m", "anna@example.org", "anna"));
	EXPECT(!ident_allows(ident, "m", "anna@example.org", "bob"));
	EXPECT(!ident_allows(ident, "m", "anna@exampleXorg", "anna"));
	EXPECT(ident_allows(ident, "m", "x", "pre_x_post"));
	EXPECT(!ident_allows(ident, "m", "", "pre__post"));
	EXPECT(ident_allows(ident, "m", "guest", "guest"));
	ident_free(&ident);
}

TEST(ident, names_the_line_that_is_wrong)
{
	static const struct {
		const char *text;
		const char *error;
	} rows[] = {
		{"\nm root\n", "ident:2: expected three fields: map, system name, database user"},
		{"m a,b c\n", "ident:1: lists are not supported"},
		{"m a +c\n", "ident:1: database user \"+c\" is not supported"},
		{"m \"a\n", "ident:1: a double quote does not end"},
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct ident *ident = NULL;
		struct err err = {0};

		EXPECT_EQ(ident_parse(rows[i].text, strlen(rows[i].text), "ident", &ident, &err), -1);
		EXPECT_STR(err.text, rows[i].error);
	}
}

TEST(ident, refuses_a_broken_regular_expression)
{
	struct ident *ident = NULL;
	struct err err = {0};

	EXPECT_EQ(ident_parse("m a b\nm /( x\n", 13, "ident", &ident, &err), -1);
	EXPECT(strncmp(err.text, "ident:2: regular expression \"(\": ", 33) == 0);
}
