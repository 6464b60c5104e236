#include "config/config.h"
#include "tests/support/test.h"
#include "tests/unit/config/scratch.h"

#include <stdlib.h>

static struct config *load(const char *path)
{
	struct config *cfg = NULL;
	struct err err = {0};

	if (config_load(path, &cfg, &err) != 0)
		EXPECT_STR(err.text, "");
	REQUIRE(cfg != NULL);
	return cfg;
}

TEST(expand, secrets_come_from_files_and_the_environment)
{
	struct scratch s;
	struct config *cfg;
	struct policy p;

	scratch_make(&s);
	setenv("PGWEIR_TEST_HOST", "db1,db2", 1);
	setenv("PGWEIR_TEST_SECRET", "with 'quotes' and ${env:PGWEIR_TEST_HOST}", 1);
	scratch_file(&s, "feed", "from a file\r\n");
	cfg = load(scratch_file(&s, "a.ini",
				"[databases]\nx = host=${env:PGWEIR_TEST_HOST} password='a${file:feed}b'\n"
				"[pgweir]\nfeed_password = ${env:PGWEIR_TEST_SECRET}\npeer_id = 1\n"
				"[peers]\n2 = host=peer-${env:PGWEIR_TEST_HOST}\n"));
	EXPECT_EQ(config_database(cfg, "x")->host_count, 2);
	EXPECT_STR(config_database(cfg, "x")->hosts[1], "db2");
	EXPECT_STR(config_database(cfg, "x")->password, "afrom a fileb");
	policy_of(cfg, "x", NULL, &p);
	EXPECT_STR(p.feed_password, "with 'quotes' and ${env:PGWEIR_TEST_HOST}"); /* not looked at again */
	EXPECT_STR(config_peer(cfg, 2)->host, "peer-db1,db2");
	config_unref(cfg);
	scratch_drop(&s);
}

TEST(expand, a_reload_reads_the_file_again)
{
	struct scratch s;
	struct config *old, *new = NULL;
	struct err err = {0};

	scratch_make(&s);
	scratch_file(&s, "feed", "one");
	old = load(scratch_file(&s, "a.ini", "[pgweir]\nfeed_password = ${file:feed}\n"));
	scratch_file(&s, "feed", "two\n");
	REQUIRE(config_reload(old, &new, &err) == 0);
	EXPECT_STR(old->feed_password, "one");
	EXPECT_STR(new->feed_password, "two");
	config_unref(new);
	config_unref(old);
	scratch_drop(&s);
}

static void expect_refused(struct scratch *s, const char *line, const char *why)
{
	char text[256];
	struct config *cfg = NULL;
	struct err err = {0};

	snprintf(text, sizeof text, "[pgweir]\n%s\n", line);
	EXPECT_EQ(config_load(scratch_file(s, "a.ini", text), &cfg, &err), -1);
	EXPECT(strstr(err.text, "a.ini:2: ") != NULL);
	if (strstr(err.text, why) == NULL)
		EXPECT_STR(err.text, why);
}

TEST(expand, what_cannot_be_put_in_is_an_error_of_its_line)
{
	struct scratch s;

	scratch_make(&s);
	scratch_file(&s, "two", "one line\nand another\n");
	unsetenv("PGWEIR_TEST_NONE");
	expect_refused(&s, "feed_password = ${env:PGWEIR_TEST_NONE}",
		       "no environment variable PGWEIR_TEST_NONE");
	expect_refused(&s, "feed_password = ${file:/does/not/exist}", "/does/not/exist");
	expect_refused(&s, "feed_password = ${file:two}", "not one line");
	expect_refused(&s, "feed_password = ${vault:x}", "only ${env:NAME} and ${file:PATH}");
	expect_refused(&s, "feed_password = ${env:X", "${ without }");
	expect_refused(&s, "feed_password = ${file:}", "a.ini:2: feed_password: ${file:} names no file");
	expect_refused(&s, "feed_password = ${env:}", "a.ini:2: feed_password: ${env:} names no variable");
	scratch_drop(&s);
}

/* The console's SET must not be a way to read files or the environment. */
TEST(expand, only_what_stands_in_a_file_is_expanded)
{
	struct scratch s;
	struct config *cfg, *set = NULL;
	struct err err = {0};

	scratch_make(&s);
	cfg = load(scratch_file(&s, "a.ini", "[pgweir]\n"));
	REQUIRE(config_with(cfg, "login_notify_message", "${file:/etc/passwd}", &set, &err) == 0);
	EXPECT_STR(set->login_notify_message, "${file:/etc/passwd}");
	config_unref(set);
	config_unref(cfg);
	cfg = scratch_config("[pgweir]\nlogin_notify_message = ${env:HOME}\n");
	EXPECT_STR(cfg->login_notify_message, "${env:HOME}");
	config_unref(cfg);
	scratch_drop(&s);
}
