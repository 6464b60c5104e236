/* What conditions fix, and whose rows an answer shows. */
#include "tests/support/test.h"
#include "tests/unit/sql/sample.h"

#include <stdio.h>

struct row {
	const char *text, *keys;
};

static void check_rows(const struct row *rows, size_t n)
{
	struct catalog *c = sample_catalog();

	for (size_t i = 0; i < n; i++) {
		struct reads *r = sample_reads(c, rows[i].text, NULL, 0);
		bool ok = sample_depends_precisely(c, r, rows[i].keys);

		if (!ok)
			fprintf(stderr, "  %s\n  does not depend on just %s (%s)\n", rows[i].text,
				rows[i].keys, reason_name(reads_reason(r)));
		EXPECT(ok);
		reads_unref(r);
	}
	catalog_unref(c);
}

#define CHECK(rows) check_rows(rows, sizeof(rows) / sizeof((rows)[0]))

TEST(predicates, equality_fixes_columns)
{
	static const struct row rows[] = {
		{"select title from mk_post where author_id = 4", "mk_post[8=4]"},
		{"select title from mk_post where 4 = author_id", "mk_post[8=4]"},
		{"select title from mk_post where author_id = 4 and age > 3", "mk_post[8=4]"},
		{"select title from mk_post where author_id = 4 and name = 'x'", "mk_post[3=x&8=4]"},
		{"select title from mk_post where author_id in (4, 5)", "mk_post[8=4] mk_post[8=5]"},
		{"select title from mk_post where author_id = any('{4,5}')", "mk_post[8=4] mk_post[8=5]"},
		{"select title from mk_post where author_id = 4 or author_id = 5", "mk_post*"},
		{"select title from mk_post where not (author_id = 4)", "mk_post*"},
		{"select title from mk_post where author_id > 4", "mk_post*"},
		{"select title from mk_post where price = 4", "mk_post*"},
		{"select title from mk_post where price = 4 and author_id = 5", "mk_post[8=5]"},
		{"select title from mk_post where author_id = 1.5", "mk_post*"},
		{"select title from mk_post where author_id = 4 and id = 7", "mk_post(7)"},
		{"select title from mk_post where id = 7 or id = 8 and author_id = 4",
		 "mk_post(7) mk_post(8)"},
		{"select v from by_ci where k1 = 'a'", "by_ci*"},
		{"select title from mk_post where author_id = 1 and age = 2 and version = 3 and lock_version = 4 and name in ('a', 'b')",
		 "mk_post[4=2&5=3&8=1&12=4]"},
	};

	CHECK(rows);
}

TEST(predicates, rows_that_are_shown_are_told_by_key)
{
	static const struct row rows[] = {
		{"select * from mk_post where author_id = 4", "mk_post[8=4]+"},
		{"select p.* from mk_post p where author_id = 4 order by title", "mk_post[8=4]+"},
		{"select title, id as x from mk_post where author_id = 4 limit 10", "mk_post[8=4]+"},
		{"select title, id + 0 as id from mk_post where author_id = 4", "mk_post[8=4]"},
		{"select title, age as id from mk_post where author_id = 4", "mk_post[8=4]"},
		{"select id from mk_post where author_id = 4 offset 1", "mk_post[8=4]"},
		{"select distinct id from mk_post where author_id = 4", "mk_post[8=4]"},
		{"select id from mk_post where author_id = 4 group by id", "mk_post[8=4]"},
		{"select count(*) from mk_post where author_id = 4", "mk_post[8=4]"},
		{"select id, rank() over (order by id) from mk_post where author_id = 4", "mk_post[8=4]"},
		{"select id from mk_post where author_id = 4 union all select id from mk_post where author_id = 4",
		 "mk_post[8=4]"},
		{"select * from (select * from mk_post where author_id = 4) x", "mk_post[8=4]"},
		{"with x as (select * from mk_post where author_id = 4) select * from x", "mk_post[8=4]"},
		{"select id from mk_user where age = 3 and exists (select 1 from mk_post where author_id = 4)",
		 "mk_user[4=3]+ mk_post[8=4]"},
	};

	CHECK(rows);
}

TEST(predicates, joins_carry_values)
{
	static const struct row rows[] = {
		{"select u.*, p.* from mk_user u left join mk_post p on p.author_id = u.id where u.id = 6",
		 "mk_user(6) mk_post[8=6]+"},
		{"select u.*, p.* from mk_user u join mk_post p on u.id = p.author_id where u.id in (6, 7)",
		 "mk_user(6) mk_user(7) mk_post[8=6]+ mk_post[8=7]~"},
		{"select u.*, p.* from mk_user u, mk_post p where u.id = p.author_id and u.id = 6",
		 "mk_user(6) mk_post[8=6]+"},
		{"select p.id, u.name from mk_post p join mk_user u on u.id = p.author_id where p.author_id = 4",
		 "mk_post[8=4]+ mk_user(4)"},
		{"select p.id, u.id from mk_post p left join mk_user u on u.id = p.author_id where p.author_id = 4",
		 "mk_post[8=4]+ mk_user(4)"},
		{"select u.id, p.id, c.id from mk_user u join mk_post p on p.author_id = u.id join ty_user c on c.author_id = p.author_id where u.id = 6",
		 "mk_user(6) mk_post[8=6]+ ty_user[8=6]+"},
		{"select u.id, p.id from mk_user u left join mk_post p on p.author_id = u.id and u.id = 6",
		 "mk_user* mk_post[8=6]+"},
		{"select u.id, p.id from mk_user u right join mk_post p on p.author_id = u.id where u.id = 6",
		 "mk_user(6) mk_post*"},
		{"select u.id, p.id from mk_user u full join mk_post p on p.author_id = u.id where u.id = 6",
		 "mk_user(6) mk_post*"},
		{"select u.id, p.id from mk_user u left join mk_post p on p.author_id = u.id left join ty_user u2 on u2.id = 6 where u.age = 1",
		 "mk_user[4=1]+ mk_post* ty_user(6)"},
		/* The type of the other column is of another family. */
		{"select u.id, p.id from mk_user u join mk_post p on p.title = u.name where u.name = 'x'",
		 "mk_user[3=x]+ mk_post[9=x]+"},
		{"select u.id, b.id from mk_user u join mk_post b on b.price = u.id where u.id = 6",
		 "mk_user(6) mk_post*"},
	};

	CHECK(rows);
}

TEST(predicates, what_an_outer_join_may_bring_back_is_not_shown)
{
	static const struct row rows[] = {
		{"select u.id, p.id from mk_user u left join mk_post p on p.author_id = u.id where u.id = 6 and p.id is null",
		 "mk_user(6) mk_post[8=6]"},
		{"select u.id, p.id from mk_user u left join mk_post p on p.author_id = u.id where u.id = 6 limit 3",
		 "mk_user(6) mk_post[8=6]"},
		{"select u.id, p.id from mk_user u left join mk_post p on p.author_id = u.id where u.id = 6 order by p.id",
		 "mk_user(6) mk_post[8=6]+"},
		{"select u.id, p.id, unnest(coalesce(p.tags, u.tags)) from mk_user u left join mk_post p on p.author_id = u.id where u.id = 6",
		 "mk_user(6) mk_post[8=6]"},
		{"select u.id, p.id from mk_user u left join mk_post p on p.author_id = u.id join ty_user t on t.age = p.age where u.id = 6",
		 "mk_user(6) mk_post[8=6] ty_user*"},
		{"select u.id, p.id from mk_user u left join mk_post p on p.author_id = u.id, lateral (select 1 from ty_user where id = 1 and p.id is null) x where u.id = 6",
		 "mk_user(6) mk_post[8=6] ty_user(1)"},
		{"select u.id, p.id from mk_user u left join mk_post p on p.author_id = u.id where u.id = 6 and not exists (select 1 from ty_user t where t.id = 1 and t.age = p.age)",
		 "mk_user(6) mk_post[8=6] ty_user(1)"},
		{"select u.id, p.id, t.id from mk_user u left join (mk_post p join ty_user t on t.id = p.age) on p.author_id = u.id where u.id = 6",
		 "mk_user(6) mk_post[8=6]+ ty_user*"},
		{"select u.id, p.id, author_id from mk_user u left join mk_post p using (author_id) where author_id = 6",
		 "mk_user[8=6] mk_post[8=6]"},
	};

	CHECK(rows);
}

TEST(predicates, sub_selects_take_values_from_around_them)
{
	static const struct row rows[] = {
		{"select id from mk_user u where u.id = 6 and exists (select 1 from mk_post p where p.author_id = u.id)",
		 "mk_user(6) mk_post[8=6]"},
		{"select u.id, (select count(*) from mk_post p where p.author_id = u.id and p.age = 3) from mk_user u where u.id in (6, 7)",
		 "mk_user(6) mk_user(7) mk_post[4=3&8=6] mk_post[4=3&8=7]"},
		{"select u.id, x.data from mk_user u left join lateral (select coalesce(json_agg(p.title), '[]') as data from mk_post p "
		 "where p.author_id = u.id) x on true where u.id = 6 limit 1",
		 "mk_user(6) mk_post[8=6]"},
		/* Prisma's way: several selects deep. */
		{"select u.id, x.d from mk_user u left join lateral (select coalesce(jsonb_agg(d), '[]') as d from (select a.d from (select "
		 "jsonb_build_object('id', t.id) as d from (select p.* from mk_post p where u.id = p.author_id) as t) as a) as b) as x on true "
		 "where u.id = 6",
		 "mk_user(6) mk_post[8=6]"},
		{"select u.id from mk_user u where u.id = 6 and u.id in (select p.author_id from mk_post p, ty_user t where t.id = p.age and p.version = u.id)",
		 "mk_user(6) mk_post[5=6] ty_user*"},
		{"select u.id from mk_user u where u.id = 6 and exists (select 1 from mk_post p left join ty_user t on t.author_id = u.id)",
		 "mk_user(6) mk_post* ty_user[8=6]"},
		{"select u.id from mk_user u where u.id = 6 and exists (select 1 from mk_post p left join ty_user t on p.author_id = u.id)",
		 "mk_user(6) mk_post* ty_user*"},
		/* Nothing is known of u here: its rows stay, whatever the join says. */
		{"select u.id from mk_user u left join ty_user t on u.id = 6 and exists (select 1 from mk_post p where p.author_id = u.id)",
		 "mk_user* ty_user* mk_post*"},
		{"select u.id from mk_user u where u.id = 6 or exists (select 1 from mk_post p where p.author_id = u.id)",
		 "mk_user* mk_post*"},
		{"select u.id from mk_user u where u.id = 6 and exists (select 1 from mk_post p where p.author_id = u.id or p.age = 3)",
		 "mk_user(6) mk_post*"},
		{"select u.id from mk_user u where u.price = 6 and exists (select 1 from mk_post p where p.author_id = u.price)",
		 "mk_user* mk_post*"},
	};

	CHECK(rows);
}

TEST(predicates, sub_selects_give_values_to_what_is_around_them)
{
	static const struct row rows[] = {
		/* Sequelize's way: the page first, then what belongs to it. */
		{"select u.*, p.id from (select id, name from mk_user where id = 6 limit 1) u left join mk_post p on p.author_id = u.id",
		 "mk_user(6) mk_post[8=6]+"},
		{"with u as (select id as x from mk_user where author_id = 6) select p.id from mk_post p join u on p.author_id = u.x",
		 "mk_user[8=6] mk_post*"},
		{"with u as (select author_id as x from mk_user where author_id = 6) select p.id from mk_post p join u on p.author_id = u.x",
		 "mk_user[8=6] mk_post[8=6]+"},
		{"with u as (select author_id from mk_user where author_id = 6) select p.id from mk_post p join u as v(y) on p.author_id = y",
		 "mk_user[8=6] mk_post[8=6]+"},
		{"select p.id from mk_post p join (select max(author_id) as m, age from mk_user where author_id = 6 and age = 3 group by age) u "
		 "on p.author_id = u.m and p.age = u.age",
		 "mk_user[4=3&8=6] mk_post[4=3]+"},
		/* A set operation's column is no table's. */
		{"select p.id from mk_post p join (select id from mk_user where id = 6 union select 7) u on p.author_id = u.id",
		 "mk_user(6) mk_post*"},
		{"select p.id from mk_post p join (select u.id from ty_user t left join mk_user u on u.id = 6 and t.id = 1) u on p.author_id = u.id",
		 "ty_user* mk_user(6) mk_post[8=6]+"},
		{"select p.id from mk_post p join (select t.id from ty_user t left join mk_user u on u.id = 6 and t.id = 1) u on p.author_id = u.id",
		 "ty_user* mk_user(6) mk_post*"},
	};

	CHECK(rows);
}

TEST(predicates, merged_columns_are_equal)
{
	static const struct row rows[] = {
		{"select u.id, p.title from mk_user u join mk_post p using (author_id) where u.author_id = 6",
		 "mk_user[8=6] mk_post[8=6]"},
		{"select mk_post.title from mk_post join mk_user using (id) where id = 6",
		 "mk_post(6) mk_user(6)"},
		{"select mk_post.title from mk_post left join mk_user using (id) where id = 6",
		 "mk_post(6) mk_user(6)"},
		{"select mk_post.title from mk_post right join mk_user using (id) where id = 6",
		 "mk_post(6) mk_user(6)"},
		{"select mk_post.title from mk_post full join mk_user using (id) where id = 6",
		 "mk_post* mk_user*"},
		{"select a.title from mk_post a join mk_user using (id) join ty_user using (id) where a.id = 6",
		 "mk_post(6) mk_user(6) ty_user(6)"},
		{"select a.title from mk_post a full join mk_user b using (id) join ty_user c using (id) where c.id = 6",
		 "mk_post* mk_user* ty_user(6)"},
		{"select k1 from by_big natural join parts where k1 = 6", "by_big(6) parts(6)"},
		{"select x.id from (select * from mk_post join mk_user using (id, email, name, age, version, title, author_id, lock_version) "
		 "where mk_post.id = 4) x where x.id = 4",
		 "mk_post(4) mk_user(4)"},
		{"select u.id from mk_user u where exists (select 1 from mk_post p join ty_user t using (id) where id = u.id) and u.id = 3",
		 "mk_user(3) mk_post(3) ty_user(3)"},
	};

	CHECK(rows);
}
