#include "config/ini.h"
#include "config/connstr.h"
#include "tests/support/test.h"
#include "tests/unit/config/scratch.h"

#include <stdio.h>
#include <stdlib.h>

struct read {
	struct text_pool *pool;
	struct ini_doc doc;
	struct err err;
	int rc;
};

static struct read read_text(const char *text)
{
	struct read r = {.pool = text_pool_new()};

	r.rc = ini_read(r.pool, text, strlen(text), "t.ini", false, &r.doc, &r.err);
	return r;
}

static void expect_setting(const struct read *r, unsigned i, const char *section, const char *key,
			   const char *value, int line)
{
	REQUIRE(i < r->doc.count);
	EXPECT_STR(r->doc.settings[i].section, section);
	EXPECT_STR(r->doc.settings[i].key, key);
	EXPECT_STR(r->doc.settings[i].value, value);
	EXPECT_EQ(r->doc.settings[i].line, line);
}

TEST(ini, reads_sections_and_settings_with_their_lines)
{
	struct read r = read_text("; one\n[a]\nx = 1\n\n# two\n  y=2  \r\n[b]\nz =\n");

	EXPECT_EQ(r.rc, 0);
	EXPECT_EQ(r.doc.count, 3);
	expect_setting(&r, 0, "a", "x", "1", 3);
	expect_setting(&r, 1, "a", "y", "2", 6);
	expect_setting(&r, 2, "b", "z", "", 8);
	text_pool_free(&r.pool);
}

TEST(ini, has_no_comments_behind_a_value)
{
	struct read r = read_text("[a]\nquery = select 1 ; select 2 # three\n");

	EXPECT_EQ(r.rc, 0);
	expect_setting(&r, 0, "a", "query", "select 1 ; select 2 # three", 2);
	text_pool_free(&r.pool);
}

TEST(ini, does_not_take_an_indented_line_for_a_continuation)
{
	struct read r = read_text("[a]\nx = 1\n   y = 2\n");

	EXPECT_EQ(r.doc.count, 2);
	expect_setting(&r, 1, "a", "y", "2", 3);
	text_pool_free(&r.pool);
}

TEST(ini, does_not_end_a_key_at_a_colon)
{
	struct read r = read_text("[a]\nns:db = host=::1\n");

	EXPECT_EQ(r.rc, 0);
	expect_setting(&r, 0, "a", "ns:db", "host=::1", 2);
	text_pool_free(&r.pool);
}

TEST(ini, reads_quoted_keys)
{
	struct read r = read_text("[a]\n\"a = \"\"b\"\":c\" = 1\n\"plain\"=2\n");

	EXPECT_EQ(r.rc, 0);
	expect_setting(&r, 0, "a", "a = \"b\":c", "1", 2);
	EXPECT(r.doc.settings[0].quoted);
	expect_setting(&r, 1, "a", "plain", "2", 3);
	text_pool_free(&r.pool);
}

TEST(ini, refuses_broken_quotes_in_a_key)
{
	static const char *const bad[] = {"[a]\n\"x = 1\n", "[a]\n\"x\"y = 1\n", "[a]\n\"\" = 1\n",
					  "[a]\n\" = 1\n"};

	for (int i = 0; i < 4; i++) {
		struct read r = read_text(bad[i]);

		EXPECT_EQ(r.rc, -1);
		EXPECT(strncmp(r.err.text, "t.ini:2: ", 9) == 0);
		text_pool_free(&r.pool);
	}
}

TEST(ini, names_the_line_that_it_cannot_read)
{
	struct read r = read_text("[a]\nx = 1\nthis is nothing\ny = 2\n");

	EXPECT_EQ(r.rc, -1);
	EXPECT_STR(r.err.text, "t.ini:3: neither a section in brackets nor name = value");
	text_pool_free(&r.pool);
	r = read_text("[a]\n = 2\n");
	EXPECT_STR(r.err.text, "t.ini:2: there is no name before the =");
	text_pool_free(&r.pool);
	r = read_text("[a\nx = 1\n");
	EXPECT_STR(r.err.text, "t.ini:1: neither a section in brackets nor name = value");
	text_pool_free(&r.pool);
}

TEST(ini, reads_a_last_line_without_newline_and_a_byte_order_mark)
{
	struct read r = read_text("\xEF\xBB\xBF[a]\nx = 1");

	EXPECT_EQ(r.rc, 0);
	expect_setting(&r, 0, "a", "x", "1", 2);
	text_pool_free(&r.pool);
}

TEST(ini, reads_nothing_from_nothing)
{
	struct read r = read_text("");

	EXPECT_EQ(r.rc, 0);
	EXPECT_EQ(r.doc.count, 0);
	text_pool_free(&r.pool);
}

/* Around the sizes at which inih's buffer grows, a line must not be cut or glued to the next one. */
TEST(ini, reads_long_lines_whole)
{
	for (size_t n = 1; n < 300000; n = n < 4080 || n > 16400 ? n * 3 + 1 : n + 1 + n / 40) {
		char *text = malloc(n + 64);
		struct read r;
		size_t at = (size_t)sprintf(text, "[a]\nx = ");

		memset(text + at, 'v', n);
		strcpy(text + at + n, "\ny = 2\n");
		r = read_text(text);
		EXPECT_EQ(r.rc, 0);
		REQUIRE(r.doc.count == 2);
		EXPECT_EQ(strlen(r.doc.settings[0].value), n);
		expect_setting(&r, 1, "a", "y", "2", 3);
		text_pool_free(&r.pool);
		free(text);
	}
}

TEST(ini, reads_lines_just_around_the_buffer_size)
{
	for (size_t n = 4070; n < 4110; n++) {
		char *text = malloc(n + 64);
		struct read r;
		size_t at = (size_t)sprintf(text, "[a]\nx = ");

		memset(text + at, 'v', n);
		strcpy(text + at + n, "\ny = 2\n");
		r = read_text(text);
		REQUIRE(r.doc.count == 2);
		EXPECT_EQ(strlen(r.doc.settings[0].value), n);
		expect_setting(&r, 1, "a", "y", "2", 3);
		text_pool_free(&r.pool);
		free(text);
	}
}

TEST(ini, refuses_a_line_without_end)
{
	size_t n = 2 << 20;
	char *text = malloc(n + 1);
	struct read r;

	memset(text, 'v', n);
	text[n] = '\0';
	r = read_text(text);
	EXPECT_EQ(r.rc, -1);
	EXPECT_STR(r.err.text, "t.ini:1: line longer than 1048576 bytes");
	text_pool_free(&r.pool);
	free(text);
}

TEST(ini, refuses_control_characters)
{
	struct read r = read_text("[a]\nx\x01y = 1\n");

	EXPECT_STR(r.err.text, "t.ini:2: control character in the text");
	text_pool_free(&r.pool);
}

TEST(ini, opens_no_file_when_it_reads_from_memory)
{
	struct read r = read_text("[a]\n%include /etc/passwd\n");

	EXPECT_STR(r.err.text, "t.ini:2: %include is not possible here");
	text_pool_free(&r.pool);
}

static struct read read_file(const char *path)
{
	struct read r = {.pool = text_pool_new()};
	char *text;
	size_t n;

	REQUIRE(text_read(r.pool, path, &text, &n, &r.err) == 0);
	r.rc = ini_read(r.pool, text, n, path, true, &r.doc, &r.err);
	return r;
}

TEST(ini, follows_nested_includes_in_place)
{
	struct scratch s;
	struct read r;

	scratch_make(&s);
	scratch_file(&s, "c.ini", "three = 3\n[other]\nfour = 4");
	scratch_file(&s, "b.ini", "\n\ntwo = 2\n%include c.ini\nfive = 5\n");
	r = read_file(scratch_file(&s, "a.ini", "[a]\none = 1\n%include b.ini\nsix = 6\n"));
	EXPECT_EQ(r.rc, 0);
	EXPECT_EQ(r.doc.count, 6);
	expect_setting(&r, 0, "a", "one", "1", 2);
	expect_setting(&r, 1, "a", "two", "2", 3);
	expect_setting(&r, 2, "a", "three", "3", 1);
	expect_setting(&r, 3, "other", "four", "4", 3);
	expect_setting(&r, 4, "other", "five", "5", 5);
	expect_setting(&r, 5, "other", "six", "6", 4);
	EXPECT_STR(r.doc.settings[0].file, s.path[2]);
	EXPECT_STR(r.doc.settings[1].file, s.path[1]);
	EXPECT_STR(r.doc.settings[3].file, s.path[0]);
	EXPECT_STR(r.doc.settings[5].file, s.path[2]);
	text_pool_free(&r.pool);
	scratch_drop(&s);
}

TEST(ini, names_the_included_file_in_errors)
{
	struct scratch s;
	struct read r;
	char want[256];

	scratch_make(&s);
	scratch_file(&s, "b.ini", "\nnonsense\n");
	r = read_file(scratch_file(&s, "a.ini", "[a]\n%include b.ini\n"));
	EXPECT_EQ(r.rc, -1);
	snprintf(want, sizeof want, "%s/b.ini:2: neither a section in brackets nor name = value", s.dir);
	EXPECT_STR(r.err.text, want);
	text_pool_free(&r.pool);
	scratch_drop(&s);
}

TEST(ini, says_which_include_is_missing)
{
	struct scratch s;
	struct read r;
	char want[256];

	scratch_make(&s);
	r = read_file(scratch_file(&s, "a.ini", "[a]\n\n%include  none.ini \n"));
	EXPECT_EQ(r.rc, -1);
	snprintf(want, sizeof want,
		 "%s/a.ini:3: %%include: cannot open %s/none.ini: No such file or directory", s.dir, s.dir);
	EXPECT_STR(r.err.text, want);
	text_pool_free(&r.pool);
	r = read_file(scratch_file(&s, "a.ini", "%include\n"));
	snprintf(want, sizeof want, "%s/a.ini:1: %%include needs a file name", s.dir);
	EXPECT_STR(r.err.text, want);
	text_pool_free(&r.pool);
	scratch_drop(&s);
}

TEST(ini, refuses_cycles_of_includes)
{
	struct scratch s;
	struct read r;
	char want[256];

	scratch_make(&s);
	scratch_file(&s, "b.ini", "y = 1\n%include a.ini\n");
	r = read_file(scratch_file(&s, "a.ini", "[a]\n%include b.ini\n"));
	EXPECT_EQ(r.rc, -1);
	snprintf(want, sizeof want, "%s/b.ini:2: %s/a.ini includes itself", s.dir, s.dir);
	EXPECT_STR(r.err.text, want);
	text_pool_free(&r.pool);
	scratch_drop(&s);
}

TEST(ini, may_include_a_file_twice_one_after_the_other)
{
	struct scratch s;
	struct read r;

	scratch_make(&s);
	scratch_file(&s, "b.ini", "y = 1\n");
	r = read_file(scratch_file(&s, "a.ini", "[a]\n%include b.ini\n%include b.ini\n"));
	EXPECT_EQ(r.rc, 0);
	EXPECT_EQ(r.doc.count, 2);
	text_pool_free(&r.pool);
	scratch_drop(&s);
}

TEST(ini, bounds_the_depth_of_includes)
{
	struct scratch s;
	struct read r;
	char name[32], text[64];

	scratch_make(&s);
	for (int i = 1; i < 12; i++) {
		snprintf(name, sizeof name, "f%d.ini", i);
		snprintf(text, sizeof text, "%%include f%d.ini\n", i + 1);
		scratch_file(&s, name, text);
	}
	r = read_file(scratch_file(&s, "f0.ini", "%include f1.ini\n"));
	EXPECT_EQ(r.rc, -1);
	EXPECT(strstr(r.err.text, "/f9.ini:1: %include goes deeper than 10 files") != NULL);
	text_pool_free(&r.pool);
	scratch_drop(&s);
}

/* --- the values of entries --- */

TEST(connstr, cuts_pairs)
{
	char text[] = " host=localhost  port = 5432 password='a ''b'' c' dbname='' x=y ";
	static const char *const want[] = {"host",    "localhost", "port", "5432", "password",
					   "a 'b' c", "dbname",	   "",	   "x",	   "y"};
	char *at = text, *key, *value;
	const char *why;

	for (int i = 0; i < 10; i += 2) {
		REQUIRE(connstr_next(&at, &key, &value, &why) == CONNSTR_PAIR);
		EXPECT_STR(key, want[i]);
		EXPECT_STR(value, want[i + 1]);
	}
	EXPECT_EQ(connstr_next(&at, &key, &value, &why), CONNSTR_END);
}

TEST(connstr, refuses_what_is_no_pair)
{
	static const struct {
		const char *text;
		const char *why;
	} rows[] = {
		{"host", "expected key=value pairs"},
		{"host localhost", "expected key=value pairs"},
		{"=x", "expected key=value pairs"},
		{"password='abc", "a quoted value does not end"},
		{"password='abc''", "a quoted value does not end"},
		{"password='abc'd=1", "there must be white space after a quoted value"},
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		char text[64], *at = text, *key, *value;
		const char *why = "";

		strcpy(text, rows[i].text);
		EXPECT_EQ(connstr_next(&at, &key, &value, &why), CONNSTR_BAD);
		EXPECT_STR(why, rows[i].why);
	}
}

TEST(connstr, quotes_what_it_can_read_again)
{
	struct text_pool *pool = text_pool_new();
	static const char *const values[] = {"", "'", "a b", "it''s", "=", "'; drop"};

	for (int i = 0; i < 6; i++) {
		char *at = text_printf(pool, "k=%s next=1", connstr_quote(pool, values[i])), *key, *value;
		const char *why;

		EXPECT_EQ(connstr_next(&at, &key, &value, &why), CONNSTR_PAIR);
		EXPECT_STR(value, values[i]);
		EXPECT_EQ(connstr_next(&at, &key, &value, &why), CONNSTR_PAIR);
		EXPECT_STR(key, "next");
	}
	text_pool_free(&pool);
}
