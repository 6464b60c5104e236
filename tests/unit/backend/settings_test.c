#include "proxy/backend/settings.h"
#include "tests/support/test.h"

#include <stdio.h>
#include <stdlib.h>

static int set(struct settings *s, const char *name, const char *value)
{
	struct span v = span_str(value == NULL ? "" : value);

	return settings_set(s, span_str(name), value == NULL ? NULL : &v);
}

TEST(settings, keep_values_exactly_and_names_without_case)
{
	struct settings s;

	settings_init(&s);
	EXPECT_EQ(set(&s, "TimeZone", "Europe/Berlin"), 1);
	EXPECT_STR(settings_get(&s, "timezone"), "Europe/Berlin");
	EXPECT_STR(settings_get(&s, "TIMEZONE"), "Europe/Berlin");
	EXPECT_EQ(set(&s, "timezone", "Europe/Berlin"), 0);
	EXPECT_EQ(set(&s, "timezone", "europe/berlin"), 1);
	EXPECT_STR(settings_get(&s, "TimeZone"), "europe/berlin");
	EXPECT_EQ(s.n, 1);
	EXPECT_EQ(set(&s, "TIMEZONE", NULL), 1);
	EXPECT_EQ(set(&s, "TIMEZONE", NULL), 0);
	EXPECT(settings_get(&s, "timezone") == NULL);
	EXPECT_EQ(s.n, 0);
	EXPECT_EQ(s.bytes, 0);
	settings_free(&s);
}

TEST(settings, are_sorted_whatever_the_order_they_came_in)
{
	const char *names[] = {"work_mem", "app.tenant",  "TimeZone", "DateStyle",
			       "role",	   "search_path", "a",	      "zzz"};
	struct settings s;

	settings_init(&s);
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		EXPECT_EQ(set(&s, names[i], "x"), 1);
	REQUIRE(s.n == 8);
	EXPECT_STR(s.at[0].name, "a");
	EXPECT_STR(s.at[1].name, "app.tenant");
	EXPECT_STR(s.at[7].name, "zzz");
	for (unsigned i = 0; i < s.n; i++)
		EXPECT_STR(settings_get(&s, s.at[i].name), "x");
	EXPECT(settings_get(&s, "b") == NULL);
	settings_free(&s);
}

TEST(settings, equal_sets_have_equal_hashes)
{
	struct settings a, b;

	settings_init(&a);
	settings_init(&b);
	EXPECT(settings_equal(&a, &b));
	set(&a, "x", "1");
	set(&a, "Y", "2");
	set(&a, "z", "3");
	EXPECT(!settings_equal(&a, &b));
	set(&b, "Z", "3");
	set(&b, "y", "other");
	set(&b, "gone", "soon");
	set(&b, "X", "1");
	EXPECT(!settings_equal(&a, &b));
	set(&b, "y", "2");
	EXPECT(!settings_equal(&a, &b));
	set(&b, "gone", NULL);
	EXPECT_EQ(settings_shared(&a)->hash, settings_shared(&b)->hash);
	EXPECT(settings_equal(&a, &b));
	set(&b, "y", "2 ");
	EXPECT(settings_shared(&a)->hash != settings_shared(&b)->hash);
	EXPECT(!settings_equal(&a, &b));
	settings_clear(&b);
	EXPECT(b.at == NULL);
	settings_free(&a);
	settings_free(&b);
}

TEST(settings, values_and_names_do_not_trade_places_in_the_hash)
{
	struct settings a, b;

	settings_init(&a);
	settings_init(&b);
	set(&a, "x", "1");
	set(&a, "y", "2");
	set(&b, "x", "2");
	set(&b, "y", "1");
	EXPECT(settings_shared(&a)->hash != settings_shared(&b)->hash);
	EXPECT(!settings_equal(&a, &b));
	settings_free(&a);
	settings_free(&b);
}

TEST(settings, equality_does_not_rest_on_the_hash)
{
	struct settings a, b;

	settings_init(&a);
	settings_init(&b);
	set(&a, "x", "1");
	set(&b, "x", "2");
	settings_shared(&b)->hash = settings_shared(&a)->hash; /* as if they had collided */
	EXPECT(!settings_equal(&a, &b));
	settings_free(&a);
	settings_free(&b);
}

TEST(settings, a_copy_is_equal_and_apart)
{
	struct settings a, b;

	settings_init(&a);
	settings_init(&b);
	set(&a, "x", "1");
	set(&a, "app.y", "");
	set(&b, "old", "o");
	EXPECT_EQ(settings_copy(&a, &b), 0);
	EXPECT(settings_equal(&a, &b));
	EXPECT(settings_get(&b, "old") == NULL);
	EXPECT_STR(settings_get(&b, "app.y"), "");
	set(&b, "x", "2");
	EXPECT_STR(settings_get(&a, "x"), "1");
	settings_free(&a);
	settings_free(&b);
}

struct seen {
	char text[512];
};

static void note(void *arg, const char *name, const char *value)
{
	struct seen *seen = arg;
	size_t n = strlen(seen->text);

	snprintf(seen->text + n, sizeof seen->text - n, "%s=%s;", name, value == NULL ? "(reset)" : value);
}

TEST(settings, the_difference_is_what_has_to_be_set_and_reset)
{
	struct settings have, want;
	struct seen seen = {""};

	settings_init(&have);
	settings_init(&want);
	settings_diff(&have, &want, note, &seen);
	EXPECT_STR(seen.text, "");
	set(&have, "equal", "e");
	set(&have, "Other", "1");
	set(&have, "alone", "x");
	set(&have, "z_last", "x");
	set(&want, "EQUAL", "e");
	set(&want, "other", "2");
	set(&want, "new", "n");
	settings_diff(&have, &want, note, &seen);
	EXPECT_STR(seen.text, "alone=(reset);new=n;other=2;z_last=(reset);");
	seen.text[0] = '\0';
	settings_diff(&want, &want, note, &seen);
	EXPECT_STR(seen.text, "");
	settings_free(&have);
	settings_free(&want);
}

TEST(settings, are_bounded_in_number)
{
	struct settings s;
	char name[32];

	settings_init(&s);
	for (unsigned i = 0; i < SETTINGS_MAX; i++) {
		snprintf(name, sizeof name, "app.n%u", i);
		EXPECT_EQ(set(&s, name, "v"), 1);
	}
	EXPECT_EQ(set(&s, "app.more", "v"), -1);
	EXPECT_EQ(s.n, SETTINGS_MAX);
	EXPECT_EQ(set(&s, "app.n7", "w"), 1); /* those that are there may change */
	EXPECT_EQ(set(&s, "app.n8", NULL), 1);
	EXPECT_EQ(set(&s, "app.more", "v"), 1);
	settings_free(&s);
}

TEST(settings, are_bounded_in_bytes)
{
	struct settings s;
	char *big = malloc(SETTINGS_BYTES + 1);
	uint64_t hash;

	REQUIRE(big != NULL);
	memset(big, 'x', SETTINGS_BYTES);
	big[SETTINGS_BYTES] = '\0';
	settings_init(&s);
	EXPECT_EQ(set(&s, "a", big), -1);
	EXPECT_EQ(s.n, 0);
	big[SETTINGS_BYTES / 2] = '\0';
	EXPECT_EQ(set(&s, "a", big), 1);
	hash = settings_shared(&s)->hash;
	EXPECT_EQ(set(&s, "b", big), -1);
	EXPECT_EQ(s.n, 1);
	EXPECT_EQ(settings_shared(&s)->hash, hash);
	EXPECT_EQ(set(&s, "a", "small"), 1);
	EXPECT_EQ(s.bytes, 6);
	EXPECT_EQ(set(&s, "b", big), 1);
	settings_free(&s);
	free(big);
}

TEST(settings, copies_share_until_one_changes)
{
	struct settings a, b, c;

	settings_init(&a);
	settings_init(&b);
	settings_init(&c);
	set(&a, "x", "1");
	set(&a, "y", "2");
	EXPECT_EQ(settings_copy(&a, &b), 0);
	EXPECT(a.at == b.at);
	EXPECT_EQ(set(&b, "x", "1"), 0);
	EXPECT(a.at == b.at); /* nothing has changed */
	EXPECT_EQ(set(&b, "x", "3"), 1);
	EXPECT(a.at != b.at);
	EXPECT_STR(settings_get(&a, "x"), "1");
	EXPECT_STR(settings_get(&b, "x"), "3");
	EXPECT_STR(settings_get(&b, "y"), "2");
	settings_copy(&b, &c);
	EXPECT_EQ(set(&c, "y", NULL), 1);
	EXPECT_EQ(b.n, 2);
	EXPECT_EQ(c.n, 1);
	settings_copy(&b, &c);
	EXPECT_EQ(set(&c, "z", "4"), 1);
	EXPECT(settings_get(&b, "z") == NULL);
	settings_copy(&c, &c);
	EXPECT_EQ(c.n, 3);
	settings_free(&b);
	EXPECT_STR(settings_get(&c, "x"), "3");
	settings_free(&a);
	settings_free(&c);
}

TEST(settings, equal_ones_become_shared_when_compared)
{
	struct settings a, b;

	settings_init(&a);
	settings_init(&b);
	set(&a, "x", "1");
	set(&b, "X", "1");
	EXPECT(settings_same(&a, &b));
	EXPECT(a.at == b.at);
	EXPECT(settings_same(&a, &b));
	set(&b, "x", "2");
	EXPECT(!settings_same(&a, &b));
	EXPECT_STR(settings_get(&a, "x"), "1");
	settings_free(&a);
	settings_free(&b);
}

TEST(settings, equal_ones_drift_to_the_memory_that_most_share)
{
	struct settings a, b, c;

	settings_init(&a);
	settings_init(&b);
	settings_init(&c);
	set(&a, "x", "1");
	set(&b, "X", "1");
	settings_copy(&b, &c);
	EXPECT(settings_unite(&a, &b));
	EXPECT(a.at == c.at && b.at == c.at);
	set(&a, "x", "2");
	EXPECT(!settings_unite(&a, &b));
	EXPECT_STR(settings_get(&b, "x"), "1");
	settings_clear(&a);
	set(&a, "x", "1");
	EXPECT(settings_unite(&b, &a)); /* either way round */
	EXPECT(a.at == c.at && b.at == c.at);
	settings_free(&a);
	settings_free(&b);
	settings_free(&c);
}

/* The new value may be that of the set that is being changed. */
TEST(settings, take_values_from_themselves)
{
	struct settings a, b;
	struct span v;

	settings_init(&a);
	settings_init(&b);
	set(&a, "x", "1");
	set(&a, "y", "a longer value than the first");
	settings_copy(&a, &b);
	v = span_str(settings_get(&a, "y"));
	EXPECT_EQ(settings_set(&a, span_str("x"), &v), 1);
	v = span_str(settings_get(&a, "y"));
	EXPECT_EQ(settings_set(&a, span_str("x"), &v), 0);
	EXPECT_STR(settings_get(&a, "x"), "a longer value than the first");
	EXPECT_STR(settings_get(&b, "x"), "1");
	settings_free(&b);
	settings_free(&a);
}
