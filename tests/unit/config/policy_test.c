#include "config/policy.h"
#include "tests/support/test.h"
#include "tests/unit/config/scratch.h"

static const char text[] =
	"[pgweir]\n"
	"pool_mode = statement\n"
	"default_pool_size = 10\n"
	"query_wait_timeout = 100\n"
	"coherence = bounded\n"
	"max_user_connections = 7\n"
	"max_db_connections = 8\n"
	"auth_user = global\n"
	"[databases]\n"
	"d = pool_mode=session pool_size=11 query_wait_timeout=101 coherence=off reserve_pool=3 "
	"max_db_connections=9 auth_user=perdb server_lifetime=5 min_pool_size=2\n"
	"e = host=x\n"
	"z = pool_size=0\n"
	"* = pool_size=99\n"
	"[users]\n"
	"u = pool_mode=transaction pool_size=12 query_wait_timeout=102 coherence=strict "
	"max_user_connections=70 reserve_pool_size=4\n";

static struct policy of(const char *database, const char *user)
{
	struct config *cfg = scratch_config(text);
	struct policy p;

	policy_of(cfg, database, user, &p);
	p.auth_user = strcmp(p.auth_user, "perdb") == 0 ? "perdb" : "global"; /* the config's own goes away */
	config_unref(cfg);
	return p;
}

TEST(policy, global_values_hold_without_overrides)
{
	struct policy p = of("e", "nobody");

	EXPECT_EQ(p.pool_mode, POOL_MODE_STATEMENT);
	EXPECT_EQ(p.default_pool_size, 10);
	EXPECT_EQ(p.query_wait_timeout, 100000000);
	EXPECT_EQ(p.coherence, COHERENCE_BOUNDED);
	EXPECT_EQ(p.max_user_connections, 7);
	EXPECT_EQ(p.max_db_connections, 8);
	EXPECT_EQ(p.reserve_pool_size, 0);
	EXPECT_STR(p.auth_user, "global");
}

TEST(policy, a_database_overrides_the_global_values)
{
	struct policy p = of("d", "nobody");

	EXPECT_EQ(p.pool_mode, POOL_MODE_SESSION);
	EXPECT_EQ(p.default_pool_size, 11);
	EXPECT_EQ(p.query_wait_timeout, 101000000);
	EXPECT_EQ(p.coherence, COHERENCE_OFF);
	EXPECT_EQ(p.max_db_connections, 9);
	EXPECT_EQ(p.max_user_connections, 7);
	EXPECT_EQ(p.reserve_pool_size, 3);
	EXPECT_EQ(p.server_lifetime, 5000000);
	EXPECT_EQ(p.min_pool_size, 2);
	EXPECT_STR(p.auth_user, "perdb");
}

TEST(policy, a_user_overrides_the_database)
{
	struct policy p = of("d", "u");

	EXPECT_EQ(p.pool_mode, POOL_MODE_TRANSACTION);
	EXPECT_EQ(p.default_pool_size, 12);
	EXPECT_EQ(p.query_wait_timeout, 102000000);
	EXPECT_EQ(p.coherence, COHERENCE_STRICT);
	EXPECT_EQ(p.max_user_connections, 70);
	EXPECT_EQ(p.max_db_connections, 9);
	EXPECT_EQ(p.reserve_pool_size, 4);
}

TEST(policy, a_zero_that_is_written_overrides_too)
{
	EXPECT_EQ(of("z", "nobody").default_pool_size, 0);
}

TEST(policy, the_fallback_entry_stands_for_unknown_databases)
{
	EXPECT_EQ(of("unknown", "nobody").default_pool_size, 99);
	EXPECT_EQ(of("unknown", "u").default_pool_size, 12);
}

TEST(policy, may_be_asked_without_database_or_user)
{
	EXPECT_EQ(of(NULL, NULL).default_pool_size, 10);
	EXPECT_EQ(of(NULL, "u").default_pool_size, 12);
	EXPECT_EQ(of("d", NULL).default_pool_size, 11);
}
