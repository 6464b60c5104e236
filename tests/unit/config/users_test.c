#include "config/users.h"
#include "tests/support/test.h"

#include <stdio.h>
#include <stdlib.h>

static struct users *parse(const char *text)
{
	struct users *users = NULL;
	struct err err = {0};

	if (users_parse(text, strlen(text), "u.txt", &users, &err) != 0)
		EXPECT_STR(err.text, "");
	REQUIRE(users != NULL);
	return users;
}

TEST(users, reads_names_and_secrets_with_doubled_quotes)
{
	struct users *users = parse(
		"; a comment\n\n\"anna\" \"pw\"\r\n  \"b\"\"ob\"\t\"p\"\"w \"  rest is ignored\n# end\n");

	EXPECT_EQ(users_count(users), 2);
	EXPECT_STR(users_find(users, "anna")->secret, "pw");
	EXPECT_STR(users_find(users, "b\"ob")->secret, "p\"w ");
	EXPECT_STR(users_at(users, 0)->name, "anna");
	EXPECT_STR(users_at(users, 1)->name, "b\"ob");
	EXPECT(users_find(users, "carl") == NULL);
	users_unref(users);
}

TEST(users, knows_the_kinds_of_secrets)
{
	struct users *users = parse("\"a\" \"md5d41d8cd98f00b204e9800998ecf8427e\"\n"
				    "\"b\" \"SCRAM-SHA-256$4096:c2FsdA==$c3RvcmVk:c2VydmVy\"\n"
				    "\"c\" \"md5 is not a hash\"\n\"d\" \"\"\n");

	EXPECT_EQ(users_find(users, "a")->kind, USERS_MD5);
	EXPECT_EQ(users_find(users, "b")->kind, USERS_SCRAM);
	EXPECT_EQ(users_find(users, "c")->kind, USERS_PLAIN);
	EXPECT_EQ(users_find(users, "d")->kind, USERS_PLAIN);
	EXPECT_STR(users_find(users, "d")->secret, "");
	users_unref(users);
}

TEST(users, the_last_of_two_lines_counts)
{
	struct users *users = parse("\"a\" \"1\"\n\"b\" \"2\"\n\"a\" \"3\"");

	EXPECT_EQ(users_count(users), 2);
	EXPECT_STR(users_find(users, "a")->secret, "3");
	users_unref(users);
}

TEST(users, names_the_line_but_never_the_secret)
{
	static const struct {
		const char *text;
		const char *error;
	} rows[] = {
		{"\"a\" \"x\"\nbob secret\n", "u.txt:2: expected \"user\" \"secret\" in double quotes"},
		{"\"a\" secret\n", "u.txt:1: expected the secret in double quotes after the user's name"},
		{"\"a\"\n", "u.txt:1: expected the secret in double quotes after the user's name"},
		{"\"a\" \"secret\n\"b\" \"x\"\n", "u.txt:1: the quotes around the secret do not end"},
		{"\"a", "u.txt:1: the quotes around the user's name do not end"},
		{"\"\" \"secret\"", "u.txt:1: the user's name is empty"},
		{"\"a\" \"se\x01ret\"", "u.txt:1: control character in the text"},
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct users *users = NULL;
		struct err err = {0};

		EXPECT_EQ(users_parse(rows[i].text, strlen(rows[i].text), "u.txt", &users, &err), -1);
		EXPECT_STR(err.text, rows[i].error);
		EXPECT(users == NULL);
	}
}

TEST(users, survives_every_cut_of_a_file)
{
	static const char text[] =
		"\"an\"\"na\" \"pw\"\n;x\n\"bob\" \"md5d41d8cd98f00b204e9800998ecf8427e\"\n";

	for (size_t n = 0; n < sizeof text; n++) {
		struct users *users = NULL;
		struct err err;
		char *copy = strndup(text, n); /* so that reading behind the end is seen */
		int rc = users_parse(copy, n, "u", &users, &err);

		EXPECT_EQ(rc == 0, users != NULL);
		users_unref(users);
		free(copy);
	}
}

TEST(users, holds_many)
{
	char *text = malloc(3000 * 32), *at = text;
	struct users *users;

	for (int i = 0; i < 3000; i++)
		at += sprintf(at, "\"user%d\" \"secret%d\"\n", i, i);
	users = parse(text);
	EXPECT_EQ(users_count(users), 3000);
	EXPECT_STR(users_find(users, "user2999")->secret, "secret2999");
	EXPECT_STR(users_at(users, 1500)->name, "user1500");
	EXPECT(users_ref(users) == users);
	users_unref(users);
	users_unref(users);
	free(text);
}

TEST(users, makes_a_list_of_one)
{
	struct users *users = users_single("anna", "pw");

	EXPECT_EQ(users_count(users), 1);
	EXPECT_STR(users_at(users, 0)->secret, "pw");
	users_unref(users);
	EXPECT(users_find(NULL, "anna") == NULL);
	EXPECT_EQ(users_count(NULL), 0);
	users_unref(NULL);
}
