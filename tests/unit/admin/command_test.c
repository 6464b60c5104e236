#include "proxy/admin/command.h"
#include "tests/support/test.h"

#include <stdio.h>
#include <stdlib.h>

static enum parsed_end parse(const char *text, struct parsed *p, struct err *err)
{
	size_t used = 0;
	/* An exact copy: what reads past its end is seen. */
	char *copy = malloc(strlen(text) + 1);
	enum parsed_end end;

	memcpy(copy, text, strlen(text));
	*p = (struct parsed){0};
	end = command_parse(span_of(copy, strlen(text)), p, &used, err);
	free(copy);
	EXPECT(used <= strlen(text));
	return end;
}

TEST(command, knows_every_row_by_its_words)
{
	for (unsigned i = 0; i < command_number; i++) {
		const char *more = commands[i].args == ARGS_DB		? " d"
				   : commands[i].args == ARGS_CLIENT	? " 7"
				   : commands[i].args == ARGS_KEY_VALUE ? " a = b"
				   : commands[i].args == ARGS_DB_SQL	? " d 'select 1'"
									: "";
		char text[128];
		struct parsed p;
		struct err err;

		snprintf(text, sizeof text, "%s%s;", commands[i].words, more);
		REQUIRE(parse(text, &p, &err) == PARSED_OK);
		EXPECT(p.command == &commands[i]);
		parsed_free(&p);
	}
}

TEST(command, takes_any_case_blanks_comments_and_quotes)
{
	static const struct {
		const char *text, *arg;
	} cases[] = {
		{"pause", NULL},
		{"  Pause  shop ; ", "shop"},
		{"PAUSE \"a \"\"b\"\" c\"", "a \"b\" c"},
		{"/* x */ pause -- y\n 'it''s' /* z", "it's"},
		{"PAUSE my-db", "my-db"},
		{"PAUSE caf\xc3\xa9", "caf\xc3\xa9"},
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct parsed p;
		struct err err;

		REQUIRE(parse(cases[i].text, &p, &err) == PARSED_OK);
		EXPECT_STR(p.command->words, "PAUSE");
		EXPECT_STR(p.arg[0] != NULL ? p.arg[0] : "-", cases[i].arg != NULL ? cases[i].arg : "-");
		parsed_free(&p);
	}
}

TEST(command, says_where_the_error_is)
{
	static const struct {
		const char *text, *says;
	} cases[] = {
		{"nonsense", "no command \"nonsense\""},
		{"SHOW nonsense", "no command \"SHOW nonsense\""},
		{"SHOW", "end of input"},
		{"PAUSE a b", "near \"b\""},
		{"PAUSE 'a", "unterminated quoted string"},
		{"SELECT version()", "no command \"SELECT version\" and runs no SQL"},
		{"KILL_CLIENT x1", "near \"x1\": expected the id or the ptr of a client"},
		{"KILL_CLIENT s1", "near \"s1\""},
		{"KILL_CLIENT c", "near \"c\""},
		{"KILL_CLIENT \"1\"", "near \"\"1\"\""},
		{"KILL_CLIENT 99999999999999999999", "expected the id"},
		{"SET a b", "near \"b\": expected ="},
		{"SET a =", "end of input: expected a value"},
		{"SHUTDOWN now", "expected WAIT_FOR_SERVERS"},
		{"=", "near \"=\""},
		{"SHOW POOLS'", "unterminated"},
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct parsed p;
		struct err err;

		EXPECT_EQ(parse(cases[i].text, &p, &err), PARSED_ERROR);
		EXPECT_STR(err.sqlstate, "42601");
		if (strstr(err.text, cases[i].says) == NULL)
			EXPECT_STR(err.text, cases[i].says);
		parsed_free(&p);
	}
}

TEST(command, one_after_the_other)
{
	const char *text = " ; SHOW STATE ; set a = 'b;c';; ";
	struct parsed p;
	struct err err;
	size_t used, at = 0;

	REQUIRE(command_parse(span_str(text), &p, &used, &err) == PARSED_OK);
	EXPECT_STR(p.command->words, "SHOW STATE");
	parsed_free(&p);
	at += used;
	REQUIRE(command_parse(span_str(text + at), &p, &used, &err) == PARSED_OK);
	EXPECT_STR(p.arg[0], "a");
	EXPECT_STR(p.arg[1], "b;c");
	parsed_free(&p);
	at += used;
	EXPECT_EQ(command_parse(span_str(text + at), &p, &used, &err), PARSED_EMPTY);
}

TEST(command, settings_of_drivers_are_known)
{
	struct parsed p;
	struct err err;

	REQUIRE(parse("SHOW Client_Encoding", &p, &err) == PARSED_OK);
	EXPECT_STR(p.command->words, "client_encoding");
	parsed_free(&p);
	REQUIRE(parse("SET search_path = a, b", &p, &err) == PARSED_OK);
	parsed_free(&p);
	REQUIRE(parse("SET TIME ZONE 'UTC'", &p, &err) == PARSED_OK);
	EXPECT_STR(p.arg[0], "timezone");
	parsed_free(&p);
	EXPECT(fake_param("work_mem") == NULL);
	EXPECT_STR(fake_param("TimeZone"), "GMT");
}

/* Every prefix and every single wrong byte: an end, and nothing read past it (under ASan). */
TEST(command, survives_cut_and_broken_texts)
{
	static const char text[] = "SET /* a */ \"k\"\"y\" = 'v''' -- c\n; SHOW STATS x";

	for (size_t n = 0; n < sizeof text; n++) {
		char copy[sizeof text];
		struct parsed p;
		struct err err;

		memcpy(copy, text, n);
		copy[n] = '\0';
		parse(copy, &p, &err);
		parsed_free(&p);
		memcpy(copy, text, sizeof text);
		if (n + 1 < sizeof text)
			copy[n] = "'\"/*-;=\xff"[n % 8];
		parse(copy, &p, &err);
		parsed_free(&p);
	}
}
