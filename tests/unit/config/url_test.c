#include "config/config.h"
#include "config/users.h"
#include "tests/support/test.h"

static struct config *from(const char *url)
{
	struct config *cfg = NULL;
	struct err err = {0};

	if (config_from_url(url, &cfg, &err) != 0)
		EXPECT_STR(err.text, "");
	REQUIRE(cfg != NULL);
	return cfg;
}

TEST(url, forwards_every_database_to_the_server)
{
	struct config *cfg = from("postgres://app:secret@db.example.org:5433/shop?sslmode=require");
	const struct config_database *db = config_database(cfg, "anything");
	struct policy p;

	REQUIRE(db != NULL);
	EXPECT(db->fallback);
	EXPECT_STR(db->hosts[0], "db.example.org");
	EXPECT_EQ(db->port, 5433);
	EXPECT_STR(db->server_user, "");
	EXPECT_STR(config_dbname(db, "anything"), "anything");
	EXPECT(!config_database(cfg, "shop")->fallback);
	EXPECT_EQ(cfg->server_tls_sslmode, SSLMODE_REQUIRE);
	EXPECT_STR(users_find(cfg->userlist, "app")->secret, "secret");
	policy_of(cfg, "anything", "app", &p);
	EXPECT_STR(p.feed_user, "app");
	EXPECT_STR(p.feed_password, "secret");
	EXPECT(cfg->from_url);
	EXPECT_EQ(cfg->notice_count, 0);
	config_unref(cfg);
}

TEST(url, trusts_on_the_loopback_interface_only)
{
	struct config *cfg = from("postgres://h");

	EXPECT_STR(cfg->listen_addr, "127.0.0.1");
	EXPECT_EQ(cfg->listen_port, 6432);
	EXPECT_STR(cfg->unix_socket_dir, "");
	EXPECT_EQ(cfg->auth_type, AUTH_TYPE_TRUST);
	EXPECT(cfg->userlist == NULL);
	config_unref(cfg);
}

TEST(url, takes_percent_escapes_out)
{
	struct config *cfg = from("postgresql://a%40b:p%3Aw%2F%27%20x%25@%2Fvar%2Frun%2Fpostgresql/my%20db?"
				  "application_name=it%27s%26me");
	const struct config_database *db = config_database(cfg, "my db");

	REQUIRE(db != NULL);
	EXPECT(!db->fallback);
	EXPECT_STR(db->hosts[0], "/var/run/postgresql");
	EXPECT_STR(db->application_name, "it's&me");
	EXPECT_STR(users_find(cfg->userlist, "a@b")->secret, "p:w/' x%");
	config_unref(cfg);
}

TEST(url, has_defaults_like_libpq)
{
	struct config *cfg = from("postgres://");
	const struct config_database *db = config_database(cfg, "x");

	EXPECT_STR(db->hosts[0], "localhost");
	EXPECT_EQ(db->port, 5432);
	config_unref(cfg);
}

TEST(url, reads_ipv6_and_lists_of_hosts)
{
	struct config *cfg = from("postgres://[2001:db8::1]:6000/");

	EXPECT_STR(config_database(cfg, "x")->hosts[0], "2001:db8::1");
	EXPECT_EQ(config_database(cfg, "x")->port, 6000);
	config_unref(cfg);
	cfg = from("postgres://u@a:5433,[::1]:5433,c/d");
	REQUIRE(config_database(cfg, "d")->host_count == 3);
	EXPECT_STR(config_database(cfg, "d")->hosts[1], "::1");
	EXPECT_STR(config_database(cfg, "d")->hosts[2], "c");
	EXPECT_EQ(config_database(cfg, "d")->port, 5433);
	config_unref(cfg);
}

TEST(url, parameters_say_the_same_as_the_parts)
{
	struct config *cfg =
		from("postgres:///?host=h&port=7000&user=u&password=p&dbname=d&connect_timeout=3");

	EXPECT_STR(config_database(cfg, "d")->hosts[0], "h");
	EXPECT_EQ(config_database(cfg, "d")->port, 7000);
	EXPECT(!config_database(cfg, "d")->fallback);
	EXPECT_STR(users_find(cfg->userlist, "u")->secret, "p");
	EXPECT_EQ(cfg->server_connect_timeout, 3000000);
	config_unref(cfg);
}

TEST(url, what_is_for_the_client_is_left_out_with_a_notice)
{
	struct config *cfg =
		from("postgres://h1,h2/d?sslmode=require&channel_binding=require&schema=public&pgbouncer=true"
		     "&target_session_attrs=read-write");

	EXPECT_EQ(cfg->notice_count, 3);
	EXPECT_EQ(config_database(cfg, "d")->target_session_attrs, SERVER_ROLE_READ_WRITE);
	EXPECT_EQ(cfg->server_tls_sslmode, SSLMODE_REQUIRE);
	config_unref(cfg);
}

TEST(url, says_what_is_wrong)
{
	static const struct {
		const char *url;
		const char *error;
	} rows[] = {
		{"mysql://x", "URL: must start with postgres:// or postgresql://"},
		{"postgres://a%4", "URL: broken % escape"},
		{"postgres://a%zz", "URL: broken % escape"},
		{"postgres://a%00", "URL: broken % escape"},
		{"postgres://[::1", "URL: an IPv6 address does not end with ]"},
		{"postgres://[::1]x", "URL: expected a : and the port behind ]"},
		{"postgres://a:1,b:2", "URL: all hosts must have the same port"},
		{"postgres://a?sslmod=require",
		 "URL: unknown parameter \"sslmod\", did you mean \"sslmode\"?"},
		{"postgres://a?x", "URL: expected name=value after the ?"},
		{"postgres://a?sslmode=maybe",
		 "URL:1: server_tls_sslmode cannot be \"maybe\"; it is one of disable, "
		 "allow, prefer, require, verify-ca, verify-full"},
		{"postgres://a:99999", "URL:1: port must be 1 to 65535, not 99999"},
		{"postgres://a\x01", "URL: control character in the text"},
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct config *cfg = NULL;
		struct err err = {0};

		EXPECT_EQ(config_from_url(rows[i].url, &cfg, &err), -1);
		EXPECT_STR(err.text, rows[i].error);
		EXPECT(cfg == NULL);
	}
}
