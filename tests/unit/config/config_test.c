#include "config/config.h"
#include "config/users.h"
#include "tests/support/test.h"
#include "tests/unit/config/scratch.h"

#include <stdio.h>
#include <stdlib.h>

TEST(config, has_pgbouncers_defaults_but_for_the_pool_mode)
{
	struct config *cfg = scratch_config("");

	EXPECT_EQ(cfg->pool_mode, POOL_MODE_TRANSACTION);
	EXPECT_EQ(cfg->listen_port, 6432);
	EXPECT_STR(cfg->listen_addr, "");
	EXPECT_EQ(cfg->auth_type, AUTH_TYPE_MD5);
	EXPECT_EQ(cfg->max_client_conn, 100);
	EXPECT_EQ(cfg->default_pool_size, 20);
	EXPECT_EQ(cfg->query_wait_timeout, 120000000);
	EXPECT_EQ(cfg->server_lifetime, 3600000000);
	EXPECT_EQ(cfg->unix_socket_mode, 0777);
	EXPECT_EQ(cfg->max_packet_size, 2147483647);
	EXPECT_EQ(cfg->server_tls_sslmode, SSLMODE_PREFER);
	EXPECT_EQ(cfg->client_tls_sslmode, SSLMODE_DISABLE);
	EXPECT_STR(cfg->server_check_query, "<empty>");
	EXPECT(cfg->log_connections);
	EXPECT(!cfg->server_round_robin);
	EXPECT_EQ(cfg->notice_count, 0);
	EXPECT_EQ(cfg->database_count, 0);
	EXPECT(config_database(cfg, "x") == NULL);
	EXPECT(config_user(cfg, "x") == NULL);
	config_unref(cfg);
}

TEST(config, has_defaults_for_the_new_keys)
{
	struct config *cfg = scratch_config("");

	EXPECT_EQ(cfg->workers, 0);
	EXPECT_EQ(cfg->coherence, COHERENCE_STRICT);
	EXPECT_EQ(cfg->max_staleness, 100000);
	EXPECT_EQ(cfg->cache_size, 64 << 20);
	EXPECT_EQ(cfg->cache_max_result, 1 << 20);
	EXPECT_EQ(cfg->probe_patience, 1000);
	EXPECT_EQ(cfg->catalog_poll, 1000000);
	EXPECT_EQ(cfg->feed_plugin, FEED_PLUGIN_TEST_DECODING);
	EXPECT_EQ(cfg->max_change_keys, 1000);
	EXPECT_EQ(cfg->stats_port, 9127);
	EXPECT_STR(cfg->stats_addr, "127.0.0.1");
	EXPECT_EQ(cfg->log_level, CONFIG_LOG_INFO);
	EXPECT_EQ(cfg->log_format, LOG_FORMAT_TEXT);
	EXPECT(cfg->defer_begin);
	config_unref(cfg);
}

TEST(config, every_default_lies_within_its_bounds)
{
	unsigned n;
	const struct config_option *rows = config_options(&n);

	EXPECT_EQ(n, OPTION_COUNT);
	for (unsigned i = 0; i < n; i++) {
		char text[512];
		struct config *cfg;

		if (!(rows[i].scope & CONFIG_GLOBAL) || rows[i].life == CONFIG_IGNORED ||
		    *rows[i].def == '\0')
			continue;
		snprintf(text, sizeof text, "[pgweir]\n%s = %s\n", rows[i].name, rows[i].def);
		cfg = scratch_config(text);
		EXPECT_EQ(cfg->notice_count, 0);
		config_unref(cfg);
	}
}

TEST(config, refuses_numbers_just_outside_the_bounds_of_every_row)
{
	unsigned n;
	const struct config_option *rows = config_options(&n);

	for (unsigned i = 0; i < n; i++) {
		char text[256];

		if (!(rows[i].scope & CONFIG_GLOBAL) || rows[i].life == CONFIG_IGNORED)
			continue;
		if (rows[i].kind == CONFIG_INT) {
			snprintf(text, sizeof text, "[pgweir]\n%s = %lld\n", rows[i].name,
				 atoll(rows[i].min) - 1);
			EXPECT(strstr(scratch_error(text), "must be") != NULL);
			snprintf(text, sizeof text, "[pgweir]\n%s = %lld\n", rows[i].name,
				 atoll(rows[i].max) + 1);
			EXPECT(strstr(scratch_error(text), "must be") != NULL);
			snprintf(text, sizeof text, "[pgweir]\n%s = %s\n", rows[i].name, rows[i].max);
			config_unref(scratch_config(text));
		} else if (rows[i].kind != CONFIG_STRING && rows[i].kind != CONFIG_SECRET) {
			snprintf(text, sizeof text, "[pgweir]\n%s = -1\n", rows[i].name);
			EXPECT(strncmp(scratch_error(text), "t.ini:2: ", 9) == 0);
		}
	}
}

TEST(config, says_file_line_bounds_and_value)
{
	EXPECT_STR(scratch_error("[pgbouncer]\n\nlisten_port = 70000\n"),
		   "t.ini:3: listen_port must be 1 to 65535, not 70000");
	EXPECT_STR(scratch_error("[pgweir]\nlisten_port = x\n"),
		   "t.ini:2: listen_port must be a whole number, not \"x\"");
	EXPECT_STR(scratch_error("[pgweir]\nmax_staleness = 2h\n"),
		   "t.ini:2: max_staleness must be 1ms to 1h, not 2h");
	EXPECT_STR(
		scratch_error("[pgweir]\nquery_timeout = 5m\n"),
		"t.ini:2: query_timeout must have one of the units us, ms, s, min, h, d or none for seconds, "
		"not \"5m\"");
	EXPECT_STR(scratch_error("[pgweir]\nlog_stats = maybe\n"),
		   "t.ini:2: log_stats must be 1 or 0 (or on, off, true, false, yes, no), not \"maybe\"");
}

TEST(config, names_the_nearest_key)
{
	EXPECT_STR(scratch_error("[pgweir]\nqurey_timeout = 1\n"),
		   "t.ini:2: unknown key \"qurey_timeout\" in [pgweir], did you mean \"query_timeout\"?");
	EXPECT_STR(scratch_error("[databases]\na = hots=x\n"),
		   "t.ini:2: unknown key \"hots\" in [databases], did you mean \"host\"?");
	EXPECT_STR(scratch_error("[users]\na = pool_sice=1\n"),
		   "t.ini:2: unknown key \"pool_sice\" in [users], did you mean \"pool_size\"?");
	EXPECT_STR(scratch_error("[peers]\n1 = prot=1\n"),
		   "t.ini:2: unknown key \"prot\" in [peers], did you mean \"port\"?");
	EXPECT_STR(scratch_error("[pgweir]\nxyzzyxyzzy = 1\n"),
		   "t.ini:2: unknown key \"xyzzyxyzzy\" in [pgweir]");
}

TEST(config, says_where_a_key_belongs)
{
	EXPECT_STR(scratch_error("[pgweir]\nconnect_query = x\n"),
		   "t.ini:2: \"connect_query\" belongs into [databases], not into [pgweir]");
	EXPECT_STR(scratch_error("[databases]\na = max_client_conn=1\n"),
		   "t.ini:2: \"max_client_conn\" belongs into [pgweir], not into [databases]");
	EXPECT_STR(scratch_error("[users]\na = host=1\n"),
		   "t.ini:2: \"host\" belongs into [databases], not into [users]");
	EXPECT_STR(scratch_error("[databases]\na = default_pool_size=1\n"),
		   "t.ini:2: \"default_pool_size\" is written pool_size in [databases]");
	EXPECT_STR(scratch_error("[pgweir]\npool_size = 1\n"),
		   "t.ini:2: \"pool_size\" is written default_pool_size in [pgweir]");
}

TEST(config, names_every_section_that_a_key_belongs_into)
{
	EXPECT_STR(scratch_error("[users]\na = min_pool_size=1\n"),
		   "t.ini:2: \"min_pool_size\" belongs into [pgweir] or [databases], not into [users]");
	EXPECT_STR(
		scratch_error("[databases]\na = max_user_connections=1\n"),
		"t.ini:2: \"max_user_connections\" belongs into [pgweir] or [users], not into [databases]");
}

TEST(config, names_the_nearest_word_of_an_enumeration)
{
	EXPECT_STR(scratch_error("[pgweir]\npool_mode = transactions\n"),
		   "t.ini:2: pool_mode cannot be \"transactions\", did you mean \"transaction\"? "
		   "(session, transaction, statement)");
	EXPECT_STR(scratch_error("[pgweir]\nauth_type = zzzz\n"),
		   "t.ini:2: auth_type cannot be \"zzzz\"; it is one of any, trust, plain, md5, "
		   "scram-sha-256, cert, "
		   "hba, peer");
}

TEST(config, names_the_nearest_section)
{
	EXPECT_STR(scratch_error("[databses]\na = host=x\n"),
		   "t.ini:2: unknown section [databses], did you mean [databases]?");
	EXPECT_STR(scratch_error("x = 1\n"), "t.ini:1: \"x\" stands before the first section");
}

TEST(config, accepts_every_enumeration_in_any_case)
{
	struct config *cfg = scratch_config("[pgweir]\npool_mode = Session\nauth_type = SCRAM-SHA-256\n"
					    "server_tls_sslmode = verify-full\ncoherence = BOUNDED\n"
					    "feed_plugin = pgoutput\nlog_format = json\nlog_level = debug\n");

	EXPECT_EQ(cfg->pool_mode, POOL_MODE_SESSION);
	EXPECT_EQ(cfg->auth_type, AUTH_TYPE_SCRAM);
	EXPECT_EQ(cfg->server_tls_sslmode, SSLMODE_VERIFY_FULL);
	EXPECT_EQ(cfg->coherence, COHERENCE_BOUNDED);
	EXPECT_EQ(cfg->feed_plugin, FEED_PLUGIN_PGOUTPUT);
	EXPECT_EQ(cfg->log_format, LOG_FORMAT_JSON);
	EXPECT_EQ(cfg->log_level, CONFIG_LOG_DEBUG);
	config_unref(cfg);
}

TEST(config, the_last_of_two_equal_keys_counts)
{
	struct config *cfg = scratch_config("[pgweir]\nlisten_port = 1\n[pgbouncer]\nlisten_port = 2\n");

	EXPECT_EQ(cfg->listen_port, 2);
	config_unref(cfg);
}

TEST(config, notes_each_ignored_key_once)
{
	struct config *cfg = scratch_config("[pgweir]\npkt_buf = 4096\njob_name = x\npkt_buf = 8192\n"
					    "disable_pqexec = whatever\n");

	EXPECT_EQ(cfg->notice_count, 3);
	EXPECT_STR(cfg->notices[0],
		   "t.ini:2: pkt_buf is accepted and ignored: Buffers have no fixed size here.");
	EXPECT(strstr(cfg->notices[1], "job_name") != NULL);
	EXPECT(strstr(cfg->notices[2], "disable_pqexec") != NULL);
	config_unref(cfg);
}

TEST(config, reads_a_database)
{
	struct config *cfg = scratch_config(
		"[databases]\nshop = host=db1 port=5433 dbname=shop_live user=app password='it''s; secret' "
		"connect_query='set x = ''1''' client_encoding=UTF8 datestyle=ISO timezone=UTC "
		"application_name=w "
		"load_balance_hosts=disable\n");
	const struct config_database *db = config_database(cfg, "shop");

	REQUIRE(db != NULL);
	EXPECT_STR(db->name, "shop");
	EXPECT_EQ(db->line, 2);
	EXPECT(!db->fallback);
	EXPECT_EQ(db->port, 5433);
	EXPECT_STR(db->dbname, "shop_live");
	EXPECT_STR(config_dbname(db, "shop"), "shop_live");
	EXPECT_STR(db->server_user, "app");
	EXPECT_STR(db->password, "it's; secret");
	EXPECT_STR(db->connect_query, "set x = '1'");
	EXPECT_STR(db->timezone, "UTC");
	EXPECT_EQ(db->load_balance_hosts, HOST_ORDER_DISABLE);
	config_unref(cfg);
}

TEST(config, splits_the_hosts_of_a_database)
{
	struct config *cfg = scratch_config("[pgweir]\nunix_socket_dir = /run/pg\n[databases]\n"
					    "a = host='db1, db2,::1'\nb = dbname=x\nc = host=/tmp\n");
	const struct config_database *a = config_database(cfg, "a"), *b = config_database(cfg, "b");

	REQUIRE(a != NULL && b != NULL);
	REQUIRE(a->host_count == 3);
	EXPECT_STR(a->hosts[0], "db1");
	EXPECT_STR(a->hosts[1], "db2");
	EXPECT_STR(a->hosts[2], "::1");
	EXPECT_EQ(a->load_balance_hosts, HOST_ORDER_ROUND_ROBIN);
	REQUIRE(b->host_count == 1);
	EXPECT_STR(b->hosts[0], "/run/pg");
	EXPECT_STR(b->server_user, "");
	EXPECT_STR(config_database(cfg, "c")->hosts[0], "/tmp");
	config_unref(cfg);
}

TEST(config, finds_databases_and_the_fallback)
{
	struct config *cfg = scratch_config(
		"[databases]\nzebra = port=1\n* = host=any port=2\n\"An \"\"Odd\"\" one\" = port=3\n"
		"ape =\n");

	EXPECT_EQ(cfg->database_count, 4);
	EXPECT_EQ(config_database(cfg, "zebra")->port, 1);
	EXPECT_EQ(config_database(cfg, "An \"Odd\" one")->port, 3);
	EXPECT_EQ(config_database(cfg, "ape")->port, 5432);
	EXPECT_EQ(config_database(cfg, "unknown")->port, 2);
	EXPECT(config_database(cfg, "unknown")->fallback);
	EXPECT_STR(config_dbname(config_database(cfg, "unknown"), "unknown"), "unknown");
	EXPECT_STR(config_dbname(config_database(cfg, "ape"), "ape"), "ape");
	config_unref(cfg);
}

TEST(config, a_quoted_star_is_a_database_and_no_fallback)
{
	struct config *cfg = scratch_config("[databases]\n\"*\" = port=1\n");

	EXPECT(config_database(cfg, "other") == NULL);
	EXPECT_EQ(config_database(cfg, "*")->port, 1);
	config_unref(cfg);
}

TEST(config, reserves_the_names_of_the_console)
{
	EXPECT_STR(scratch_error("[databases]\npgbouncer = host=x\n"),
		   "t.ini:2: database name \"pgbouncer\" is reserved for the console");
	EXPECT_STR(scratch_error("[databases]\npgweir = host=x\n"),
		   "t.ini:2: database name \"pgweir\" is reserved for the console");
}

TEST(config, notes_a_database_written_twice)
{
	struct config *cfg = scratch_config("[databases]\na = port=1\nb = port=2\na = port=3\n");

	EXPECT_EQ(cfg->database_count, 2);
	EXPECT_EQ(config_database(cfg, "a")->port, 3);
	EXPECT_EQ(cfg->notice_count, 1);
	EXPECT_STR(cfg->notices[0], "t.ini:4: database \"a\" is written twice (t.ini:2); this one counts");
	config_unref(cfg);
}

TEST(config, notes_a_key_written_twice)
{
	struct config *cfg =
		scratch_config("[pgweir]\npool_mode = session\npool_mode = statement\njob_name = a\n"
			       "job_name = b\n[databases]\na = host=x port=1 host=y\n"
			       "b = reserve_pool=1 reserve_pool_size=2\n"
			       "[users]\nu = pool_size=1 pool_size=2\n[peers]\n1 = host=p host=q\n");

	EXPECT_EQ(cfg->pool_mode, POOL_MODE_STATEMENT);
	EXPECT_STR(config_database(cfg, "a")->hosts[0], "y");
	REQUIRE(cfg->notice_count == 6);
	EXPECT_STR(cfg->notices[0], "t.ini:3: pool_mode is written twice (t.ini:2); this one counts");
	EXPECT(strstr(cfg->notices[1], "job_name is accepted and ignored") != NULL);
	EXPECT_STR(cfg->notices[2], "t.ini:7: host is written twice in one entry; the last one counts");
	EXPECT_STR(cfg->notices[3],
		   "t.ini:8: reserve_pool_size is written twice in one entry; the last one counts");
	EXPECT_STR(cfg->notices[4], "t.ini:10: pool_size is written twice in one entry; the last one counts");
	EXPECT_STR(cfg->notices[5], "t.ini:12: host is written twice in one entry; the last one counts");
	config_unref(cfg);
}

TEST(config, notes_half_a_login_of_the_stats_port)
{
	struct config *cfg = scratch_config("[pgweir]\nstats_user = eye\n");

	REQUIRE(cfg->notice_count == 1);
	EXPECT(strstr(cfg->notices[0], "stats_user without stats_password") != NULL);
	config_unref(cfg);
	cfg = scratch_config("[pgweir]\nstats_password = x\n");
	REQUIRE(cfg->notice_count == 1);
	EXPECT(strstr(cfg->notices[0], "stats_password without stats_user") != NULL);
	config_unref(cfg);
	cfg = scratch_config("[pgweir]\nstats_password = x\nstats_user = eye\n");
	EXPECT_EQ(cfg->notice_count, 0);
	config_unref(cfg);
	cfg = scratch_config("[pgweir]\nstats_user = eye\nstats_port = 0\n");
	EXPECT_EQ(cfg->notice_count, 0);
	config_unref(cfg);
}

TEST(config, refuses_broken_entries)
{
	EXPECT_STR(scratch_error("[databases]\na = host\n"), "t.ini:2: expected key=value pairs");
	EXPECT_STR(scratch_error("[databases]\na = password='x\n"), "t.ini:2: a quoted value does not end");
	EXPECT_STR(scratch_error("[databases]\na = port=0\n"), "t.ini:2: port must be 1 to 65535, not 0");
}

TEST(config, reads_peers)
{
	struct config *cfg = scratch_config(
		"[pgweir]\npeer_id = 3\n[peers]\n2 = host=b port=6433 pool_size=5\n1 = host=/tmp\n");

	EXPECT_EQ(cfg->peer_id, 3);
	REQUIRE(cfg->peer_count == 2);
	EXPECT_EQ(cfg->peers[0].id, 1);
	EXPECT_STR(config_peer(cfg, 1)->host, "/tmp");
	EXPECT_EQ(config_peer(cfg, 1)->port, 6432);
	EXPECT_EQ(config_peer(cfg, 2)->port, 6433);
	EXPECT_EQ(config_peer(cfg, 2)->pool_size, 5);
	EXPECT(config_peer(cfg, 3) == NULL);
	config_unref(cfg);
}

TEST(config, refuses_bad_peers)
{
	EXPECT_STR(scratch_error("[peers]\nx = host=a\n"),
		   "t.ini:2: a peer is named by its peer_id, 1 to 16383, not \"x\"");
	EXPECT_STR(scratch_error("[peers]\n16384 = host=a\n"),
		   "t.ini:2: a peer is named by its peer_id, 1 to 16383, not \"16384\"");
	EXPECT_STR(scratch_error("[peers]\n1 = port=1\n"), "t.ini:2: peer 1 has no host");
	EXPECT_STR(scratch_error("[peers]\n1 = host=a\n1 = host=b\n"), "t.ini:3: peer 1 is written twice");
}

TEST(config, refuses_combinations_that_cannot_work)
{
	EXPECT_STR(scratch_error("[pgweir]\nclient_tls_sslmode = require\n"),
		   "t.ini:2: client_tls_sslmode needs client_tls_key_file and client_tls_cert_file");
	EXPECT_STR(scratch_error("[pgweir]\nclient_tls_sslmode = verify-full\nclient_tls_key_file = k\n"
				 "client_tls_cert_file = c\n"),
		   "t.ini:2: client_tls_sslmode = verify-ca or verify-full needs client_tls_ca_file");
	EXPECT_STR(scratch_error("[pgweir]\n\nauth_type = hba\n"),
		   "t.ini:3: auth_type = hba needs auth_hba_file");
	EXPECT_STR(scratch_error("[pgweir]\nauth_type = cert\n"),
		   "t.ini:2: auth_type = cert needs client_tls_sslmode = verify-full");
}

TEST(config, looks_items_up_in_lists)
{
	EXPECT(config_list_has("a,b", "a"));
	EXPECT(config_list_has("a, b ", "b"));
	EXPECT(config_list_has("*", "anyone"));
	EXPECT(config_list_has("a, *", "anyone"));
	EXPECT(!config_list_has("ab", "a"));
	EXPECT(!config_list_has("a", "ab"));
	EXPECT(!config_list_has("", "a"));
	EXPECT(!config_list_has("", ""));
	EXPECT(!config_list_has(",,", "a"));
}

TEST(config, prints_values_for_the_console)
{
	struct config *cfg =
		scratch_config("[pgweir]\nprobe_patience = 2ms\nfeed_password = geheim\ncache_size = 1MB\n");
	static const struct {
		const char *name;
		const char *text;
	} rows[] = {
		{"probe_patience", "0.002"}, {"query_wait_timeout", "120"}, {"feed_password", "***"},
		{"cache_size", "1048576"},   {"pool_mode", "transaction"},  {"unix_socket_mode", "0777"},
		{"log_stats", "1"},	     {"listen_port", "6432"},	    {"listen_addr", ""},
	};
	char out[64];

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		const struct config_option *o = config_option(rows[i].name, CONFIG_GLOBAL);

		REQUIRE(o != NULL);
		config_option_text(cfg, o, out, sizeof out);
		EXPECT_STR(out, rows[i].text);
	}
	config_option_text(cfg, config_option("pool_mode", CONFIG_GLOBAL), out, 4);
	EXPECT_STR(out, "tra");
	config_unref(cfg);
}

TEST(config, loads_the_auth_files_it_names)
{
	struct scratch s;
	struct config *cfg = NULL;
	struct err err;
	char text[512];

	scratch_make(&s);
	scratch_file(&s, "users", "\"anna\" \"pw\"\n");
	scratch_file(&s, "hba", "local all all trust\n");
	scratch_file(&s, "ident", "m sys anna\n");
	snprintf(text, sizeof text,
		 "[pgweir]\nauth_type = hba\nauth_file = %s/users\nauth_hba_file = %s/hba\n"
		 "auth_ident_file = %s/ident\n",
		 s.dir, s.dir, s.dir);
	REQUIRE(config_load(scratch_file(&s, "main.ini", text), &cfg, &err) == 0);
	EXPECT_STR(cfg->path, s.path[3]);
	EXPECT_STR(users_find(cfg->userlist, "anna")->secret, "pw");
	EXPECT(cfg->hba != NULL && cfg->ident != NULL);
	EXPECT(config_ref(cfg) == cfg);
	config_unref(cfg);
	EXPECT_STR(users_find(cfg->userlist, "anna")->secret, "pw");
	config_unref(cfg);
	scratch_drop(&s);
}

TEST(config, names_both_lines_when_an_auth_file_is_broken)
{
	struct scratch s;
	struct config *cfg = NULL;
	struct err err;
	char text[512], want[512];

	scratch_make(&s);
	scratch_file(&s, "users", "\"anna\" \"pw\"\nbob\n");
	snprintf(text, sizeof text, "[pgweir]\nauth_file = %s/users\n", s.dir);
	EXPECT_EQ(config_load(scratch_file(&s, "main.ini", text), &cfg, &err), -1);
	EXPECT(cfg == NULL);
	snprintf(want, sizeof want,
		 "%s/main.ini:2: auth_file: %s/users:2: expected \"user\" \"secret\" in double quotes", s.dir,
		 s.dir);
	EXPECT_STR(err.text, want);
	scratch_drop(&s);
}

TEST(config, says_which_file_is_missing)
{
	struct config *cfg = NULL;
	struct err err;

	EXPECT_EQ(config_load("/nonexistent/pgweir.ini", &cfg, &err), -1);
	EXPECT_STR(err.text, "cannot open /nonexistent/pgweir.ini: No such file or directory");
}
