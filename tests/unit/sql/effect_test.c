#include "proxy/sql/facts.h"
#include "tests/support/test.h"

#include <stdio.h>

enum {
	W = EFFECT_WRITES,
	D = EFFECT_DDL | EFFECT_WRITES,
	L = EFFECT_LOCKS,
	F = EFFECT_FUNCTIONS | EFFECT_TAINT,	 /* a function of users */
	U = EFFECT_FUNCTIONS | EFFECT_TAINT | W, /* an unsafe function of PostgreSQL */
	S = EFFECT_SETTING,
	T = EFFECT_TAINT,
	Q = EFFECT_SEQUENCE,
	QR = EFFECT_SEQUENCE | EFFECT_SEQUENCE_READ,
	N = EFFECT_NO_BLOCK,
	M = EFFECT_TXN_MODE,
	I = EFFECT_TXN_MODE | EFFECT_TXN_SNAPSHOT,
	P = EFFECT_PREPARED,
	C = EFFECT_PORTAL,
	A = EFFECT_ADVISORY | EFFECT_LOCKS,
	R = EFFECT_ROLE | EFFECT_SETTING,
	DO = EFFECT_TAINT | EFFECT_WRITES | EFFECT_LOCKS | EFFECT_FUNCTIONS,
};

struct row {
	const char *text;
	enum command command;
	uint32_t effects;
	const char *settings; /* "+set" "~local" "-reset" "=reset local", by spaces; NULL = none */
};

static void write_settings(const struct stmt_facts *stmt, char *out, size_t size)
{
	out[0] = '\0';
	for (unsigned i = 0; i < stmt->nsettings; i++) {
		size_t n = strlen(out);

		snprintf(out + n, size - n, "%s%c%s", n > 0 ? " " : "", "+~-="[stmt->settings[i].action],
			 stmt -> settings[i].name);
	}
}

static void check_rows(const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct facts *f = facts_of_text(span_str(rows[i].text));
		char settings[512];

		REQUIRE(f != NULL);
		if (f->nstmts != 1)
			printf("  %s: %d statements\n", rows[i].text, f->nstmts);
		REQUIRE(f->nstmts == 1);
		write_settings(&f->stmts[0], settings, sizeof(settings));
		if (f->stmts[0].effects != rows[i].effects || f->stmts[0].command != rows[i].command)
			printf("  %s: command %d, effects %x, wanted %d, %x\n", rows[i].text,
			       f->stmts[0].command, f->stmts[0].effects, rows[i].command, rows[i].effects);
		EXPECT_EQ(f->stmts[0].command, rows[i].command);
		EXPECT_EQ(f->stmts[0].effects, rows[i].effects);
		EXPECT_EQ(f->effects, rows[i].effects);
		EXPECT_STR(settings, rows[i].settings == NULL ? "" : rows[i].settings);
		facts_unref(f);
	}
}

#define ROWS(rows) check_rows(rows, sizeof(rows) / sizeof(rows[0]))

TEST(effect, knows_what_sets_settings)
{
	static const struct row rows[] = {
		{"set timezone to 'UTC'", COMMAND_SET, S, "+timezone"},
		{"SET TIME ZONE INTERVAL '+00:00' HOUR TO MINUTE", COMMAND_SET, S, "+timezone"},
		{"set time zone local", COMMAND_SET, S, "-timezone"},
		{"set time zone default", COMMAND_SET, S, "-timezone"},
		{"reset time zone", COMMAND_SET, S, "-timezone"},
		{"set names 'UTF8'", COMMAND_SET, S, "+client_encoding"},
		{"set names", COMMAND_SET, S, "-client_encoding"},
		{"SET client_min_messages TO warning", COMMAND_SET, S, "+client_min_messages"},
		{"set \"DateStyle\" = 'ISO'", COMMAND_SET, S, "+datestyle"},
		{"set DateStyle to iso, dmy", COMMAND_SET, S, "+datestyle"},
		{"set local statement_timeout = 5", COMMAND_SET, S, "~statement_timeout"},
		{"set local statement_timeout to default", COMMAND_SET, S, "=statement_timeout"},
		{"set session work_mem = '1MB'", COMMAND_SET, S, "+work_mem"},
		{"set sort_mem = 100", COMMAND_SET, S, "+work_mem"},
		{"set app.tenant = '7'", COMMAND_SET, S, "+app.tenant"},
		{"set \"App\".\"Tenant\" = '7'", COMMAND_SET, S, "+App.Tenant"},
		{"set search_path = a, b", COMMAND_SET, S, "+search_path"},
		{"set search_path = a, pg_temp", COMMAND_SET, S, "+search_path"},
		{"set search_path = pg_temp, a", COMMAND_SET, S | EFFECT_TEMP | T, "+search_path"},
		{"set search_path to 'pg_temp_3'", COMMAND_SET, S | EFFECT_TEMP | T, "+search_path"},
		{"set schema 'x'", COMMAND_SET, S, "+search_path"},
		{"set x.y to default", COMMAND_SET, S, "-x.y"},
		{"set x.y from current", COMMAND_SET, S, "+x.y"},
		{"reset search_path", COMMAND_SET, S, "-search_path"},
		{"reset all", COMMAND_SET, EFFECT_RESET_ALL, NULL},
		{"set role x", COMMAND_SET, R, "+role"},
		{"set local role x", COMMAND_SET, R, "~role"},
		{"set role none", COMMAND_SET, R, "+role"},
		{"reset role", COMMAND_SET, R, "-role"},
		{"set session authorization x", COMMAND_SET, R, "+session_authorization +role"},
		{"set local session authorization x", COMMAND_SET, R, "~session_authorization ~role"},
		{"set session authorization default", COMMAND_SET, R, "-session_authorization -role"},
		{"reset session authorization", COMMAND_SET, R, "-session_authorization -role"},
		{"set xml option document", COMMAND_SET, S, "+xmloption"},
		{"set session_replication_role = 'replica'", COMMAND_SET, S, "+session_replication_role"},
		{"set session characteristics as transaction isolation level serializable", COMMAND_SET, S,
		 "+default_transaction_isolation"},
		{"set session characteristics as transaction read only, not deferrable", COMMAND_SET, S,
		 "+default_transaction_read_only +default_transaction_deferrable"},
		{"set default_transaction_isolation to 'serializable'", COMMAND_SET, S,
		 "+default_transaction_isolation"},
		{"set transaction isolation level repeatable read", COMMAND_SET_TXN, I, NULL},
		{"set transaction isolation level read committed", COMMAND_SET_TXN, M, NULL},
		{"set transaction isolation level read uncommitted, read write", COMMAND_SET_TXN, M, NULL},
		{"set transaction deferrable", COMMAND_SET_TXN, I, NULL},
		{"set transaction not deferrable", COMMAND_SET_TXN, M, NULL},
		{"set transaction snapshot '00000003-0000001B-1'", COMMAND_SET_TXN, I, NULL},
		{"set transaction_isolation = 'serializable'", COMMAND_SET_TXN, I, NULL},
		{"set local transaction_isolation = 'read committed'", COMMAND_SET_TXN, M, NULL},
		{"set transaction_read_only = on", COMMAND_SET_TXN, M, NULL},
		{"reset transaction_isolation", COMMAND_SET_TXN, I, NULL},
		{"select set_config('a.b', 'c', false)", COMMAND_SELECT, S, "+a.b"},
		{"select set_config('TimeZone', 'UTC', true)", COMMAND_SELECT, S, "+timezone"},
		{"SELECT pg_catalog.set_config('search_path', '', false)", COMMAND_SELECT, S, "+search_path"},
		{"select set_config('search_path', 'pg_temp, public', false)", COMMAND_SELECT,
		 S | EFFECT_TEMP | T, "+search_path"},
		{"select set_config('a.b'::text, $1, false), set_config('c.d', 'e', false)", COMMAND_SELECT,
		 S, "+a.b +c.d"},
		{"select set_config($1, 'c', false)", COMMAND_SELECT, T, NULL},
		{"select set_config('a.' || 'b', 'c', false)", COMMAND_SELECT, T, NULL},
		{"select set_config(name, setting, false) from pg_settings", COMMAND_SELECT, T, NULL},
		{"select set_config('a.b', 'c', false), set_config($1, 'c', false)", COMMAND_SELECT, S | T,
		 "+a.b"},
		{"select set_config('role', 'x', false)", COMMAND_SELECT, R, "+role"},
		{"select set_config('session_authorization', 'x', false)", COMMAND_SELECT, R,
		 "+session_authorization +role"},
		{"select set_config('transaction_isolation', 'serializable', true)", COMMAND_SELECT, S | I,
		 "+transaction_isolation"},
		{"select 1 where set_config('a.b', 'c', false) = 'c'", COMMAND_SELECT, S, "+a.b"},
		{"insert into t select set_config('a.b', 'c', false)", COMMAND_DML, W | S | T, "+a.b"},
		{"show all", COMMAND_SHOW, 0, NULL},
		{"show time zone", COMMAND_SHOW, 0, NULL},
	};

	ROWS(rows);
}

TEST(effect, knows_transactions)
{
	static const struct row rows[] = {
		{"begin", COMMAND_BEGIN, 0, NULL},
		{"BEGIN WORK", COMMAND_BEGIN, 0, NULL},
		{"begin isolation level read committed", COMMAND_BEGIN, M, NULL},
		{"begin isolation level read uncommitted", COMMAND_BEGIN, M, NULL},
		{"begin isolation level repeatable read not deferrable", COMMAND_BEGIN, I, NULL},
		{"start transaction isolation level serializable", COMMAND_BEGIN, I, NULL},
		{"BEGIN READ WRITE", COMMAND_BEGIN, M, NULL},
		{"begin read only deferrable", COMMAND_BEGIN, I, NULL},
		{"commit", COMMAND_COMMIT, 0, NULL},
		{"END", COMMAND_COMMIT, 0, NULL},
		{"commit and no chain", COMMAND_COMMIT, 0, NULL},
		{"commit and chain", COMMAND_TXN, 0, NULL},
		{"rollback", COMMAND_ROLLBACK, 0, NULL},
		{"ABORT", COMMAND_ROLLBACK, 0, NULL},
		{"rollback and chain", COMMAND_TXN, 0, NULL},
		{"savepoint s", COMMAND_TXN, 0, NULL},
		{"release s", COMMAND_TXN, 0, NULL},
		{"rollback to s", COMMAND_TXN, 0, NULL},
		{"prepare transaction 'x'", COMMAND_TXN, W, NULL},
		{"commit prepared 'x'", COMMAND_TXN, W | N, NULL},
		{"rollback prepared 'x'", COMMAND_TXN, W | N, NULL},
		{"set constraints all immediate", COMMAND_OTHER, W, NULL},
	};

	ROWS(rows);
}

TEST(effect, knows_what_changes_or_keeps_state)
{
	static const struct row rows[] = {
		{"insert into t values (1)", COMMAND_DML, W, NULL},
		{"update t set a = 1", COMMAND_DML, W, NULL},
		{"delete from t", COMMAND_DML, W, NULL},
		{"merge into t using s on t.a = s.a when matched then delete", COMMAND_DML, W, NULL},
		{"with x as (insert into t values (1) returning a) select * from x", COMMAND_DML, W, NULL},
		{"select * from (with y as (select 1) select * from y) z", COMMAND_SELECT, 0, NULL},
		{"select * into t2 from t", COMMAND_DDL, D, NULL},
		{"select * into temp t2 from t", COMMAND_DDL, D | EFFECT_TEMP, NULL},
		{"select 1 into temp t2 union select 2", COMMAND_DDL, D | EFFECT_TEMP, NULL},
		{"create table t (a int)", COMMAND_DDL, D, NULL},
		{"create temp table t (a int)", COMMAND_DDL, D | EFFECT_TEMP, NULL},
		{"create temporary table if not exists t as select 1", COMMAND_DDL, D | EFFECT_TEMP, NULL},
		{"create local temp view v as select 1", COMMAND_DDL, D | EFFECT_TEMP, NULL},
		{"create temp sequence s", COMMAND_DDL, D | EFFECT_TEMP, NULL},
		{"create table pg_temp.t (a int)", COMMAND_DDL, D | EFFECT_TEMP, NULL},
		{"create view pg_temp.v as select 1", COMMAND_DDL, D | EFFECT_TEMP, NULL},
		{"create function pg_temp.f() returns int language sql as 'select 1'", COMMAND_DDL,
		 D | EFFECT_TEMP, NULL},
		{"create type pg_temp.mood as enum ('a')", COMMAND_DDL, D | EFFECT_TEMP, NULL},
		{"create aggregate pg_temp.g (int) (sfunc = int4pl, stype = int)", COMMAND_DDL,
		 D | EFFECT_TEMP | EFFECT_TYPES, NULL},
		{"drop table pg_temp.t", COMMAND_DDL, D, NULL},
		{"drop function pg_temp.testfunc()", COMMAND_DDL, D, NULL},
		{"select * from pg_temp.t", COMMAND_SELECT, 0, NULL},
		{"insert into pg_temp.t values (1)", COMMAND_DML, W, NULL},
		{"create table t (a int default 'pg_temp')", COMMAND_DDL, D, NULL},
		{"alter table t add b int", COMMAND_DDL, D, NULL},
		{"truncate t cascade", COMMAND_DDL, W, NULL},
		{"grant select on t to x", COMMAND_DDL, D, NULL},
		{"comment on table t is 'x'", COMMAND_DDL, D, NULL},
		{"create role x", COMMAND_DDL, D, NULL},
		{"alter role x set timezone = 'UTC'", COMMAND_DDL, D, NULL},
		{"create index on t (a)", COMMAND_DDL, D, NULL},
		{"create index concurrently on t (a)", COMMAND_VACUUM, D | N, NULL},
		{"drop index concurrently i", COMMAND_VACUUM, D | N, NULL},
		{"reindex table t", COMMAND_DDL, D, NULL},
		{"reindex (concurrently) table t", COMMAND_VACUUM, D | N, NULL},
		{"reindex database d", COMMAND_VACUUM, D | N, NULL},
		{"cluster", COMMAND_VACUUM, D | N, NULL},
		{"cluster t", COMMAND_DDL, D, NULL},
		{"vacuum t", COMMAND_VACUUM, W | N, NULL},
		{"analyze t", COMMAND_OTHER, W, NULL},
		{"create database d", COMMAND_VACUUM, D | N | EFFECT_VACATES, NULL},
		{"drop database d", COMMAND_VACUUM, D | N | EFFECT_VACATES, NULL},
		{"alter database d set tablespace x", COMMAND_VACUUM, D | N | EFFECT_VACATES, NULL},
		{"alter database d connection limit 5", COMMAND_VACUUM, D | N, NULL},
		{"alter database d rename to e", COMMAND_DDL, D | EFFECT_VACATES, NULL},
		{"alter table d rename to e", COMMAND_DDL, D, NULL},
		{"alter database d owner to e", COMMAND_DDL, D, NULL},
		{"alter system set work_mem = 1", COMMAND_VACUUM, D | N, NULL},
		{"create tablespace x location '/x'", COMMAND_VACUUM, D | N, NULL},
		{"create subscription s connection '' publication p", COMMAND_VACUUM, D | N, NULL},
		{"alter table t detach partition p concurrently", COMMAND_VACUUM, D | N, NULL},
		{"alter table t detach partition p", COMMAND_DDL, D, NULL},
		{"refresh materialized view v", COMMAND_DDL, D | T, NULL},
		{"create extension hstore", COMMAND_DDL, D | T, NULL},
		{"do $$ begin perform 1; end $$", COMMAND_DO, DO, NULL},
		{"call p(1)", COMMAND_DO, DO, NULL},
		{"do language plpgsql 'begin end'", COMMAND_DO, DO, NULL},
		{"do language PLPerl '$x = 1'", COMMAND_DO, DO | EFFECT_PROCESS, NULL},
		{"do '$x = 1' language \"plperl\"", COMMAND_DO, DO | EFFECT_PROCESS, NULL},
		{"load 'x'", COMMAND_LOAD, EFFECT_LOAD | T, NULL},
		{"listen a", COMMAND_LISTEN, EFFECT_LISTEN, NULL},
		{"unlisten *", COMMAND_UNLISTEN, EFFECT_LISTEN, NULL},
		{"notify a, 'b'", COMMAND_NOTIFY, W, NULL},
		{"lock table t in share mode", COMMAND_LOCK, L, NULL},
		{"checkpoint", COMMAND_OTHER, W, NULL},
		{"discard all", COMMAND_DISCARD, EFFECT_DISCARD | EFFECT_RESET_ALL | N, NULL},
		{"discard plans", COMMAND_DISCARD, EFFECT_DISCARD, NULL},
		{"discard temp", COMMAND_DISCARD, EFFECT_DISCARD, NULL},
		{"prepare p as select 1", COMMAND_PREPARE, P, NULL},
		{"prepare p as insert into t values (1)", COMMAND_PREPARE, P | W, NULL},
		{"prepare p as select set_config('a.b', 'c', false)", COMMAND_PREPARE, P | S | T, "+a.b"},
		{"prepare p as select my(1)", COMMAND_PREPARE, P | F, NULL},
		{"execute p", COMMAND_EXECUTE, P | W | T, NULL},
		{"execute p(nextval('s'))", COMMAND_EXECUTE, P | W | T | Q, NULL},
		{"create table t as execute p", COMMAND_DDL, D | P | T, NULL},
		{"deallocate p", COMMAND_DEALLOCATE, P, NULL},
		{"deallocate all", COMMAND_DEALLOCATE, P, NULL},
		{"copy t from stdin", COMMAND_COPY, W, NULL},
		{"copy t to stdout", COMMAND_COPY, 0, NULL},
		{"copy t to '/x'", COMMAND_COPY, W, NULL},
		{"copy t to program 'x'", COMMAND_COPY, W, NULL},
		{"copy (select my(1)) to stdout", COMMAND_COPY, F, NULL},
		{"copy (delete from t returning *) to stdout", COMMAND_COPY, W, NULL},
		{"copy t from stdin where nextval('s') > 1", COMMAND_COPY, W | Q, NULL},
		{"declare c cursor for select 1", COMMAND_CURSOR, C, NULL},
		{"DECLARE \"_django_curs_1\" NO SCROLL CURSOR WITH HOLD FOR SELECT 1", COMMAND_CURSOR,
		 C | EFFECT_HOLD_CURSOR, NULL},
		{"declare c cursor for select * from t for update", COMMAND_CURSOR, C | L, NULL},
		{"declare c cursor for select set_config('a.b', 'c', false)", COMMAND_CURSOR, C | S | T,
		 "+a.b"},
		{"fetch 5 from c", COMMAND_CURSOR, C, NULL},
		{"move c", COMMAND_CURSOR, C, NULL},
		{"close c", COMMAND_CURSOR, C, NULL},
		{"explain select 1", COMMAND_EXPLAIN, 0, NULL},
		{"explain (analyze off) select my(1)", COMMAND_EXPLAIN, F, NULL},
		{"explain update t set a = 1", COMMAND_EXPLAIN, W, NULL},
		{"explain analyze select 1", COMMAND_OTHER, 0, NULL},
		{"explain analyze update t set a = 1", COMMAND_DML, W, NULL},
		{"explain (analyze, verbose) delete from t", COMMAND_DML, W, NULL},
		{"explain (analyze true) select nextval('s')", COMMAND_OTHER, Q | W, NULL},
		{"explain (analyze 1, analyze 0) insert into t values (1)", COMMAND_DML, W, NULL},
		{"explain analyze create table t as select 1", COMMAND_OTHER, D, NULL},
		{"explain analyze execute p", COMMAND_OTHER, P | W | T, NULL},
		{"explain analyze select set_config('a.b', 'c', false)", COMMAND_OTHER, S | T, "+a.b"},
		{"security label on table t is 'x'", COMMAND_DDL, D, NULL},
		{"create rule r as on insert to t do also delete from u", COMMAND_DDL, D, NULL},
		{"import foreign schema s from server v into x", COMMAND_DDL, D, NULL},
		{"create publication p for all tables", COMMAND_DDL, D, NULL},
		{"alter table t replica identity full", COMMAND_DDL, D, NULL},
	};

	ROWS(rows);
}

/* The functions of one statement, hidden in each of its corners. */
TEST(effect, finds_functions_in_every_clause)
{
	static const char *const corners[] = {
		"select %s",
		"select 1 where %s is null",
		"select count(*) filter (where %s is null) from t",
		"select sum(a) over (partition by %s) from t",
		"select sum(a) over (order by %s) from t",
		"select sum(a) over w from t window w as (order by %s)",
		"select a from t group by a, %s",
		"select a from t group by rollup (a, %s)",
		"select a from t group by a having %s is null",
		"select a from t order by %s",
		"select a from t limit %s",
		"select a from t offset %s",
		"select distinct on (%s) a from t",
		"select array_agg(a order by %s) from t",
		"select percentile_cont(0.5) within group (order by %s) from t",
		"select case when a = 1 then %s end from t",
		"select case %s when 1 then 2 end from t",
		"select case when a = 1 then 2 else %s end from t",
		"select coalesce(a, %s) from t",
		"select greatest(a, %s) from t",
		"select nullif(a, %s) from t",
		"select a between 1 and %s from t",
		"select a in (1, %s) from t",
		"select a = any(array[%s]) from t",
		"select (array[1,2])[%s]",
		"select (array[1,2])[1:%s]",
		"select row(%s)",
		"select %s::text",
		"select %s is true",
		"select not (%s is null)",
		"select - (%s)",
		"select %s collate \"C\"",
		"select cast(%s as int)",
		"select lower(upper(%s))",
		"select (select %s)",
		"select exists (select %s)",
		"select array(select %s)",
		"select 1 where 1 in (select %s)",
		"select 1 where (1, 2) in (select 1, %s)",
		"select * from (select %s) x",
		"select * from t, lateral (select %s) x",
		"select * from t join u on %s is null",
		"select * from %s",
		"select * from rows from (%s) with ordinality",
		"select * from t tablesample system (%s)",
		"select * from t tablesample system (1) repeatable (%s)",
		"select * from xmltable('/a' passing %s columns b int)",
		"select * from xmltable('/a' passing '<a/>' columns b int default %s)",
		"select xmlelement(name a, %s)",
		"select xmlforest(%s as b)",
		"with x as (select %s) select 1",
		"with recursive x as (select 1 union all select %s) select 1",
		"values (1), (%s)",
		"select 1 union select %s",
		"select 1 except select 2 intersect select %s",
		"select format('%%s', variadic array[%s])",
		"select make_interval(days => %s)",
		"select extract(day from %s)",
		"select substring('abc' from %s)",
		"select trim(both 'x' from %s)",
		"select overlay('abc' placing %s from 1)",
		"select position(%s in 'abc')",
		"select 'a' like %s",
		"select 'a' like 'b' escape %s",
		"select 'a' similar to %s",
		"select now() at time zone %s",
		"select (a, b) overlaps (c, %s) from t",
		"select 1 is distinct from %s",
		"table t union select %s",
		"insert into t values (%s)",
		"insert into t select %s",
		"insert into t values (1) returning %s",
		"insert into t values (1) on conflict (a) do update set a = %s",
		"insert into t values (1) on conflict (a) where %s is null do nothing",
		"insert into t values (1) on conflict (a) do update set a = 1 where %s is null",
		"insert into t (a[%s]) values (1)",
		"update t set a = %s",
		"update t set (a, b) = (select 1, %s)",
		"update t set a = 1 from (select %s) x",
		"update t set a = 1 where a = %s",
		"update t set a = 1 returning %s",
		"delete from t where a = %s",
		"delete from t using (select %s) x",
		"delete from t returning %s",
		"merge into t using (select %s) s on true when matched then delete",
		"merge into t using s on %s is null when matched then delete",
		"merge into t using s on true when matched and %s is null then delete",
		"merge into t using s on true when matched then update set a = %s",
		"merge into t using s on true when not matched then insert values (%s)",
		"prepare p as select %s",
		"execute p(%s)",
		"declare c cursor for select %s",
		"copy (select %s) to stdout",
		"explain select %s",
		"explain analyze select %s",
		"create table t as select %s",
		"create materialized view v as select %s",
		"create table t (a int default %s)",
		"create table t (a int check (%s is null))",
		"create index on t ((%s))",
		"alter table t alter a type int using %s",
		"alter table t add a int default %s",
		"create policy p on t using (%s is null)",
	};
	static const struct {
		const char *call;
		uint32_t effects;
	} calls[] = {
		{"my_own(1)", F},
		{"public.lower('A')", F},
		{"nextval('s')", Q | W},
		{"pg_advisory_lock(1)", A},
		{"pg_notify('a', 'b')", W},
		{"query_to_xml('select 1', true, true, '')", U},
		{"set_config('a.b', 'c', false)", S},
	};

	for (size_t i = 0; i < sizeof(corners) / sizeof(corners[0]); i++)
		for (size_t k = 0; k < sizeof(calls) / sizeof(calls[0]); k++) {
			char text[256];
			struct facts *f;

			if (strstr(corners[i], "from %s") != NULL && calls[k].effects == S)
				continue;
			snprintf(text, sizeof(text), corners[i], calls[k].call); // NOLINT
			f = facts_of_text(span_str(text));
			if (f->nstmts != 1 || (f->effects & calls[k].effects) != calls[k].effects ||
			    f->shape != NULL)
				printf("  %s: %d statements, effects %x\n", text, f->nstmts, f->effects);
			EXPECT_EQ(f->nstmts, 1);
			EXPECT_EQ(f->effects & calls[k].effects, calls[k].effects);
			EXPECT(f->shape == NULL);
			facts_unref(f);
		}
}

TEST(effect, knows_functions_and_operators_by_name)
{
	static const struct row rows[] = {
		{"select now(), random(), version(), current_setting('a'), pg_sleep(1)", COMMAND_SELECT, 0,
		 NULL},
		{"select pg_catalog.lower('A'), lower('B')", COMMAND_SELECT, 0, NULL},
		{"select \"Lower\"('A')", COMMAND_SELECT, F, NULL},
		{"select db.pg_catalog.lower('A')", COMMAND_SELECT, F, NULL},
		{"select currval('s')", COMMAND_SELECT, QR, NULL},
		{"select lastval()", COMMAND_SELECT, QR, NULL},
		{"select setval('s', 1)", COMMAND_SELECT, Q | W, NULL},
		{"select pg_catalog.nextval('s')", COMMAND_SELECT, Q | W, NULL},
		{"select pg_advisory_xact_lock(1)", COMMAND_SELECT, L, NULL},
		{"SELECT pg_try_advisory_lock(7273691334933535470)", COMMAND_SELECT, A, NULL},
		{"SELECT pg_advisory_unlock_all()", COMMAND_SELECT, A, NULL},
		{"select lo_create(0)", COMMAND_SELECT, W, NULL},
		{"select txid_current()", COMMAND_SELECT, W, NULL},
		{"select pg_current_xact_id()", COMMAND_SELECT, W, NULL},
		{"select pg_logical_emit_message(true, 'a', 'b')", COMMAND_SELECT, W, NULL},
		{"select pg_terminate_backend(1)", COMMAND_SELECT, U, NULL},
		{"select pg_cancel_backend(1)", COMMAND_SELECT, U, NULL},
		{"select pg_reload_conf()", COMMAND_SELECT, U, NULL},
		{"select pg_read_file('x')", COMMAND_SELECT, U, NULL},
		{"select pg_create_logical_replication_slot('a', 'b', true)", COMMAND_SELECT, U, NULL},
		{"select table_to_xml('t', true, true, '')", COMMAND_SELECT, U, NULL},
		{"select ts_stat('select 1')", COMMAND_SELECT, U, NULL},
		{"select ts_rewrite('a', 'select 1')", COMMAND_SELECT, U, NULL},
		{"select setseed(0.5)", COMMAND_SELECT, U, NULL},
		{"select pg_export_snapshot()", COMMAND_SELECT, U, NULL},
		{"select pg_replication_origin_session_setup('x')", COMMAND_SELECT, U, NULL},
		{"select dblink('a', 'b')", COMMAND_SELECT, F, NULL},
		{"select ('s'::regclass).nextval", COMMAND_SELECT, Q | W, NULL},
		{"select s.nextval from unnest(array['s'::regclass]) s", COMMAND_SELECT, Q | W, NULL},
		{"select (1).pg_advisory_lock", COMMAND_SELECT, A, NULL},
		{"select ('a').my_own", COMMAND_SELECT, F, NULL},
		{"select ('a'::text).upper", COMMAND_SELECT, 0, NULL},
		{"select t.name, t.count, u.id from t, u", COMMAND_SELECT, 0, NULL},
		{"select a @@@@ b from t", COMMAND_SELECT, F, NULL},
		{"select a operator(public.=) b from t", COMMAND_SELECT, F, NULL},
		{"select a operator(pg_catalog.=) b from t", COMMAND_SELECT, 0, NULL},
		{"select a <%> any(array[1]) from t", COMMAND_SELECT, F, NULL},
		{"select a <%> all(select 1) from t", COMMAND_SELECT, F, NULL},
		{"select a from t order by a using <%>", COMMAND_SELECT, F, NULL},
		{"select a from t order by a using <", COMMAND_SELECT, 0, NULL},
		{"select a != 1, a not in (1), a not like 'x', a !~ 'x' from t", COMMAND_SELECT, 0, NULL},
		{"select a::mood from t", COMMAND_SELECT, EFFECT_TYPES, NULL},
		{"select mood 'x'", COMMAND_SELECT, EFFECT_TYPES, NULL},
		{"select array_in('{x}', 90001, -1)", COMMAND_SELECT, EFFECT_FUNCTIONS, NULL},
		{"select jsonb_populate_record(t, '{}') from t", COMMAND_SELECT, EFFECT_FUNCTIONS, NULL},
		{"select public.int4 '1'", COMMAND_SELECT, EFFECT_TYPES, NULL},
		{"select a::int[], b::numeric(10,2), c::timestamp with time zone from t", COMMAND_SELECT, 0,
		 NULL},
		{"select * from t tablesample bernoulli (1)", COMMAND_SELECT, 0, NULL},
		{"select * from t tablesample my_method (1)", COMMAND_SELECT, F, NULL},
		{"select * from t for update", COMMAND_SELECT, L, NULL},
		{"select * from t for no key update of t nowait", COMMAND_SELECT, L, NULL},
		{"select * from (select * from t for share) x", COMMAND_SELECT, L, NULL},
		{"select 1 where exists (select 1 from t for update)", COMMAND_SELECT, L, NULL},
		{"with x as (select * from t for update) select * from x", COMMAND_SELECT, L, NULL},
		{"select * from (select 1 union select 2) x", COMMAND_SELECT, 0, NULL},
		{"table t", COMMAND_SELECT, 0, NULL},
		{"values (1), (2)", COMMAND_SELECT, 0, NULL},
	};

	ROWS(rows);
}

static void check_name(const char *text, const char *name, const char *tag)
{
	struct facts *f = facts_of_text(span_str(text));

	REQUIRE(f->nstmts == 1);
	EXPECT_STR(f->stmts[0].name, name);
	EXPECT_STR(f->stmts[0].tag, tag);
	facts_unref(f);
}

static void check_prepared(const char *text, const char *name)
{
	struct facts *f = facts_of_text(span_str(text));

	REQUIRE(f->nstmts == 1);
	EXPECT_STR(f->stmts[0].prepared, name);
	facts_unref(f);
}

TEST(effect, tells_the_prepared_statement)
{
	check_prepared("prepare \"P\" as select 1", "P");
	check_prepared("execute p(1)", "p");
	check_prepared("deallocate p", "p");
	check_prepared("deallocate all", NULL);
	check_prepared("explain analyze execute p", "p");
	check_prepared("create table t as execute p", "p");
	check_prepared("explain create table t as execute \"P\"", "P");
	check_prepared("select 'execute p'", NULL);
}

TEST(effect, gives_names_and_tags)
{
	check_name("prepare \"P 1\" as select 1", "P 1", NULL);
	check_name("execute p", "p", NULL);
	check_name("deallocate prepare p", "p", NULL);
	check_name("deallocate all", NULL, NULL);
	check_name("listen \"Ch\"", "Ch", NULL);
	check_name("unlisten *", NULL, NULL);
	check_name("unlisten ch", "ch", NULL);
	check_name("notify ch", "ch", NULL);
	check_name("discard all", "all", NULL);
	check_name("discard sequences", "sequences", NULL);
	check_name("declare c cursor for select 1", "c", NULL);
	check_name("close all", NULL, NULL);
	check_name("begin", NULL, "BEGIN");
	check_name("start transaction", NULL, "START TRANSACTION");
	check_name("end", NULL, "COMMIT");
	check_name("abort", NULL, "ROLLBACK");
	check_name("rollback to savepoint x", "x", "ROLLBACK");
	check_name("savepoint \"S\"", "S", "SAVEPOINT");
	check_name("release s", "s", "RELEASE");
	check_name("commit and chain", NULL, "COMMIT");
	check_name("show pgweir.coherence", "pgweir.coherence", NULL);
	check_name("explain analyze execute p", NULL, NULL);
	check_name("drop database if exists \"D\" with (force)", "D", NULL);
	check_name("create database d", "template1", NULL);
	check_name("create database d owner o template = \"T\"", "T", NULL);
	check_name("create database d template 't u'", "t u", NULL);
	check_name("create database d template default", "template1", NULL);
	check_name("alter database d rename to e", "d", NULL);
	check_name("alter database d set tablespace x", "d", NULL);
}

TEST(effect, knows_which_selects_lock_all_that_they_show)
{
	static const struct {
		const char *text;
		bool locks, tables;
	} rows[] = {
		{"select * from t where id = 1 for update", true, true},
		{"select * from t for no key update skip locked", true, true},
		{"select * from t for share", false, true},
		{"select * from t for key share", false, true},
		{"select * from t, u for update of t", false, true},
		{"select * from t join u using (id) for update", false, true},
		{"select *, (select 1 from u) from t for update", false, true},
		{"with c as (select 1) select * from t for update", false, true},
		{"select * from t", false, true},
		{"select pg_advisory_xact_lock(1)", false, false},
		{"select 1 + $1, now()", false, false},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct facts *f = facts_of_text(span_str(rows[i].text));

		REQUIRE(f != NULL && f->nstmts == 1);
		if (f->stmts[0].locks_shown != rows[i].locks || f->stmts[0].names_tables != rows[i].tables)
			printf("  %s\n", rows[i].text);
		EXPECT_EQ(f->stmts[0].locks_shown, rows[i].locks);
		EXPECT_EQ(f->stmts[0].names_tables, rows[i].tables);
		facts_unref(f);
	}
}
