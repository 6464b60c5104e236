#include "proxy/auth/secrets.h"
#include "tests/support/test.h"
#include "tests/unit/auth/world.h"

#include <stdio.h>
#include <stdlib.h>

TEST(secrets, knows_the_kind_by_the_form)
{
	static const struct {
		const char *text;
		enum secret_kind kind;
	} cases[] = {
		{"", SECRET_NONE},
		{"hello", SECRET_PLAIN},
		{"md5", SECRET_PLAIN},
		{"md5900150983cd24fb0d6963f7d28e17f72", SECRET_MD5},
		{"md5900150983cd24fb0d6963f7d28e17f7", SECRET_PLAIN},
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct secret *s = secret_new(cases[i].text);

		REQUIRE(s != NULL);
		EXPECT_EQ(s->kind, cases[i].kind);
		EXPECT_STR(s->text, cases[i].text);
		secret_unref(s);
	}
	struct secret *s = secret_new(scram_of("x"));
	EXPECT_EQ(s->kind, SECRET_SCRAM);
	EXPECT(!secret_usable(s));
	secret_unref(s);
}

TEST(secrets, what_was_typed_is_a_password_whatever_it_looks_like)
{
	struct secret *s = secret_plain(span_str("md5900150983cd24fb0d6963f7d28e17f72"));

	EXPECT_EQ(s->kind, SECRET_PLAIN);
	secret_unref(s);
	EXPECT(secret_plain(span_of("a\0b", 3)) == NULL);
}

TEST(secrets, refuses_what_is_too_long)
{
	char *text = malloc(SECRET_MAX + 2);
	struct secret *s;

	memset(text, 'x', SECRET_MAX + 1);
	text[SECRET_MAX + 1] = '\0';
	EXPECT(secret_new(text) == NULL);
	text[SECRET_MAX] = '\0';
	s = secret_new(text);
	EXPECT(s != NULL && strlen(s->text) == SECRET_MAX);
	secret_unref(s);
	free(text);
}

TEST(secrets, learns_by_database_and_user)
{
	struct secrets *all = secrets_new();
	struct secret *one = secret_new("one"), *two = secret_new("two"), *same = secret_new("two");
	struct secret *found;

	secrets_learn(all, "ab", "c", one);
	EXPECT(secrets_find(all, "a", "bc") == NULL);
	found = secrets_find(all, "ab", "c");
	EXPECT(found == one);
	secret_unref(found);

	secrets_learn(all, "ab", "c", two);
	secrets_learn(all, "ab", "c", same); /* equal: the first stays */
	found = secrets_find(all, "ab", "c");
	EXPECT(found == two);
	secret_unref(found);
	secret_unref(one);
	secret_unref(two);
	secret_unref(same);
	secrets_free(&all);
	EXPECT(all == NULL);
}

TEST(secrets, keeps_verifiers_and_salted_passwords)
{
	struct secrets *all = secrets_new();
	uint8_t salted[32] = {1, 2, 3}, out[32] = {0};
	char text[64];

	EXPECT(!secrets_verifier(all, "u", "p", text, sizeof text));
	secrets_keep_verifier(all, "u", "p", "verifier");
	EXPECT(secrets_verifier(all, "u", "p", text, sizeof text));
	EXPECT_STR(text, "verifier");
	EXPECT(!secrets_verifier(all, "u", "p", text, 8)); /* its NUL does not fit */
	EXPECT(!secrets_verifier(all, "u", "other", text, sizeof text));
	secrets_keep_verifier(all, "u", "p", "newer");
	EXPECT(secrets_verifier(all, "u", "p", text, sizeof text));
	EXPECT_STR(text, "newer");

	secrets_keep_salted(all, "p", "salt", 4, 4096, salted);
	EXPECT(secrets_salted(all, "p", "salt", 4, 4096, out));
	EXPECT_MEM(span_of(salted, 32), span_of(out, 32));
	EXPECT(!secrets_salted(all, "p", "salt", 4, 4097, out));
	EXPECT(!secrets_salted(all, "p", "sal", 3, 4096, out));
	EXPECT(!secrets_salted(all, "ps", "alt", 3, 4096, out));
	secrets_free(&all);
}
