#include "config/diff.h"
#include "tests/support/test.h"
#include "tests/unit/config/scratch.h"

#include <stdio.h>

struct pair {
	struct config *before;
	struct config *after;
	struct diff diff;
};

static struct pair diff_of(const char *before, const char *after)
{
	struct pair p = {scratch_config(before), scratch_config(after), {0}};

	diff_configs(p.before, p.after, &p.diff);
	return p;
}

static void drop(struct pair *p)
{
	diff_free(&p->diff);
	EXPECT(p->diff.items == NULL);
	config_unref(p->before);
	config_unref(p->after);
}

static const struct diff_item *find(const struct pair *p, enum diff_what what, const char *name)
{
	for (unsigned i = 0; i < p->diff.count; i++)
		if (p->diff.items[i].what == what && strcmp(p->diff.items[i].name, name) == 0)
			return &p->diff.items[i];
	return NULL;
}

static const char base[] =
	"[pgweir]\nlisten_port = 1\n[databases]\na = host=x pool_size=3\nb = host=y\n[users]\n"
	"u = pool_size=1\n[peers]\n1 = host=p\n";

TEST(diff, equal_configs_do_not_differ)
{
	struct pair p = diff_of(base, base);

	EXPECT_EQ(p.diff.count, 0);
	EXPECT(!p.diff.restart);
	drop(&p);
}

TEST(diff, says_which_options_need_a_restart)
{
	struct pair p = diff_of("[pgweir]\nlisten_port = 1\nquery_timeout = 1\n",
				"[pgweir]\nlisten_port = 2\nquery_timeout = 2\nlog_stats = 0\npkt_buf = 1\n");

	EXPECT_EQ(p.diff.count, 3);
	EXPECT(p.diff.restart);
	REQUIRE(find(&p, DIFF_OPTION, "listen_port") != NULL);
	EXPECT(find(&p, DIFF_OPTION, "listen_port")->restart);
	REQUIRE(find(&p, DIFF_OPTION, "query_timeout") != NULL);
	EXPECT(!find(&p, DIFF_OPTION, "query_timeout")->restart);
	EXPECT_STR(find(&p, DIFF_OPTION, "log_stats")->option->name, "log_stats");
	drop(&p);
}

TEST(diff, spelling_a_value_differently_is_no_change)
{
	struct pair p = diff_of("[pgweir]\nquery_timeout = 60\ncache_size = 1MB\nlog_stats = on\n",
				"[pgweir]\nlog_stats = 1\ncache_size = 1024kB\nquery_timeout = 1min\n");

	EXPECT_EQ(p.diff.count, 0);
	drop(&p);
}

TEST(diff, says_when_tls_settings_change)
{
	struct pair p = diff_of("", "[pgweir]\nserver_tls_sslmode = require\n");

	EXPECT(p.diff.server_tls);
	EXPECT(!p.diff.client_tls);
	drop(&p);
	p = diff_of("", "[pgweir]\nclient_tls_ciphers = secure\n");
	EXPECT(!p.diff.server_tls);
	EXPECT(p.diff.client_tls);
	drop(&p);
}

TEST(diff, finds_databases_added_removed_and_changed)
{
	struct pair p =
		diff_of(base, "[pgweir]\nlisten_port = 1\n[databases]\nc = host=z\na = host=x pool_size=4\n"
			      "[users]\nu = pool_size=1\n[peers]\n1 = host=p\n");

	EXPECT_EQ(p.diff.count, 3);
	REQUIRE(find(&p, DIFF_DATABASE, "a") && find(&p, DIFF_DATABASE, "b") && find(&p, DIFF_DATABASE, "c"));
	EXPECT_EQ(find(&p, DIFF_DATABASE, "a")->how, DIFF_CHANGED);
	EXPECT(!find(&p, DIFF_DATABASE, "a")->reconnect);
	EXPECT(!find(&p, DIFF_DATABASE, "a")->feed);
	EXPECT_EQ(find(&p, DIFF_DATABASE, "b")->how, DIFF_REMOVED);
	EXPECT_EQ(find(&p, DIFF_DATABASE, "c")->how, DIFF_ADDED);
	drop(&p);
}

TEST(diff, says_when_server_connections_must_be_made_anew)
{
	static const char *const after[] = {"host=y",
					    "host=x port=1",
					    "host=x user=u",
					    "host=x password=p",
					    "host=x dbname=d",
					    "host=x timezone=UTC",
					    "host=x connect_query='select 1'"};

	for (size_t i = 0; i < sizeof after / sizeof *after; i++) {
		char text[128];
		struct pair p;

		snprintf(text, sizeof text, "[databases]\na = %s\n", after[i]);
		p = diff_of("[databases]\na = host=x\n", text);
		REQUIRE(p.diff.count == 1);
		EXPECT(p.diff.items[0].reconnect);
		EXPECT(p.diff.items[0].feed);
		drop(&p);
	}
}

TEST(diff, says_when_only_the_feed_must_be_made_anew)
{
	struct pair p = diff_of("[databases]\na = host=x\n", "[databases]\na = host=x feed_user=f\n");

	REQUIRE(p.diff.count == 1);
	EXPECT(!p.diff.items[0].reconnect);
	EXPECT(p.diff.items[0].feed);
	drop(&p);
	p = diff_of("[databases]\na = host=x\n", "[pgweir]\ncoherence = off\n[databases]\na = host=x\n");
	REQUIRE(find(&p, DIFF_DATABASE, "a") != NULL);
	EXPECT(find(&p, DIFF_DATABASE, "a")->feed);
	drop(&p);
	p = diff_of("[databases]\na = host=x\n", "[databases]\na = host=x coherence=bounded\n");
	REQUIRE(p.diff.count == 1);
	EXPECT(!p.diff.items[0].feed);
	drop(&p);
}

TEST(diff, a_moved_socket_directory_moves_databases_without_host)
{
	struct pair p = diff_of("[databases]\na =\n", "[pgweir]\nunix_socket_dir = /run\n[databases]\na =\n");

	REQUIRE(find(&p, DIFF_DATABASE, "a") != NULL);
	EXPECT(find(&p, DIFF_DATABASE, "a")->reconnect);
	drop(&p);
}

TEST(diff, finds_users_and_peers)
{
	struct pair p = diff_of(
		"[users]\na = pool_size=1\nb = pool_size=1\nd =\n[peers]\n1 = host=a\n2 = host=b\n",
		"[users]\na = pool_size=2\nc = pool_size=1\nd =\n[peers]\n2 = host=b port=1\n3 = host=c\n");

	EXPECT_EQ(p.diff.count, 6);
	EXPECT_EQ(find(&p, DIFF_USER, "a")->how, DIFF_CHANGED);
	EXPECT_EQ(find(&p, DIFF_USER, "b")->how, DIFF_REMOVED);
	EXPECT_EQ(find(&p, DIFF_USER, "c")->how, DIFF_ADDED);
	EXPECT_EQ(find(&p, DIFF_PEER, "a")->how, DIFF_REMOVED);
	EXPECT_EQ(find(&p, DIFF_PEER, "b")->how, DIFF_CHANGED);
	EXPECT_EQ(find(&p, DIFF_PEER, "c")->how, DIFF_ADDED);
	drop(&p);
}
