#include "tests/support/test.h"
#include "tests/unit/sql/sample.h"

#include <stdio.h>

/* One statement and what must come out. `keys` is for cacheable ones; parameters are text, declared as `oids`. */
struct row {
	const char *text;
	enum reason reason;
	bool harmless;
	const char *keys;
	const char *params[4];
	uint32_t oids[4];
};

static uint16_t fill_params(const struct row *row, struct reads_param *params, uint16_t *noids)
{
	uint16_t n = 0;

	*noids = 0;
	for (unsigned i = 0; i < 4; i++) {
		if (row->oids[i] != 0)
			*noids = (uint16_t)(i + 1);
		if (row->params[i] == NULL)
			continue;
		params[i] = (struct reads_param){.value = span_str(row->params[i])};
		n = (uint16_t)(i + 1);
	}
	return n;
}

static void check_row(const struct catalog *c, const struct row *row)
{
	struct reads_param params[4] = {{0}};
	uint16_t noids, n = fill_params(row, params, &noids);
	struct reads *r = sample_reads(c, row->text, row->oids, noids);

	if (reads_reason(r) != row->reason || reads_harmless(r) != row->harmless)
		printf("  %s\n  got %s, harmless %d\n", row->text, reason_name(reads_reason(r)),
		       reads_harmless(r));
	EXPECT_STR(reason_name(reads_reason(r)), reason_name(row->reason));
	EXPECT_EQ(reads_harmless(r), row->harmless);
	if (row->keys != NULL && reads_reason(r) == REASON_NONE) {
		if (!sample_depends(c, r, params, n, row->keys))
			printf("  %s\n  does not depend on just %s\n", row->text, row->keys);
		EXPECT(sample_depends(c, r, params, n, row->keys));
	}
	reads_unref(r);
}

static void check_rows(const struct row *rows, size_t n)
{
	struct catalog *c = sample_catalog();

	for (size_t i = 0; i < n; i++)
		check_row(c, &rows[i]);
	catalog_unref(c);
}

#define ROWS(rows) check_rows(rows, sizeof(rows) / sizeof(rows[0]))
#define HIT(text, ...)                               \
	{                                            \
		text, REASON_NONE, true, __VA_ARGS__ \
	}
#define READ(text, why)                        \
	{                                      \
		text, REASON_##why, true, NULL \
	}
#define WRITE(text, why)                        \
	{                                       \
		text, REASON_##why, false, NULL \
	}

/* The statements that 25 clients send, in the order of the notes on their traffic. */
static const struct row by_key[] = {
	HIT("select \"m0\".* from \"mk_user\" as \"m0\" where \"m0\".\"id\" = 1 limit 1", "mk_user(1)"),
	HIT("SELECT \"TyUser\".\"id\" AS \"TyUser_id\", \"TyUser\".\"email\" AS \"TyUser_email\" FROM \"ty_user\" "
	    "\"TyUser\" WHERE ((\"TyUser\".\"id\" = $1)) LIMIT 1",
	    "ty_user(1)", {"1"}),
	HIT("SELECT \"id\", \"email\", \"createdAt\" FROM \"sq_user\" AS \"SqUser\" WHERE \"SqUser\".\"id\" = 1;",
	    "sq_user(1)"),
	HIT("select * from \"kx_user\" where \"id\" = $1 limit $2", "kx_user(1)", {"1", "1"}),
	HIT("select \"id\", \"email\" from \"dz_user\" where \"dz_user\".\"id\" = $1", "dz_user(7)", {"7"}),
	HIT("select \"id\", \"email\" from \"dz_user\" \"users\" where \"users\".\"id\" = $1 limit $2",
	    "dz_user(1)", {"1", "1"}),
	HIT("SELECT \"public\".\"pr_user\".\"id\", \"public\".\"pr_user\".\"email\" FROM \"public\".\"pr_user\" WHERE "
	    "(\"public\".\"pr_user\".\"id\" = $1 AND 1=1) LIMIT $2 OFFSET $3",
	    "pr_user(1)", {"1", "1", "0"}),
	HIT("SELECT \"dj_user\".\"id\", \"dj_user\".\"email\" FROM \"dj_user\" WHERE \"dj_user\".\"id\" = 1 LIMIT 21",
	    "dj_user(1)"),
	HIT("SELECT \"ar_users\".* FROM \"ar_users\" WHERE \"ar_users\".\"id\" = $1 LIMIT $2", "ar_users(1)",
	    {"1", "1"}),
	HIT("SELECT sa_user.id AS sa_user_id, sa_user.email AS sa_user_email FROM sa_user WHERE sa_user.id = 1",
	    "sa_user(1)"),
	HIT("select name from jd_user where id = ('4'::int4)", "jd_user(4)"),
	HIT("select name from ph_user where id = '7'", "ph_user(7)"),
	HIT("SELECT (1) AS \"a\" FROM \"dj_user\" WHERE \"dj_user\".\"id\" = 3 LIMIT 1", "dj_user(3)"),
	HIT("SELECT 1 AS \"row_exists\" FROM (SELECT 1 AS dummy_column) \"dummy_table\" WHERE EXISTS (SELECT 1 FROM "
	    "\"ty_user\" \"TyUser\" WHERE ((\"TyUser\".\"id\" = $1))) LIMIT 1",
	    "ty_user(1)", {"1"}),
};

TEST(reads, finds_by_primary_key_of_every_orm)
{
	ROWS(by_key);
}

static const struct row by_others[] = {
	HIT("select \"m0\".* from \"mk_user\" as \"m0\" where \"m0\".\"email\" = 'u3@x' limit 1", "mk_user*"),
	HIT("select \"m0\".* from \"mk_post\" as \"m0\" where \"m0\".\"author_id\" = 4 order by \"m0\".\"id\" asc",
	    "mk_post*"),
	HIT("select \"m0\".* from \"mk_user\" as \"m0\" where \"m0\".\"id\" in (1, 2, 3)",
	    "mk_user(1) mk_user(2) mk_user(3)"),
	HIT("SELECT \"dj_user\".\"id\" FROM \"dj_user\" WHERE \"dj_user\".\"email\" = 'u3@x' LIMIT 21",
	    "dj_user*"),
	HIT("SELECT \"dj_user\".\"id\" FROM \"dj_user\" ORDER BY \"dj_user\".\"id\" ASC LIMIT 1", "dj_user*"),
	HIT("SELECT \"ar_users\".* FROM \"ar_users\" WHERE \"ar_users\".\"id\" IN ($1, $2, $3)",
	    "ar_users(1) ar_users(2) ar_users(5)", {"1", "2", "5"}, {0}),
	HIT("SELECT 1 AS one FROM \"ar_users\" WHERE \"ar_users\".\"email\" = $1 AND \"ar_users\".\"id\" != $2 LIMIT $3",
	    "ar_users*", {"a@b", "3", "1"}),
	HIT("SELECT \"public\".\"pr_post\".\"id\" FROM \"public\".\"pr_post\" WHERE \"public\".\"pr_post\".\"author_id\" = $1 "
	    "ORDER BY \"public\".\"pr_post\".\"id\" ASC OFFSET $2",
	    "pr_post*", {"1", "0"}),
	HIT("SELECT \"public\".\"pr_user\".\"id\" FROM \"public\".\"pr_user\" WHERE \"public\".\"pr_user\".\"id\" IN ($1,$2,$3) "
	    "OFFSET $4",
	    "pr_user(1) pr_user(2) pr_user(3)", {"1", "2", "3", "0"}),
	HIT("select * from mk_user where id = any($1)", "mk_user(3) mk_user(4)", {"{3,4}"}),
	HIT("select * from mk_user where id = any($1)", "mk_user(3) mk_user(4)", {"{3,4}"}, {1007}),
	HIT("select * from mk_user where id = any($1)", "mk_user(3)", {"{3,NULL}"}, {1016}),
	HIT("select count(*) as \"count\" from \"mk_user\" as \"m0\" where \"m0\".\"name\" like 'n%'",
	    "mk_user*"),
	HIT("select \"m0\".* from \"mk_user\" as \"m0\" order by \"m0\".\"id\" asc limit 5 offset 5",
	    "mk_user*"),
	HIT("SELECT COUNT(1) AS \"cnt\" FROM \"ty_user\" \"TyUser\"", "ty_user*"),
	HIT("select count(*) as \"n\" from \"kx_user\" limit $1", "kx_user*", {"1"}),
	HIT("SELECT COUNT(*) AS \"_count$_all\" FROM (SELECT \"public\".\"pr_user\".\"id\" FROM \"public\".\"pr_user\" WHERE 1=1 "
	    "OFFSET $1) AS \"sub\"",
	    "pr_user*", {"0"}),
	HIT("select \"m0\".\"id\" from \"mk_user\" as \"m0\" where ((\"m0\".\"id\" = 8 and \"m0\".\"version\" = 1) or "
	    "(\"m0\".\"id\" = 9 and \"m0\".\"version\" = 2))",
	    "mk_user(8) mk_user(9)"),
	HIT("select \"m0\".*, \"p1\".\"id\" as \"p1__id\" from \"mk_user\" as \"m0\" left join \"mk_post\" as \"p1\" on "
	    "\"m0\".\"id\" = \"p1\".\"author_id\" where \"m0\".\"id\" = 6",
	    "mk_user(6) mk_post*"),
	HIT("SELECT DISTINCT \"u\".\"id\" AS \"x\", \"u\".\"name\" FROM \"ty_user\" \"u\" LEFT JOIN \"mk_post\" \"p\" ON "
	    "\"p\".\"author_id\"=\"u\".\"id\" WHERE \"u\".\"id\" = $1 ORDER BY \"x\" ASC LIMIT 1",
	    "ty_user(2) mk_post*", {"2"}),
	HIT("select \"users\".\"id\", \"users_posts\".\"data\" as \"posts\" from \"dz_user\" \"users\" left join lateral (select "
	    "coalesce(json_agg(json_build_array(\"users_posts\".\"id\", \"users_posts\".\"title\")), '[]'::json) as \"data\" "
	    "from \"dz_post\" \"users_posts\" where \"users_posts\".\"author_id\" = \"users\".\"id\") \"users_posts\" on true "
	    "where \"users\".\"id\" = $1 limit $2",
	    "dz_user(5) dz_post*", {"5", "1"}),
	HIT("select * from mk_user m0 where m0.\"meta\"->>'k' = 'é'", "mk_user*"),
	HIT("select * from sq_user as \"SqUser\" where (\"SqUser\".\"meta\"#>>'{k}') = 'é'", "sq_user*"),
	HIT("select id from pr_user where (\"public\".\"pr_user\".\"meta\"#>ARRAY[$1]::text[])::jsonb::jsonb = $2",
	    "pr_user*", {"k", "1"}),
	HIT("select id from dj_user where (\"dj_user\".\"meta\" -> 'k') = '\"\\u00e9\"'", "dj_user*"),
};

TEST(reads, understands_the_other_reads_of_every_orm)
{
	ROWS(by_others);
}

static const struct row not_reads[] = {
	WRITE("insert into \"mk_user\" (\"email\") values ('john@x') returning \"id\", \"version\"",
	      NOT_SELECT),
	WRITE("INSERT INTO \"sq_user\" (\"id\",\"email\") VALUES (DEFAULT,$1) RETURNING \"id\"", NOT_SELECT),
	WRITE("update \"mk_user\" set \"name\" = 'Mike', \"version\" = \"version\" + 1 where \"id\" = 1 returning \"version\"",
	      NOT_SELECT),
	WRITE("delete from \"mk_user\" where \"id\" in (19)", NOT_SELECT),
	WRITE("insert into mk_user (email) values ('x') on conflict (\"email\") do update set \"name\" = excluded.\"name\"",
	      NOT_SELECT),
	WRITE("select * from mk_user where id = 1 limit 1 for update", ROW_LOCK),
	WRITE("select * from mk_user where id = 1 limit $1 for update skip locked", ROW_LOCK),
	WRITE("select * from mk_user where id = 1 for key share", ROW_LOCK),
	WRITE("with x as (update mk_user set age = 1 returning *) select * from x", NOT_SELECT),
	WRITE("with x as (delete from mk_user returning id) select * from mk_post where author_id in (select id from x)",
	      NOT_SELECT),
	WRITE("select * into other from mk_user", NOT_SELECT),
	WRITE("select id into temp other from mk_user where id = 1", NOT_SELECT),
	WRITE("copy mk_user to stdout", NOT_SELECT),
	WRITE("declare c cursor for select * from mk_user", NOT_SELECT),
	WRITE("select * from pg_temp.testfunc()", FUNCTION),
	WRITE("select 1; select 2", MULTIPLE),
	WRITE("this is no sql", SYNTAX),
	WRITE("set timezone to 'UTC'", NOT_SELECT),
	WRITE("select nextval('s')", FUNCTION),
	WRITE("select pg_advisory_lock(1)", FUNCTION),
	WRITE("select pg_try_advisory_xact_lock(1)", FUNCTION),
	WRITE("select set_config('a.b','c',false)", FUNCTION),
	WRITE("select my_own(1)", FUNCTION),
	WRITE("select pg_notify('a','b')", FUNCTION),
	WRITE("select lo_get(1)", FUNCTION),
	WRITE("select query_to_xml('select 1', true, false, '')", FUNCTION),
	WRITE("lock table mk_user", NOT_SELECT),
	WRITE("begin; update mk_user set age = 1", MULTIPLE),
	READ("select version()", FUNCTION),
	READ("select now()", FUNCTION),
	READ("select current_timestamp", FUNCTION),
	READ("select * from current_schema()", SHAPE),
	READ("select 1", NO_TABLE),
	READ("select 1 + 2 as three", NO_TABLE),
	READ("select 1 from pg_database where datname = 'x'", RELATION_KIND),
	READ("show transaction_isolation", NOT_SELECT),
	READ("begin", NOT_SELECT),
	READ("START TRANSACTION ISOLATION LEVEL SERIALIZABLE", NOT_SELECT),
	READ("commit", NOT_SELECT),
	READ("rollback", NOT_SELECT),
	READ("savepoint a", NOT_SELECT),
	READ("release savepoint a", NOT_SELECT),
	READ("rollback to savepoint a", NOT_SELECT),
	READ("set transaction read only", NOT_SELECT),
	READ("begin; commit", MULTIPLE),
	READ("", NOT_SELECT),
	READ("/* DBD::Pg ping test v3.16.0 */", NOT_SELECT),
	READ(";", NOT_SELECT),
	READ("explain select * from mk_user where id = 1", NOT_SELECT),
	WRITE("explain analyze select * from mk_user where id = 1", NOT_SELECT),
	WRITE("explain update mk_user set age = 1", NOT_SELECT),
	READ("select table_name from information_schema.tables", RELATION_KIND),
	READ("select t.oid from pg_type t where t.typname = 'x'", RELATION_KIND),
	READ("select random(), clock_timestamp() from mk_user", FUNCTION),
	READ("select * from mk_user where \"createdAt\" > now() - interval '1 day'", FUNCTION),
	READ("select current_date, id from mk_user where id = 1", FUNCTION),
	READ("select id from mk_user where id = 1 and born = current_date", FUNCTION),
	READ("select * from mk_user tablesample system (10)", SHAPE),
	READ("select * from generate_series(1, 3)", SHAPE),
	HIT("with recursive r as (select 1 as n union all select n + 1 from r where n < 3) select * from r, mk_user",
	    "mk_user*"),
	HIT("with recursive r(i, a) as (select id, author_id from mk_post where id = 4 union select p.id, p.author_id from mk_post p "
	    "join r on p.author_id = r.i) select i from r where a = 1",
	    "mk_post(4) mk_post*"),
	HIT("with recursive a as (select id from mk_user where id = 1), r as (select id from a union select id + 1 from r) select * from r",
	    "mk_user(1)"),
	READ("with recursive mk_user as (select id from mk_user) select * from mk_user", SHAPE),
	READ("with recursive r as (select id from r union select id from mk_user) select * from r", SHAPE),
	READ("with recursive a as (select id from mk_post), mk_post as (select 1 as id) select * from a, mk_user",
	     SHAPE),
	HIT("with a as (select id from mk_post), mk_post as (select 1 as id) select * from a, mk_user",
	    "mk_post* mk_user*"),
	READ("with recursive r as (select 1 as n union all select n + 1 from r where n < 3) cycle n set c using p select * from r, mk_user",
	     SHAPE),
};

TEST(reads, tells_writes_locks_and_session_state_from_reads)
{
	ROWS(not_reads);
}

static const struct row relations[] = {
	HIT("select * from by_uuid where k1 = 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'",
	    "by_uuid(a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11)"),
	HIT("select * from by_uuid where k1 = 'A0EEBC999C0B4EF8BB6D6BB9BD380A11'::uuid",
	    "by_uuid(a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11)"),
	HIT("select * from by_uuid where k1 = $1", "by_uuid(a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11)",
	    {"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"}, {2950}),
	HIT("select * from by_text where k1 = 'abc'", "by_text(abc)"),
	HIT("select * from by_text where k1 = $1", "by_text(abc)", {"abc"}, {1043}),
	HIT("select * from by_text where k1 = 'abc'::varchar", "by_text(abc)"),
	HIT("select * from by_text where k1 = 'abc'::varchar(2)", "by_text*"),
	HIT("select * from by_text where k1 = 'abc'::bpchar", "by_text*"),
	HIT("select * from by_text where k1 = 'é'", "by_text*"),
	HIT("select * from by_text where k1 = $1", "by_text*", {"é"}),
	HIT("select * from by_varchar where k1 in ('a', 'b')", "by_varchar(a) by_varchar(b)"),
	HIT("select * from by_big where k1 = 3000000000", "by_big(3000000000)"),
	HIT("select * from by_big where k1 = -1", "by_big(-1)"),
	HIT("select * from by_small where k1 = 5::bigint", "by_small(5)"),
	HIT("select * from by_small where k1 = 5.0", "by_small*"),
	HIT("select * from by_small where k1 = 1e1", "by_small*"),
	HIT("select * from by_ci where k1 = 'abc'", "by_ci*"),
	HIT("select * from by_date where k1 = '2026-01-01'", "by_date*"),
	HIT("select * from by_pair where k1 = 1 and k2 = 'x'", "by_pair(1,x)"),
	HIT("select * from by_pair where k2 = $2 and k1 = $1", "by_pair(1,x)", {"1", "x"}),
	HIT("select * from by_pair where k1 in (1, 2) and k2 = any('{x,y}')",
	    "by_pair(1,x) by_pair(1,y) by_pair(2,x) by_pair(2,y)"),
	HIT("select * from by_pair where k1 = 1", "by_pair*"),
	HIT("select * from by_pair where (k1 = 1 and k2 = 'a') or (k1 = 2 and k2 = 'b')",
	    "by_pair(1,a) by_pair(2,b)"),
	HIT("select * from by_pair where k1 = 1 and (k2 = 'a' or k2 = 'b')", "by_pair(1,a) by_pair(1,b)"),
	HIT("select * from by_pair where k1 = 1 and (k2 = 'a' or v = 'b')", "by_pair*"),
	HIT("select * from no_key where v = 'x'", "no_key*"),
	HIT("select * from mine where k1 = 1", "mine(1)"),
	HIT("select * from app.mine where k1 = 1", "mine(1)"),
	HIT("select * from \"Odd-Name\" where k1 = 1", "Odd-Name(1)"),
	HIT("select * from parts where k1 = 1", "parts(1)"),
	HIT("select * from parts", "parts*"),
	WRITE("select * from split where k1 = 1", INHERITANCE),
	WRITE("select * from parent where k1 = 1", INHERITANCE),
	WRITE("select * from guarded where k1 = 1", ROW_SECURITY),
	READ("select * from unlogged where k1 = 1", RELATION_KIND),
	WRITE("select * from a_view", RELATION_KIND),
	READ("select * from a_matview", RELATION_KIND),
	WRITE("select * from a_foreign", RELATION_KIND),
	WRITE("select * from nowhere", RELATION_UNKNOWN),
	WRITE("select * from one.nowhere", RELATION_UNKNOWN),
	READ("select * from pg_class", RELATION_KIND),
	WRITE("select * from pg_new_view", RELATION_KIND),
	READ("select rel from with_regclass where k1 = 1", TYPE),
	HIT("select k1 from with_regclass where k1 = 1", "with_regclass(1)"),
	READ("select * from with_regclass where k1 = 1", TYPE),
	READ("select xmin, id from mk_user where id = 1", SHAPE),
	READ("select ctid from mk_user where id = 1", SHAPE),
	READ("select tableoid from mk_user where id = 1", SHAPE),
	READ("select mk_user from mk_user where id = 1", SHAPE),
	WRITE("select u.full_name from mk_user u where id = 1", SHAPE),
	WRITE("select (u).full_name from mk_user u where id = 1", FUNCTION),
	WRITE("select initcap(name) from mk_user where id = 1", FUNCTION),
	READ("select pg_catalog.initcap(name), age from mk_user where nothing = 1", SHAPE),
	HIT("select pg_catalog.initcap(name), age from mk_user where id = 1", "mk_user(1)"),
	WRITE("select point(1,1) <-> point(2,2), id from mk_user where id = 1", FUNCTION),
	WRITE("select id OPERATOR(public.+) 1 from mk_user where id = 1", FUNCTION),
};

TEST(reads, resolves_relations_columns_and_keys)
{
	ROWS(relations);
}

static const struct row expressions[] = {
	HIT("select id = null from mk_user where id = null", "mk_user*"),
	HIT("select 1 from mk_user where id in (null, 3)", "mk_user(3)"),
	HIT("select status from mk_user where id = 1", "mk_user(1)"),
	WRITE("select 1 from mk_user where id = 1 and status = 'active'", TYPE),
	WRITE("select status::text, 'x'::mine from mk_user where id = 1", TYPE),
	WRITE("select 'x'::mine from mk_user where id = 1", TYPE),
	READ("select distinct status from mk_user", TYPE),
	READ("select status, count(*) from mk_user group by status", TYPE),
	READ("select status, count(*) from mk_user group by 1", TYPE),
	READ("select lower(name) as status from mk_user group by status", TYPE),
	READ("select id from mk_user order by status", TYPE),
	READ("select id, status from mk_user order by 2", TYPE),
	READ("select status from mk_user union select status from mk_user", TYPE),
	HIT("select mood, count(*) from mk_user where mood in ('a', 'b') and id <> 3 group by mood order by mood",
	    "mk_user*"),
	HIT("select mood from mk_user where id = 1 and mood = 'happy'", "mk_user(1)"),
	HIT("select id from mk_user where id = 1 and mood = 'happy'::mood and mood = any ('{a}'::public.mood[])",
	    "mk_user(1)"),
	HIT("select id from mk_user where id = 1 and mood = cast('happy'::text as \"public\".\"mood\")",
	    "mk_user(1)"),
	WRITE("select id from mk_user where id = 1 and mood = 'happy'::other.mine", TYPE),
	READ("select timetz_eq(at_time, at_time) from mk_user", FUNCTION),
	READ("select aclitemeq('a', 'b') from mk_user", FUNCTION),
	HIT("select 1 from mk_user where id = 1 and version = 1 and name is not null and 1=1", "mk_user(1)"),
	HIT("select 1 from mk_user where 5 = id", "mk_user(5)"),
	HIT("select 1 from mk_user where not id = 5", "mk_user*"),
	HIT("select 1 from mk_user where id = 5 or version = 1", "mk_user*"),
	HIT("select 1 from mk_user where id = 5 and id = 6", "mk_user(5)"),
	HIT("select 1 from mk_user where id in (1,2,3) and id = 2", "mk_user(2)"),
	HIT("select 1 from mk_user where id <> 5", "mk_user*"),
	HIT("select 1 from mk_user where id >= 5", "mk_user*"),
	HIT("select 1 from mk_user where id = 2 + 3", "mk_user*"),
	HIT("select 1 from mk_user where id = version", "mk_user*"),
	HIT("select 1 from mk_user where id + 0 = 5", "mk_user*"),
	HIT("select 1 from mk_user where id not in (1)", "mk_user*"),
	HIT("select 1 from mk_user where id <> any('{1}')", "mk_user*"),
	HIT("select 1 from mk_user where id = all('{1}')", "mk_user*"),
	HIT("select 1 from mk_user where id = any(array[1, 2])", "mk_user(1) mk_user(2)"),
	HIT("select 1 from mk_user where id = any(array[$1, $2]::int[])", "mk_user(1) mk_user(2)",
	    {"1", "2"}),
	HIT("select 1 from mk_user where id = any('{{1,2},{3,4}}')", "mk_user*"),
	HIT("select 1 from mk_user where id = $1::int", "mk_user(1)", {"1"}),
	HIT("select 1 from mk_user where id = $1", "mk_user*", {"1"}, {1700}),
	HIT("select 1 from mk_user where id = $1", "mk_user*", {"1"}, {25}),
	HIT("select 1 from mk_user where id = $1", "mk_user(1)", {"1"}, {20}),
	HIT("select 1 from mk_user where id = $1", "mk_user(1)", {"1"}, {21}),
	HIT("select 1 from mk_user where id = $1", "mk_user(1)", {" 1 "}, {23}),
	HIT("select id from mk_user where \"createdAt\" > '2026-01-01'", "mk_user*"),
	READ("select id from mk_user where \"createdAt\" > 'now'", FUNCTION),
	READ("select id from mk_user where \"createdAt\" > 'Today'", FUNCTION),
	READ("select id from mk_user where born in ('2020-01-01', 'yesterday')", FUNCTION),
	READ("select id from mk_user where born between 'yesterday' and 'tomorrow'", FUNCTION),
	READ("select 'now'::timestamptz, id from mk_user", FUNCTION),
	READ("select name::timestamptz from mk_user where id = 1", FUNCTION),
	READ("select date(name) from mk_user where id = 1", FUNCTION),
	READ("select daterange(name) from mk_user where id = 1", FUNCTION),
	READ("select coalesce(born, 'today') from mk_user where id = 1", FUNCTION),
	READ("select 'mk_user'::regclass from mk_user where id = 1", TYPE),
	READ("select at_time at time zone 'UTC' from mk_user where id = 1", FUNCTION),
	HIT("select \"createdAt\" at time zone 'UTC' from mk_user where id = 1", "mk_user(1)"),
	HIT("select name from mk_user where name = 'now'", "mk_user*"),
	HIT("select \"createdAt\"::date, born::timestamptz, price::text from mk_user where id = 1",
	    "mk_user(1)"),
	HIT("select extract(year from \"createdAt\"), date_trunc('day', \"createdAt\") from mk_user where id = 1",
	    "mk_user(1)"),
	READ("select age(born) from mk_user where id = 1", FUNCTION),
	READ("select at_time::timetz from mk_user where id = 1", TYPE),
	HIT("select meta->'a'->>'b', meta #>> '{a}', name || ' ' || coalesce(email, ''), age * 2 + 1, case when age > 3 then 'a' "
	    "else 'b' end, nullif(name, ''), name like 'x%', tags[1], greatest(age, 3), upper(name), age is distinct from 3 "
	    "from mk_user where id = 1",
	    "mk_user(1)"),
	HIT("select max(age), min(name), sum(price), count(distinct email), string_agg(name, ',' order by id) from mk_user",
	    "mk_user*"),
	HIT("select author_id, count(*) from mk_post group by author_id having count(*) > 1 order by 2 desc",
	    "mk_post*"),
	HIT("select row_number() over (partition by author_id order by id) from mk_post", "mk_post*"),
	HIT("select row_number() over w from mk_post window w as (partition by author_id order by id)",
	    "mk_post*"),
	HIT("select count(*) from mk_user where id = 5", "mk_user(5)"),
	HIT("select (select count(*) from mk_post p where p.author_id = u.id) from mk_user u where u.id = 3",
	    "mk_user(3) mk_post*"),
	HIT("select * from mk_user where id in (select author_id from mk_post where id = 4)",
	    "mk_user* mk_post(4)"),
	HIT("select * from mk_user u where exists (select 1 from mk_post p where p.author_id = u.id and p.id = 9) and u.id = 2",
	    "mk_user(2) mk_post(9)"),
	HIT("select u.id, p.title from mk_user u join mk_post p on p.author_id = u.id and p.id = 4",
	    "mk_user* mk_post(4)"),
	HIT("select u.id from mk_user u left join mk_post p on p.author_id = u.id and u.id = 4",
	    "mk_user* mk_post*"),
	HIT("select u.id from mk_user u left join mk_post p on p.id = 4", "mk_user* mk_post(4)"),
	HIT("select u.id from mk_user u right join mk_post p on p.id = 4", "mk_user* mk_post*"),
	HIT("select u.id from mk_user u right join mk_post p on u.id = 4", "mk_user(4) mk_post*"),
	HIT("select u.id from mk_user u full join mk_post p on u.id = 4 and p.id = 4", "mk_user* mk_post*"),
	HIT("select u.id from mk_user u, mk_post p where u.id = 4 and p.id = 5", "mk_user(4) mk_post(5)"),
	HIT("select id from mk_user where id = 1 union all select id from mk_post where id = 2 order by id limit 3",
	    "mk_user(1) mk_post(2)"),
	HIT("select a.id, b.id from mk_user a, mk_user b where a.id = 1 and b.age = 3",
	    "mk_user(1) mk_user*"),
	HIT("with x as (select * from mk_user where id = 3) select * from x", "mk_user(3)"),
	HIT("with mk_post as (select id from mk_user where id = 3) select id from mk_post", "mk_user(3)"),
	HIT("select id from mk_user join mk_post using (id)", "mk_user* mk_post*"),
	HIT("select mk_user.id from mk_user join mk_post using (id) where id = 3", "mk_user(3) mk_post(3)"),
	READ("select id from mk_user natural join mk_post",
	     TYPE), /* one of their columns is of a user's type */
	HIT("select k1 from by_uuid natural join parts", "by_uuid* parts*"),
	READ("select k1 from by_uuid natural join (select 1) x", SHAPE), /* "?column?" */
	READ("select id from mk_user, mk_post", SHAPE),
	READ("select x.a from mk_user as x(a)", SHAPE),
	HIT("select * from (values (1),(2)) v(x), mk_user where x = 1 and id = 4", "mk_user(4)"),
	HIT("select column2 from (values (1, 'a'), ($1, 'b')) v join mk_user on id = column1", "mk_user*",
	    {"2"}),
	HIT("select * from (values ((select max(id) from mk_post))) v", "mk_post*"),
	READ("select * from (values (1, 2), (3)) v, mk_user", SHAPE),
	READ("select * from (values (1),(2)) v(x, y), mk_user", SHAPE),
	READ("select * from (values (1),(2)) v where nothing = (select 1 from mk_user)", SHAPE),
	READ("select id from mk_user union values ('now'::timestamptz)", FUNCTION),
	READ("select * from mk_user, generate_series(1,2)", SHAPE),
	READ("select row(id, name) from mk_user", SHAPE),
	READ("select id from mk_user order by id using <", SHAPE),
	READ("select to_tsvector('english', name) from mk_user where id = 1", FUNCTION),
	READ("select to_tsvector(name) @@ to_tsquery('a') from mk_user where id = 1", FUNCTION),
	READ("select currval_of from mk_user", SHAPE),
};

TEST(reads, judges_expressions_strictly)
{
	ROWS(expressions);
}

static const uint32_t none;

static enum reason keys_reason(const char *text, const uint32_t *oids, uint16_t noids,
			       const struct reads_param *params, uint16_t n)
{
	struct catalog *c = sample_catalog();
	struct reads *r = sample_reads(c, text, oids, noids);
	enum reason reason = reads_reason(r);
	uint64_t keys[16];
	uint32_t relids[4];
	unsigned nkeys, nrels;

	if (reason == REASON_NONE)
		reason = sample_keys(r, params, n, keys, 16, &nkeys, relids, 4, &nrels);
	reads_unref(r);
	catalog_unref(c);
	return reason;
}

TEST(reads, refuses_a_parameter_that_reads_the_clock)
{
	struct reads_param now = {.value = span_str("now")}, day = {.value = span_str("2026-01-01")};
	uint32_t date = 1082, text = 25, stamp = 1184;

	EXPECT_EQ(keys_reason("select id from mk_user where born = $1", &none, 0, &now, 1), REASON_PARAMETER);
	EXPECT_EQ(keys_reason("select id from mk_user where born = $1", &date, 1, &now, 1), REASON_PARAMETER);
	EXPECT_EQ(keys_reason("select id from mk_user where born = $1", &none, 0, &day, 1), REASON_NONE);
	EXPECT_EQ(keys_reason("select $1::timestamptz, id from mk_user", &none, 0, &now, 1),
		  REASON_PARAMETER);
	EXPECT_EQ(keys_reason("select $1::timestamptz, id from mk_user", &stamp, 1, &now, 1),
		  REASON_PARAMETER);
	EXPECT_EQ(keys_reason("select $1::timestamptz, id from mk_user", &text, 1, &now, 1), REASON_FUNCTION);
	EXPECT_EQ(keys_reason("select id from mk_user where name = $1", &none, 0, &now, 1), REASON_NONE);
	EXPECT_EQ(keys_reason("select id from mk_user where name = $1", &text, 1, &now, 1), REASON_NONE);
	EXPECT_EQ(keys_reason("select id from mk_user where name = $2", &none, 0, &now, 1), REASON_PARAMETER);
}

TEST(reads, refuses_every_spelling_of_the_clock)
{
	static const struct row rows[] = {
		READ("select id from mk_user where born < 'now'", FUNCTION),
		READ("select id from mk_user where born < E'\n\tToDay '", FUNCTION),
		READ("select id from mk_user where \"createdAt\" < 'TOMORROW10:00'", FUNCTION),
		READ("select id from mk_user where \"createdAt\" < '-yesterday'", FUNCTION),
		READ("select id from mk_user where \"createdAt\" < any('{2020-01-01, NOW}')", FUNCTION),
		READ("select id from mk_user where born = any('{n\\ow}')", FUNCTION),
		READ("select id from mk_user where born = any(' \n{n\\ow}'::date[])", FUNCTION),
		READ("select id from mk_user where born = any('[0:0]={\"n\\ow\"}'::date[])", FUNCTION),
		READ("select id from mk_user where '[-infinity,n\"o\"w]'::tstzrange @> \"createdAt\"",
		     FUNCTION),
		READ("select id from mk_user where '(n\"\"ow,)'::tstzrange @> \"createdAt\"", FUNCTION),
		READ("select id from mk_user where '{[n\\ow,)}'::tstzmultirange @> \"createdAt\"", FUNCTION),
		HIT("select id from mk_user where born = any('{2020-01-01,2020-01-02}')", "mk_user*"),
		HIT("select id from mk_user where '[2020-01-01,)'::tstzrange @> \"createdAt\"", "mk_user*"),
		HIT("select id from mk_user where tags = '{\"n\\ow\"}' and meta @> '{\"a\": \"n\\now\"}'",
		    "mk_user*"),
		HIT("select id from mk_user where name = any('{\"n\\ow\"}')", "mk_user*"),
		HIT("select coalesce(name, 'say \"hello\"') from mk_user where id = 1", "mk_user(1)"),
	};
	static const char *const spellings[] = {"{n\\ow}",     "{\"now\"}",	  " {t\\oday}",
						"[n\"o\"w,)",  "(,n\"\"ow)",	  "{[\\now,)}",
						"\xa0{n\\ow}", "{\"2020-01-01\"}"};
	uint32_t stamps = 1185, range = 3910, texts = 1009;

	ROWS(rows);
	for (size_t i = 0; i < sizeof(spellings) / sizeof(spellings[0]); i++) {
		struct reads_param value = {.value = span_str(spellings[i])};

		EXPECT_EQ(keys_reason("select id from mk_user where born = any($1)", &none, 0, &value, 1),
			  REASON_PARAMETER);
		EXPECT_EQ(keys_reason("select id from mk_user where \"createdAt\" = any($1)", &stamps, 1,
				      &value, 1),
			  REASON_PARAMETER);
		EXPECT_EQ(keys_reason("select id from mk_user where $1 @> \"createdAt\"", &range, 1, &value,
				      1),
			  REASON_PARAMETER);
		EXPECT_EQ(keys_reason("select id from mk_user where name = any($1)", &texts, 1, &value, 1),
			  REASON_NONE);
	}
}

TEST(reads, takes_a_parameter_of_a_users_type_for_code)
{
	static const struct row rows[] = {
		{"select id from mk_user where id = $1", REASON_TYPE, false, NULL, {"1"}, {90001}},
		{"select id from mk_user where id = 1", REASON_TYPE, false, NULL, {"1"}, {90001}},
		{"select id from mk_user where id = $2", REASON_TYPE, false, NULL, {"1", "2"}, {90001, 23}},
		{"select $1::text", REASON_NO_TABLE, false, NULL, {"1"}, {90001}},
		{"explain select * from mk_user", REASON_NOT_SELECT, false, NULL, {"1"}, {90001}},
		{"commit", REASON_NOT_SELECT, false, NULL, {"1"}, {90001}},
		{"select id from mk_user where mood = $1",
		 REASON_NONE,
		 true,
		 "mk_user*",
		 {"x"},
		 {90002}}, /* an enum */
		{"select id from mk_user where id = $1", REASON_NONE, true, "mk_user(1)", {"1"}, {23}},
	};

	ROWS(rows);
}

TEST(reads, takes_a_text_that_meets_a_users_type_for_code)
{
	static const struct row rows[] = {
		HIT("select status, id from mk_user where name = 'x'", "mk_user*"),
		READ("select status, id from mk_user where name = 'x' and \"createdAt\" < now()", FUNCTION),
		READ("select * from mk_user where name = $1 and \"createdAt\" < now()", FUNCTION),
		READ("select status is null, count(status) from mk_user where id = 1 and now() > born",
		     FUNCTION),
		READ("select mood = 'sad' and name = 'x' and now() > born from mk_user", FUNCTION),
		WRITE("select id from mk_user where status = '{x}'", TYPE),
		WRITE("select id from mk_user where status = $1", TYPE),
		{"select id from mk_user where status = $1", REASON_TYPE, true, NULL, {"x"}, {25}},
		WRITE("explain select id from mk_user where status = '{x}'", NOT_SELECT),
		WRITE("select coalesce(u.status, '{x}') from mk_user u", TYPE),
		WRITE("select lag(status, 1, null) over () from mk_user", TYPE),
		WRITE("select case when id = 1 then status else $1 end from mk_user", TYPE),
		WRITE("select status from mk_user union all select '{x}'", TYPE),
		WRITE("select coalesce(u, '(1)') from mk_user u", SHAPE),
		WRITE("select x = '{x}' from (select status as x from mk_user) s", TYPE),
		WRITE("select coalesce(s.status, '{x}') from (select * from mk_user) s", TYPE),
		WRITE("with s as (select * from mk_user) select 1 from s where now() > 'x'", FUNCTION),
		WRITE("select c = '{x}' from mk_user as u(a, b, c) where now() > born", FUNCTION),
		WRITE("select array(select status from mk_user) = '{x}'", TYPE),
		WRITE("select array_agg(status) || '{x}' from mk_user", TYPE),
	};

	ROWS(rows);
}

TEST(reads, takes_input_functions_for_code)
{
	static const struct row rows[] = {
		WRITE("select array_in('{x}', 90001, -1)", FUNCTION),
		WRITE("select id from mk_user where id = 1 and array_in('{x}', 90001, -1) is null", FUNCTION),
		WRITE("select domain_in('x', 90001, -1)", FUNCTION),
		WRITE("select pg_catalog.record_in('(x)', 90001, -1)", FUNCTION),
		WRITE("select range_in('[x,y]', 90001, -1), multirange_in('{}', 90001, -1)", FUNCTION),
		WRITE("select jsonb_populate_record(mk_user, '{}') from mk_user", FUNCTION),
		WRITE("select (json_populate_record(mk_user, '{}')).status from mk_user", FUNCTION),
		WRITE("select j.* from mk_user u, jsonb_populate_recordset(u, '[]') j", FUNCTION),
		WRITE("select j.* from mk_user u, rows from (json_populate_recordset(u, '[]')) j", FUNCTION),
		WRITE("select * from json_to_record('{}') as x(a mine)", SHAPE),
		WRITE("select * from rows from (json_to_record('{}') as (a mine)) x", SHAPE),
		READ("select * from json_to_record('{}') as x(a int)", SHAPE),
		READ("select enum_in('x', 90002)", FUNCTION),
	};

	ROWS(rows);
}

TEST(reads, gives_one_key_to_all_forms_of_one_value)
{
	static const uint8_t be2[] = {0, 7}, be4[] = {0, 0, 0, 7}, be8[] = {0, 0, 0, 0, 0, 0, 0, 7};
	struct catalog *c = sample_catalog();
	struct {
		uint32_t oid;
		struct reads_param param;
	} forms[] = {
		{0, {.value = span_str("7")}},
		{23, {.value = span_str("7")}},
		{23, {.value = span_str("+7")}},
		{20, {.value = span_str("007")}},
		{21, {.binary = true, .value = span_of(be2, 2)}},
		{23, {.binary = true, .value = span_of(be4, 4)}},
		{20, {.binary = true, .value = span_of(be8, 8)}},
		{0, {.binary = true, .value = span_of(be4, 4)}},
		{0, {.binary = true, .value = span_of(be8, 8)}},
	};

	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		struct reads *r = sample_reads(c, "select * from mk_user where id = $1", &forms[i].oid, 1);

		EXPECT_EQ(reads_reason(r), REASON_NONE);
		EXPECT(sample_depends(c, r, &forms[i].param, 1, "mk_user(7)"));
		EXPECT(!sample_depends(c, r, &forms[i].param, 1, "mk_user(8)"));
		EXPECT(!sample_depends(c, r, &forms[i].param, 1, "mk_post(7)"));
		reads_unref(r);
	}
	catalog_unref(c);
}

TEST(reads, depends_on_no_row_for_null)
{
	struct catalog *c = sample_catalog();
	struct reads *r = sample_reads(c, "select * from mk_user where id = $1", &none, 0);
	struct reads_param null = {.null = true};

	EXPECT(sample_depends(c, r, &null, 1, "mk_user()"));
	reads_unref(r);
	r = sample_reads(c, "select * from by_pair where k1 = 1 and k2 = $1", &none, 0);
	EXPECT(sample_depends(c, r, &null, 1, "by_pair()"));
	reads_unref(r);
	catalog_unref(c);
}

TEST(reads, falls_back_to_the_relation_when_keys_are_too_many)
{
	struct catalog *c = sample_catalog();
	struct reads *r = sample_reads(c, "select * from mk_user where id in (1,2,3,4,5)", &none, 0);
	uint64_t keys[4];
	uint32_t relids[1];
	unsigned nkeys = 0, nrels = 0;

	EXPECT_EQ(sample_keys(r, NULL, 0, keys, 4, &nkeys, relids, 1, &nrels), REASON_NONE);
	EXPECT_EQ(nkeys, 1);
	EXPECT_EQ(nrels, 1);
	EXPECT(keys[0] == readkey_any(relids[0]));
	reads_unref(r);
	r = sample_reads(c, "select 1 from mk_user, mk_post", &none, 0);
	EXPECT_EQ(sample_keys(r, NULL, 0, keys, 4, &nkeys, relids, 1, &nrels), REASON_TOO_LARGE);
	reads_unref(r);
	catalog_unref(c);
}

TEST(reads, follows_the_search_path)
{
	static const struct {
		const char *text;
		const char *path;
		enum reason reason;
		bool harmless;
	} rows[] = {
		{"select * from twice where k1 = 1", "one", REASON_NONE, true},
		{"select * from twice where k1 = 1", "two", REASON_NONE, true},
		{"select * from twice where k1 = 1", "one, two", REASON_RELATION_AMBIGUOUS, true},
		{"select * from twice where k1 = 1", "public, nowhere, two", REASON_NONE, true},
		{"select * from twice where k1 = 1", "ONE", REASON_NONE, true},
		{"select * from twice where k1 = 1", "\"ONE\"", REASON_RELATION_UNKNOWN, false},
		{"select * from one.twice where k1 = 1", "", REASON_NONE, true},
		{"select * from twice where k1 = 1", "\"\"", REASON_RELATION_UNKNOWN, false},
		{"select * from mine where k1 = 1", "\"$user\"", REASON_NONE, true},
		{"select * from mine where k1 = 1", "$user", REASON_NONE, true},
		{"select * from mine where k1 = 1", "public", REASON_RELATION_UNKNOWN, false},
		{"select * from twice where k1 = 1", "one, pg_catalog", REASON_RELATION_AMBIGUOUS, false},
		{"select * from twice where k1 = 1", "one, pg_temp", REASON_RELATION_AMBIGUOUS, false},
		{"select * from one.twice where k1 = 1", "one, pg_catalog", REASON_RELATION_AMBIGUOUS, false},
		{"select * from twice where k1 = 1", "one,", REASON_RELATION_AMBIGUOUS, false},
		{"select * from twice where k1 = 1", "one two", REASON_RELATION_AMBIGUOUS, false},
		{"select * from twice where k1 = 1", "\"one", REASON_RELATION_AMBIGUOUS, false},
		{"select * from pg_class where k1 = 1", "public", REASON_RELATION_KIND, true},
		{"select * from public.pg_class where k1 = 1", "public", REASON_NONE, true},
	};
	struct catalog *c = sample_catalog();

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct reads *r = sample_reads_path(c, rows[i].text, rows[i].path);

		if (reads_reason(r) != rows[i].reason || reads_harmless(r) != rows[i].harmless)
			printf("  %s under %s: %s, harmless %d\n", rows[i].text, rows[i].path,
			       reason_name(reads_reason(r)), reads_harmless(r));
		EXPECT_STR(reason_name(reads_reason(r)), reason_name(rows[i].reason));
		EXPECT_EQ(reads_harmless(r), rows[i].harmless);
		reads_unref(r);
	}
	catalog_unref(c);
}

TEST(reads, uses_only_exact_operators_beside_those_of_users)
{
	static const struct row rows[] = {
		HIT("select * from mk_user where id = 1", "mk_user(1)"),
		HIT("select * from mk_user where id in (1, 2)", "mk_user(1) mk_user(2)"),
		HIT("select * from mk_user where id = $1 and title = 'x'", "mk_user(1)", {"1"}),
		WRITE("select * from mk_user where email = 'x'", FUNCTION),
		WRITE("select * from mk_user where price = age", FUNCTION),
		WRITE("select case age when 1.5 then 2 end from mk_user", FUNCTION),
	};
	struct catalog *c = sample_catalog();
	struct catalog *own = catalog_new();
	const struct catalog_relation *rel;

	EXPECT_EQ(catalog_count_name(c, span_str("mk_user"), &rel), 1);
	REQUIRE(catalog_add_relation(own, rel) == 0 &&
		catalog_add_user_operator(own, "=", CATALOG_USERS_CODE) == 0);
	catalog_freeze(own);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		check_row(own, &rows[i]);
	catalog_unref(own);
	catalog_unref(c);
}

TEST(reads, proves_nothing_about_tables_without_a_catalog)
{
	struct reads_session session = {.search_path = span_str("public"), .role = span_str("app")};
	struct facts *select = facts_of_text(span_str("select * from mk_user where id = 1"));
	struct facts *begin = facts_of_text(span_str("begin"));
	struct reads *r = reads_resolve(select, NULL, &session, NULL, 0);

	EXPECT_EQ(reads_reason(r), REASON_OFF);
	EXPECT(!reads_harmless(r));
	reads_unref(r);
	r = reads_resolve(begin, NULL, &session, NULL, 0);
	EXPECT(reads_harmless(r));
	reads_unref(r);
	facts_unref(select);
	facts_unref(begin);
}

TEST(readkey, tells_relations_columns_and_values_apart)
{
	static const int16_t one[] = {1}, two[] = {1, 2}, other[] = {2};
	struct span ab[] = {span_str("ab"), span_str("c")}, bc[] = {span_str("a"), span_str("bc")};

	EXPECT(readkey_any(1) != readkey_whole(1));
	EXPECT(readkey_any(1) != readkey_any(2));
	EXPECT(readkey_row(1, 1, one, ab) != readkey_row(2, 1, one, ab));
	EXPECT(readkey_row(1, 1, one, ab) != readkey_row(1, 1, other, ab));
	EXPECT(readkey_row(1, 2, two, ab) != readkey_row(1, 2, two, bc));
	EXPECT(readkey_row(1, 2, two, ab) == readkey_row(1, 2, two, ab));
	EXPECT(readkey_row(1, 1, one, ab) != readkey_row(1, 2, two, ab));
}

TEST(verdict, names_every_reason)
{
	for (int r = 0; r < NREASONS; r++) {
		EXPECT(strlen(reason_name((enum reason)r)) > 1);
		EXPECT(strlen(reason_text((enum reason)r)) > 5);
	}
	EXPECT_STR(reason_name(REASON_NONE), "NONE");
	EXPECT_STR(reason_name((enum reason)9999), "?");
}
