/* The manual's table, and files that must load: our example and a pgbouncer.ini with most of its keys. */
#include "config/config.h"
#include "config/text.h"
#include "tests/support/test.h"
#include "tests/unit/config/scratch.h"

#include <stdio.h>
#include <stdlib.h>

TEST(docs, table_of_options_is_up_to_date)
{
	struct text_pool *pool = text_pool_new();
	char *written = NULL, *kept = NULL;
	size_t n, kept_n;
	struct err err = {0};
	FILE *f = open_memstream(&written, &n);

	REQUIRE(f != NULL);
	options_print(f);
	fclose(f);
	EXPECT_EQ(text_read(pool, TEST_ROOT "/docs/options.md", &kept, &kept_n, &err), 0);
	EXPECT_STR(err.text, "");
	/* Stale? `ninja options.md` in the build directory writes it again. */
	EXPECT(kept != NULL && strcmp(written, kept) == 0);
	free(written);
	text_pool_free(&pool);
}

TEST(docs, man_page_has_every_option)
{
	char *written = NULL;
	size_t size;
	unsigned n;
	const struct config_option *rows = config_options(&n);
	FILE *f = open_memstream(&written, &size);

	REQUIRE(f != NULL);
	options_man(f);
	fclose(f);
	for (unsigned i = 0; i < n; i++) {
		const char *name = rows[i].scope & CONFIG_GLOBAL
					   ? rows[i].name
					   : config_option_written(&rows[i], CONFIG_DATABASE);
		char line[80];

		snprintf(line, sizeof line, rows[i].life == CONFIG_IGNORED ? "%s" : ".B %s\n", name);
		EXPECT_STR(strstr(written, line) != NULL ? "" : rows[i].name, "");
	}
	free(written);
}

TEST(docs, example_of_several_servers_loads_without_notices)
{
	struct config *cfg = NULL;
	struct err err = {0};

	setenv("PGWEIR_FEED_PASSWORD", "x", 1);
	config_load(TEST_ROOT "/docs/examples/pgweir-failover.ini", &cfg, &err);
	EXPECT_STR(err.text, "");
	REQUIRE(cfg != NULL);
	EXPECT_EQ(cfg->notice_count, 0);
	EXPECT_STR(config_database(cfg, "shop")->host_list, "db1.example,db2.example,db3.example");
	config_unref(cfg);
}

TEST(docs, example_loads_without_notices)
{
	struct config *cfg = NULL;
	struct err err = {0};

	config_load(TEST_ROOT "/docs/examples/pgweir.ini", &cfg, &err);
	EXPECT_STR(err.text, "");
	REQUIRE(cfg != NULL);
	EXPECT_EQ(cfg->notice_count, 0);
	EXPECT(cfg->database_count > 0);
	config_unref(cfg);
}

/* Every key of the example, commented out or not, is one that we know, with a value that we take. */
TEST(docs, example_names_only_keys_that_exist)
{
	struct text_pool *pool = text_pool_new();
	char *text, *line, *save, *live;
	size_t n;
	struct err err;
	unsigned keys = 0;

	REQUIRE(text_read(pool, TEST_ROOT "/docs/examples/pgweir.ini", &text, &n, &err) == 0);
	live = text_alloc(pool, n + 64);
	for (line = strtok_r(text, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save)) {
		if (*line == ';' && line[1] != ' ' && strchr(line, '=') != NULL) {
			line++;
			keys++;
		}
		if (strstr(line, "_file = ") != NULL)
			continue; /* names of files that are not here */
		strcat(live, line);
		strcat(live, "\n");
	}
	EXPECT(keys > 20);
	config_unref(scratch_config(live));
	text_pool_free(&pool);
}

/* What is commented out may be taken in without a change: the value is the default, unless that is empty. */
TEST(docs, example_shows_defaults)
{
	struct text_pool *pool = text_pool_new();
	struct config *base = scratch_config("[pgweir]\n");
	char *text, *line, *save, *value, was[300], is[300];
	size_t n;
	struct err err;
	unsigned compared = 0;

	REQUIRE(text_read(pool, TEST_ROOT "/docs/examples/pgweir.ini", &text, &n, &err) == 0);
	for (line = strtok_r(text, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save)) {
		const struct config_option *option;
		struct config *cfg;

		if (*line != ';' || line[1] == ' ' || (value = strstr(line, " =")) == NULL)
			continue;
		*value = '\0';
		option = config_option(line + 1, CONFIG_GLOBAL);
		REQUIRE(option != NULL);
		if (option->def[0] == '\0')
			continue;
		*value = ' ';
		snprintf(was, sizeof was, "[pgweir]\n%s\n", line + 1);
		cfg = scratch_config(was);
		config_option_text(base, option, was, sizeof was);
		config_option_text(cfg, option, is, sizeof is);
		EXPECT_STR(is, was);
		config_unref(cfg);
		compared++;
	}
	EXPECT(compared > 20);
	config_unref(base);
	text_pool_free(&pool);
}

static const char pgbouncer_ini[] =
	";;; PgBouncer configuration file\n"
	"\n"
	"[databases]\n"
	"; foodb over Unix socket\n"
	"foodb =\n"
	"bardb = host=localhost dbname=bazdb\n"
	"forcedb = host=localhost port=300 user=baz password=foo client_encoding=UNICODE datestyle=ISO "
	"connect_query='SELECT 1'\n"
	"nondefaultdb = pool_size=50 reserve_pool=10\n"
	"newer = host=a,b load_balance_hosts=disable min_pool_size=1 reserve_pool_size=2 pool_mode=session "
	"max_db_connections=5 max_db_client_connections=6 auth_user=x auth_query='SELECT 1' auth_dbname=y "
	"server_lifetime=1200 query_wait_timeout=3 application_name=z timezone='Europe/Berlin'\n"
	"* = host=testserver\n"
	"\n"
	"[users]\n"
	"user1 = pool_mode=session max_user_connections=10 max_user_client_connections=20 pool_size=3 "
	"reserve_pool_size=1 query_timeout=1 idle_transaction_timeout=2 transaction_timeout=3 "
	"client_idle_timeout=4 "
	"query_wait_timeout=5\n"
	"\n"
	"[peers]\n"
	"1 = host=/tmp/pgbouncer-1\n"
	"2 = host=192.168.0.1 port=6432 pool_size=2\n"
	"\n"
	"[pgbouncer]\n"
	"logfile = /var/log/pgbouncer/pgbouncer.log\n"
	"pidfile = /var/run/pgbouncer/pgbouncer.pid\n"
	"listen_addr = localhost\n"
	"listen_port = 6432\n"
	"unix_socket_dir = /var/run/postgresql\n"
	"unix_socket_mode = 0777\n"
	"unix_socket_group =\n"
	"peer_id = 1\n"
	"user = postgres\n"
	"client_tls_sslmode = disable\n"
	"client_tls_ca_file = \nclient_tls_key_file = \nclient_tls_cert_file = \n"
	"client_tls_ciphers = default\nclient_tls13_ciphers =\nclient_tls_protocols = secure\n"
	"client_tls_dheparams = auto\nclient_tls_ecdhcurve = auto\n"
	"server_tls_sslmode = prefer\n"
	"server_tls_ca_file =\nserver_tls_key_file =\nserver_tls_cert_file =\n"
	"server_tls_protocols = secure\nserver_tls_ciphers = default\nserver_tls13_ciphers =\n"
	"auth_type = scram-sha-256\n"
	"auth_file = /etc/pgbouncer/userlist.txt\n"
	"auth_hba_file =\nauth_ident_file =\nauth_ldap_options =\n"
	"auth_query = SELECT usename, passwd FROM pg_shadow WHERE usename=$1\n"
	"auth_user =\nauth_dbname =\n"
	"admin_users = user2, someadmin, otheradmin\n"
	"stats_users = stats, root\n"
	"pool_mode = session\n"
	"max_prepared_statements = 200\n"
	"server_reset_query = DISCARD ALL\n"
	"server_reset_query_always = 0\n"
	"track_extra_parameters = IntervalStyle\n"
	"ignore_startup_parameters = extra_float_digits, options\n"
	"server_check_query = select 1\n"
	"server_check_delay = 30\n"
	"max_client_conn = 100\n"
	"default_pool_size = 20\nmin_pool_size = 0\nreserve_pool_size = 0\nreserve_pool_timeout = 5.0\n"
	"max_db_connections = 0\nmax_db_client_connections = 0\nmax_user_connections = 0\n"
	"max_user_client_connections = 0\n"
	"server_round_robin = 0\n"
	"syslog = 0\nsyslog_facility = daemon\nsyslog_ident = pgbouncer\n"
	"log_connections = 1\nlog_disconnections = 1\nlog_pooler_errors = 1\nlog_stats = 1\n"
	"stats_period = 60\n"
	"verbose = 0\n"
	"application_name_add_host = 1\n"
	"server_lifetime = 3600\nserver_idle_timeout = 600\nserver_connect_timeout = 15\n"
	"server_login_retry = 15\n"
	"query_timeout = 0\nquery_wait_timeout = 120\nquery_wait_notify = 5\ncancel_wait_timeout = 10\n"
	"client_idle_timeout = 0\nclient_login_timeout = 60\nautodb_idle_timeout = 3600\n"
	"idle_transaction_timeout = 0\n"
	"transaction_timeout = 0\npool_idle_timeout = 0\nsuspend_timeout = 10\n"
	"pkt_buf = 4096\nlisten_backlog = 128\nsbuf_loopcnt = 5\nmax_packet_size = 2147483647\n"
	"so_reuseport = 0\ntcp_defer_accept = 0\ntcp_socket_buffer = 0\ntcp_keepalive = 1\n"
	"tcp_keepcnt = 0\n"
	"tcp_keepidle = 0\ntcp_keepintvl = 0\ntcp_user_timeout = 0\n"
	"dns_max_ttl = 15\ndns_zone_check_period = 0\ndns_nxdomain_ttl = 15\n"
	"resolv_conf = /etc/pgbouncer/resolv.conf\n"
	"disable_pqexec = 0\nconffile =\nservice_name = pgbouncer\njob_name = pgbouncer\n"
	"server_fast_close = 0\nscram_iterations = 4096\nlogin_notify_message =\n";

TEST(docs, a_real_pgbouncer_ini_loads)
{
	struct config *cfg = scratch_config(pgbouncer_ini);
	struct policy p;

	EXPECT_EQ(cfg->database_count, 6);
	EXPECT_EQ(cfg->pool_mode, POOL_MODE_SESSION);
	EXPECT_STR(cfg->auth_query, "SELECT usename, passwd FROM pg_shadow WHERE usename=$1");
	EXPECT_STR(config_database(cfg, "foodb")->hosts[0], "/var/run/postgresql");
	EXPECT_STR(config_database(cfg, "forcedb")->server_user, "baz");
	EXPECT_STR(config_database(cfg, "forcedb")->connect_query, "SELECT 1");
	EXPECT_STR(config_database(cfg, "whatever")->hosts[0], "testserver");
	EXPECT(config_list_has(cfg->admin_users, "otheradmin"));
	EXPECT_EQ(cfg->reserve_pool_timeout, 5000000);
	policy_of(cfg, "newer", "user1", &p);
	EXPECT_EQ(p.default_pool_size, 3);
	EXPECT_EQ(p.query_wait_timeout, 5000000);
	EXPECT_EQ(p.server_lifetime, 1200000000);
	config_unref(cfg);
}

/* The obsolete ones and the few that we do not have: each is named, none is an error. */
TEST(docs, a_real_pgbouncer_ini_gives_a_notice_for_each_ignored_key)
{
	struct config *cfg = scratch_config(pgbouncer_ini);
	unsigned n, ignored = 0;
	const struct config_option *rows = config_options(&n);

	for (unsigned i = 0; i < n; i++)
		ignored += rows[i].life == CONFIG_IGNORED;
	EXPECT_EQ(cfg->notice_count, ignored);
	for (unsigned i = 0; i < cfg->notice_count; i++)
		EXPECT(strstr(cfg->notices[i], "is accepted and ignored") != NULL);
	config_unref(cfg);
}

TEST(docs, the_pgbouncer_ini_above_has_every_key_of_ours_that_pgbouncer_has)
{
	static const char *const ours[] = {"workers",
					   "max_pinned",
					   "pin_process_state",
					   "pin_timeout",
					   "notify_queue_size",
					   "defer_begin",
					   "coherence",
					   "max_staleness",
					   "repeatable_context",
					   "repeatable_context_size",
					   "row_version_check",
					   "cache_size",
					   "cache_max_result",
					   "entity_rows",
					   "refresh_in_place",
					   "probe_patience",
					   "probe_patience_max",
					   "catalog_poll",
					   "feed_plugin",
					   "feed_user",
					   "feed_password",
					   "feed_publication",
					   "max_change_keys",
					   "drain_timeout",
					   "log_level",
					   "log_format",
					   "stats_port",
					   "stats_addr",
					   "stats_user",
					   "stats_password",
					   "stats_tls_cert_file",
					   "stats_tls_key_file",
					   "log_min_duration_statement",
					   "log_statement_literals",
					   NULL};
	unsigned n;
	const struct config_option *rows = config_options(&n);

	for (unsigned i = 0; i < n; i++) {
		char line[80];
		bool own = false;

		for (unsigned j = 0; ours[j] != NULL; j++)
			own |= strcmp(ours[j], rows[i].name) == 0;
		snprintf(line, sizeof line, "\n%s =", rows[i].name);
		if (rows[i].scope & CONFIG_GLOBAL && !own)
			EXPECT_STR(strstr(pgbouncer_ini, line) != NULL ? "" : rows[i].name, "");
	}
}
