/* auth_query over a kept connection, off the loop's thread. */
#include "proxy/origin/lookup.h"
#include "tests/support/test.h"
#include "tests/unit/origin/cluster.h"

#include <stdio.h>

struct asked {
	struct loop *loop;
	int told;
	bool found;
	char secret[64];
	char text[256];
};

static void on_secret(void *arg, const char *secret, const struct err *err)
{
	struct asked *a = arg;

	a->told++;
	a->found = secret != NULL;
	snprintf(a->secret, sizeof(a->secret), "%s", secret != NULL ? secret : "");
	snprintf(a->text, sizeof(a->text), "%.255s", err->text);
	loop_stop(a->loop);
}

static struct asked ask(struct loop *loop, struct offload *o, const struct lookup_settings *set,
			const char *name)
{
	struct asked a = {.loop = loop};
	struct lookup_req *r = lookup_start(loop, o, set, name, on_secret, &a);

	REQUIRE(r != NULL);
	EXPECT_EQ(a.told, 0);
	loop_run(loop);
	EXPECT_EQ(a.told, 1);
	return a;
}

TEST(lookup, secrets_and_their_absence)
{
	struct cluster c;
	struct err err;
	struct loop *loop = loop_new(NULL, &err);
	struct offload *o = offload_new(1, 1, &err);
	struct asked a;
	PGconn *db;

	REQUIRE(loop != NULL && o != NULL);
	cluster_start(&c, NULL);
	db = cluster_connect(&c, "app", "postgres");
	sql(db, "CREATE TABLE users (name text, secret text);"
		"INSERT INTO users VALUES ('ann', 'md5abc'), ('bob', NULL), ('it''s', 'x')");
	struct lookup_settings set = {.host = c.dir,
				      .port = "5432",
				      .dbname = "app",
				      .user = "postgres",
				      .timeout_s = 10,
				      .query = "SELECT name, secret FROM public.users WHERE name = $1"};

	a = ask(loop, o, &set, "ann");
	EXPECT_STR(a.secret, "md5abc");
	EXPECT_STR(a.text, "");
	a = ask(loop, o, &set, "it's");
	EXPECT_STR(a.secret, "x");
	a = ask(loop, o, &set, "nobody");
	EXPECT(!a.found);
	EXPECT_STR(a.text, "");
	a = ask(loop, o, &set, "bob"); /* without a password, but there */
	EXPECT(a.found);
	EXPECT_STR(a.secret, "");
	EXPECT_STR(a.text, "");
	/* All over one connection. */
	EXPECT_STR(
		sql_text(
			db,
			"SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pgweir auth_query'"),
		"1");
	/* A kept connection that died is replaced unseen. */
	sql(db,
	    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pgweir auth_query'");
	a = ask(loop, o, &set, "ann");
	EXPECT_STR(a.secret, "md5abc");
	set.query = "SELECT name FROM public.users WHERE name = $1";
	a = ask(loop, o, &set, "ann");
	EXPECT(!a.found && strstr(a.text, "one row of") != NULL);
	set.query = "SELECT broken";
	a = ask(loop, o, &set, "ann");
	EXPECT(!a.found && a.text[0] != '\0');
	set.query = "SELECT 'ann', pg_sleep(20)::text || $1";
	set.timeout_s = 1;
	a = ask(loop, o, &set, "ann");
	EXPECT(!a.found && strstr(a.text, "no answer in time") != NULL);
	set.host = "/nonexistent";
	a = ask(loop, o, &set, "ann");
	EXPECT(!a.found && strstr(a.text, "/nonexistent") != NULL);

	/* A cancelled one is never told; a full queue is told like any other failure. */
	struct asked gone = {.loop = loop};
	struct lookup_req *r = lookup_start(loop, o, &set, "ann", on_secret, &gone);
	lookup_cancel(&r);
	EXPECT(r == NULL);
	offload_free(&o);
	loop_free(&loop);
	EXPECT_EQ(gone.told, 0);
	PQfinish(db);
	cluster_stop(&c);
}
