#include "config/config.h"
#include "config/users.h"
#include "tests/support/test.h"
#include "tests/unit/config/scratch.h"

#include <stdio.h>

TEST(reload, reads_the_file_again)
{
	struct scratch s;
	struct config *old, *new;
	struct err err;

	scratch_make(&s);
	REQUIRE(config_load(scratch_file(&s, "a.ini", "[pgweir]\nquery_timeout = 1\n"), &old, &err) == 0);
	scratch_file(&s, "a.ini", "[pgweir]\nquery_timeout = 2\n[databases]\nx = host=y\n");
	REQUIRE(config_reload(old, &new, &err) == 0);
	EXPECT_EQ(old->query_timeout, 1000000);
	EXPECT_EQ(new->query_timeout, 2000000);
	EXPECT_EQ(new->database_count, 1);
	EXPECT_EQ(new->notice_count, 0);
	EXPECT_STR(new->path, old->path);
	config_unref(old);
	EXPECT_STR(config_database(new, "x")->hosts[0], "y");
	config_unref(new);
	scratch_drop(&s);
}

TEST(reload, keeps_what_needs_a_restart_and_says_so)
{
	struct scratch s;
	struct config *first, *second, *third;
	struct err err;

	scratch_make(&s);
	REQUIRE(config_load(scratch_file(&s, "a.ini",
					 "[pgweir]\nlisten_port = 7000\nunix_socket_mode = 0700\n"),
			    &first, &err) == 0);
	scratch_file(&s, "a.ini", "[pgweir]\nlisten_port = 7001\nlisten_addr = *\nquery_timeout = 2\n");
	REQUIRE(config_reload(first, &second, &err) == 0);
	EXPECT_EQ(second->listen_port, 7000);
	EXPECT_STR(second->listen_addr, "");
	EXPECT_EQ(second->unix_socket_mode, 0700);
	EXPECT_EQ(second->query_timeout, 2000000);
	REQUIRE(second->notice_count == 3);
	EXPECT_STR(second->notices[0], "listen_addr needs a restart: it stays , not *");
	EXPECT_STR(second->notices[1], "listen_port needs a restart: it stays 7000, not 7001");
	EXPECT_STR(second->notices[2], "unix_socket_mode needs a restart: it stays 0700, not 0777");
	REQUIRE(config_reload(second, &third, &err) == 0);
	EXPECT_EQ(third->listen_port, 7000);
	config_unref(first);
	config_unref(second);
	config_unref(third);
	scratch_drop(&s);
}

TEST(reload, another_spelling_of_a_value_is_no_change)
{
	struct scratch s;
	struct config *old, *new;
	struct err err;

	scratch_make(&s);
	REQUIRE(config_load(
			scratch_file(
				&s, "a.ini",
				"[pgweir]\nlisten_port = 7000\nunix_socket_mode = 0700\nso_reuseport = on\n"),
			&old, &err) == 0);
	scratch_file(&s, "a.ini",
		     "[pgweir]\nso_reuseport = 1\nunix_socket_mode = 700\nlisten_port = 07000\n");
	REQUIRE(config_reload(old, &new, &err) == 0);
	EXPECT_EQ(new->notice_count, 0);
	config_unref(old);
	config_unref(new);
	scratch_drop(&s);
}

TEST(reload, says_no_secret_that_needs_a_restart)
{
	struct scratch s;
	struct config *old, *new;
	struct err err;

	scratch_make(&s);
	REQUIRE(config_load(scratch_file(&s, "a.ini",
					 "[pgweir]\nstats_user = eye\nstats_password = before\n"),
			    &old, &err) == 0);
	scratch_file(&s, "a.ini", "[pgweir]\nstats_user = eye\nstats_password = after\n");
	REQUIRE(config_reload(old, &new, &err) == 0);
	EXPECT_STR(new->stats_password, "before");
	REQUIRE(new->notice_count == 1);
	EXPECT_STR(new->notices[0], "stats_password needs a restart: it stays as it was");
	config_unref(old);
	config_unref(new);
	scratch_drop(&s);
}

TEST(reload, is_all_or_nothing)
{
	struct scratch s;
	struct config *old, *new = NULL;
	struct err err;

	scratch_make(&s);
	REQUIRE(config_load(scratch_file(&s, "a.ini", "[pgweir]\nquery_timeout = 1\n"), &old, &err) == 0);
	scratch_file(&s, "a.ini", "[pgweir]\nquery_timeout = 2\nnonsense_key = 1\n");
	EXPECT_EQ(config_reload(old, &new, &err), -1);
	EXPECT(strstr(err.text, "a.ini:3: unknown key \"nonsense_key\"") != NULL);
	EXPECT(new == NULL);
	EXPECT_EQ(old->query_timeout, 1000000);
	config_unref(old);
	scratch_drop(&s);
}

TEST(reload, reads_the_auth_file_again)
{
	struct scratch s;
	struct config *old, *new;
	struct err err;
	char text[128];

	scratch_make(&s);
	scratch_file(&s, "users", "\"a\" \"1\"\n");
	snprintf(text, sizeof text, "[pgweir]\nauth_file = %s/users\n", s.dir);
	REQUIRE(config_load(scratch_file(&s, "a.ini", text), &old, &err) == 0);
	scratch_file(&s, "users", "\"a\" \"2\"\n");
	REQUIRE(config_reload(old, &new, &err) == 0);
	EXPECT_STR(users_find(old->userlist, "a")->secret, "1");
	EXPECT_STR(users_find(new->userlist, "a")->secret, "2");
	config_unref(old);
	config_unref(new);
	scratch_drop(&s);
}

TEST(reload, of_a_config_without_file_gives_the_same_again)
{
	struct config *old, *new;
	struct err err;

	REQUIRE(config_from_url("postgres://u:p@h:5433/d", &old, &err) == 0);
	REQUIRE(config_reload(old, &new, &err) == 0);
	config_unref(old);
	EXPECT(new->from_url);
	EXPECT_EQ(config_database(new, "d")->port, 5433);
	EXPECT_STR(users_find(new->userlist, "u")->secret, "p");
	config_unref(new);
}

TEST(set, changes_one_option)
{
	struct config *old = scratch_config("[pgweir]\nquery_timeout = 1\n[databases]\na = host=x\n"), *new,
		      *newer;
	struct err err;

	REQUIRE(config_with(old, "query_timeout", "5", &new, &err) == 0);
	EXPECT_EQ(old->query_timeout, 1000000);
	EXPECT_EQ(new->query_timeout, 5000000);
	config_unref(old);
	REQUIRE(config_with(new, "log_stats", "0", &newer, &err) == 0);
	config_unref(new);
	EXPECT_EQ(newer->query_timeout, 5000000);
	EXPECT(!newer->log_stats);
	EXPECT_EQ(newer->database_count, 1);
	config_unref(newer);
}

TEST(set, refuses_what_it_cannot_change)
{
	struct config *old = scratch_config(""), *new = NULL;
	struct err err;

	EXPECT_EQ(config_with(old, "nonsense", "1", &new, &err), -1);
	EXPECT_STR(err.text, "unknown option \"nonsense\"");
	EXPECT_STR(err.sqlstate, "42704");
	EXPECT_EQ(config_with(old, "listen_port", "1", &new, &err), -1);
	EXPECT_STR(err.text, "\"listen_port\" needs a restart");
	EXPECT_EQ(config_with(old, "pkt_buf", "1", &new, &err), -1);
	EXPECT(strncmp(err.text, "\"pkt_buf\" is not used: ", 23) == 0);
	EXPECT_EQ(config_with(old, "query_timeout", "soon", &new, &err), -1);
	EXPECT(strstr(err.text, "query_timeout must be a number") != NULL);
	EXPECT(new == NULL);
	config_unref(old);
}
