/* Start, trouble and recovery: the cache is on only while everything that it rests on is there. */
#include "proxy/origin/link.h"
#include "tests/support/test.h"
#include "tests/unit/origin/site.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

static bool phase_is(struct origin *o, const char *phase)
{
	struct origin_state state;

	origin_state(o, &state);
	return strcmp(state.phase, phase) == 0;
}

static const char *last_error(struct origin *o)
{
	static struct origin_state state;

	origin_state(o, &state);
	return state.last_error;
}

static uint32_t restarts(struct origin *o)
{
	struct origin_state state;

	origin_state(o, &state);
	return state.restarts;
}

TEST(origin, a_lost_connection_empties_the_cache_and_all_starts_anew)
{
	struct site s;
	const char *victims[] = {"pgweir feed", "pgweir control"};

	site_start(&s, NULL);
	sql(s.db, "CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t VALUES (1, 1)");
	site_watch(&s, 1000);
	EXPECT(phase_is(s.origin, "streaming"));
	for (int i = 0; i < 2; i++) {
		uint64_t epoch = cache_epoch(s.cache), noticed;
		uint32_t generation = origin_generation(s.origin);

		sql(s.db,
		    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '%s'",
		    victims[i]);
		noticed = deadline_in(0);
		UNTIL(cache_epoch(s.cache) != epoch, 5);
		/* Milliseconds; the bound leaves room for a busy machine. */
		EXPECT(!expired(noticed + 1000000));
		UNTIL(cache_on(s.cache), 20);
		EXPECT(cache_epoch(s.cache) > epoch);
		EXPECT(origin_generation(s.origin) != generation);
		EXPECT_EQ(restarts(s.origin), i + 1);
		EXPECT(kills(&s, "t", site_row(&s, "t", "1", NULL), "UPDATE t SET v = v + 1"));
	}
	/* Temporary slots leave nothing behind. */
	EXPECT_STR(sql_text(s.db, "SELECT count(*) FROM pg_replication_slots"), "1");
	site_stop(&s);
}

TEST(origin, a_crash_of_the_server_is_survived)
{
	struct site s;
	uint64_t system, system2;
	uint32_t timeline, timeline2;

	site_start(&s, NULL);
	sql(s.db, "CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t VALUES (1, 1)");
	site_watch(&s, 1000);
	EXPECT(origin_identity(s.origin, &system, &timeline));
	uint64_t epoch = cache_epoch(s.cache);
	PQfinish(s.db);
	cluster_crash(&s.cluster);
	s.db = cluster_connect(&s.cluster, "app", "postgres");
	UNTIL(cache_on(s.cache) && cache_epoch(s.cache) != epoch, 30);
	EXPECT(origin_identity(s.origin, &system2, &timeline2));
	EXPECT_EQ(system, system2);
	EXPECT_EQ(timeline, timeline2);
	EXPECT(kills(&s, "t", site_row(&s, "t", "1", NULL), "UPDATE t SET v = v + 1"));
	site_stop(&s);
}

TEST(origin, the_slot_waits_for_open_writers)
{
	struct site s;
	PGconn *writer;
	uint64_t until;

	site_start(&s, NULL);
	sql(s.db, "CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t VALUES (1, 1)");
	writer = cluster_connect(&s.cluster, "app", "postgres");
	sql(writer, "BEGIN; UPDATE t SET v = 2");
	site_origin(&s, 1000);
	UNTIL(phase_is(s.origin, "creating slot"), 10);
	pause_ms(300);
	EXPECT(phase_is(s.origin, "creating slot"));
	EXPECT(!cache_on(s.cache));
	/* It can be told to stop, and takes its half-made slot with it. */
	until = deadline_in(3);
	origin_stop(&s.origin);
	EXPECT(!expired(until));
	UNTIL(strcmp(sql_text(s.db, "SELECT count(*) FROM pg_replication_slots"), "0") == 0, 5);

	site_origin(&s, 1000);
	UNTIL(phase_is(s.origin, "creating slot"), 10);
	sql(writer, "COMMIT");
	UNTIL(cache_on(s.cache), 20);
	EXPECT(kills(&s, "t", site_row(&s, "t", "1", NULL), "UPDATE t SET v = v + 1"));
	PQfinish(writer);
	site_stop(&s);
}

TEST(origin, says_what_is_missing)
{
	struct site s;

	site_start(&s, "wal_level = replica");
	site_origin(&s, 1000);
	UNTIL(phase_is(s.origin, "waiting to retry"), 10);
	UNTIL(strstr(last_error(s.origin), "set wal_level = logical") != NULL, 5);
	EXPECT(!cache_on(s.cache));
	site_stop(&s);

	site_start(&s, "max_replication_slots = 1");
	sql(s.db, "SELECT pg_create_logical_replication_slot('taken', 'test_decoding')");
	site_origin(&s, 1000);
	UNTIL(phase_is(s.origin, "waiting to retry"), 10);
	UNTIL(strstr(last_error(s.origin), "raise max_replication_slots") != NULL, 5);
	origin_stop(&s.origin);

	sql(s.db, "ALTER ROLE feed NOREPLICATION");
	site_origin(&s, 1000);
	UNTIL(phase_is(s.origin, "waiting to retry"), 10);
	UNTIL(strstr(last_error(s.origin), "ALTER ROLE feed REPLICATION") != NULL, 5);
	site_stop(&s);
}

TEST(origin, nothing_listens_there)
{
	const struct cache_settings cset = {.bytes = 1u << 20, .max_result = 1u << 16};
	struct origin_settings set = {.database = "x",
				      .host = "/nonexistent",
				      .port = "5432",
				      .dbname = "x",
				      .user = "x",
				      .connect_timeout_s = 1,
				      .max_change_keys = 10};
	struct cache *cache = cache_new(&cset);
	struct err err = {0};
	struct origin *o = origin_start(&set, cache, &err);

	REQUIRE(o != NULL);
	UNTIL(restarts(o) >= 2, 10);
	EXPECT(!cache_on(cache));
	UNTIL(strstr(last_error(o), "/nonexistent") != NULL, 5);
	origin_stop(&o);
	EXPECT(o == NULL);
	cache_unref(cache);
}

/* The reader stands still while the log grows beyond max_slot_wal_keep_size: the server takes the slot away, and with it all that would
 * have been sent. */
TEST(origin, a_lost_slot_is_replaced_and_nothing_is_kept)
{
	struct site s;
	PGconn *other;
	pid_t sender;

	site_start(&s, "max_slot_wal_keep_size = '1MB'");
	sql(s.db, "CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t VALUES (1, 1)");
	site_watch(&s, 1000);
	uint64_t epoch = cache_epoch(s.cache);
	char slot[80];

	snprintf(slot, sizeof(slot), "%s", sql_text(s.db, "SELECT slot_name FROM pg_replication_slots"));
	sender = (pid_t)atoi(sql_text(s.db, "SELECT active_pid FROM pg_replication_slots"));
	REQUIRE(sender > 0 && kill(sender, SIGSTOP) == 0);
	sql(s.db, "UPDATE t SET v = 2");
	for (int i = 0; i < 3; i++) {
		sql(s.db, "INSERT INTO t VALUES (%d, 0)", 10 + i);
		sql(s.db, "SELECT pg_switch_wal()");
	}
	/* It waits for the sender to end, which has to be awake for that. */
	other = cluster_connect(&s.cluster, "app", "postgres");
	REQUIRE(PQsendQuery(other, "CHECKPOINT"));
	UNTIL(sql_text(
		      s.db,
		      "SELECT 1 FROM pg_stat_activity WHERE backend_type = 'checkpointer' AND wait_event = 'ReplicationSlotDrop'")
			      [0] == '1',
	      20);
	EXPECT_EQ(kill(sender, SIGCONT), 0);
	UNTIL(cache_on(s.cache) && cache_epoch(s.cache) != epoch, 20);
	EXPECT(restarts(s.origin) >= 1);
	EXPECT_STR(sql_text(s.db, "SELECT count(*) FROM pg_replication_slots WHERE slot_name = '%s'", slot),
		   "0");
	EXPECT_STR(sql_text(s.db, "SELECT count(*) FROM pg_replication_slots WHERE wal_status = 'lost'"),
		   "0");
	EXPECT(kills(&s, "t", site_row(&s, "t", "1", NULL), "UPDATE t SET v = v + 1 WHERE id = 1"));
	PQfinish(other);
	site_stop(&s);
}
