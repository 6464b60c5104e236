/* Whose rows an answer shows, and which statements ask for rows by key. */
#include "proxy/sql/entities.h"
#include "tests/support/test.h"
#include "tests/unit/sql/sample.h"

#include <stdio.h>
#include <stdlib.h>

/* "mk_post 0=1 1=9" = column 0 of the answer is column 1 of a row of mk_post, ..; a ? behind the name: the key is not shown. Several are
 * parted by ';'. '.' in front: a point statement. '' = nothing. */
static void print(char *out, size_t size, const struct catalog *c, const struct entities *found)
{
	size_t n = 0;

	out[0] = '\0';
	for (unsigned i = 0; found != NULL && i < found->n; i++) {
		const struct entity *entity = &found->list[i];

		n += (size_t)snprintf(out + n, size - n, "%s%s%s%s", i > 0 ? "; " : "",
				      found->point ? "." : "", catalog_find_oid(c, entity->relid)->name,
				      entity->keyed ? "" : "?");
		for (unsigned k = 0; k < entity->ncols; k++)
			n += (size_t)snprintf(out + n, size - n, " %u=%d", entity->cols[k].at,
					      entity->cols[k].attnum);
	}
}

struct row {
	const char *text, *expected;
};

static void check_rows(const struct row *rows, size_t n)
{
	struct catalog *c = sample_catalog();
	char got[1024];

	for (size_t i = 0; i < n; i++) {
		struct reads *r = sample_reads(c, rows[i].text, NULL, 0);

		print(got, sizeof(got), c, reads_entities(r));
		if (strcmp(got, rows[i].expected) != 0)
			fprintf(stderr, "  %s (%s)\n", rows[i].text, reason_name(reads_reason(r)));
		EXPECT_STR(got, rows[i].expected);
		reads_unref(r);
	}
	catalog_unref(c);
}

#define CHECK(rows) check_rows(rows, sizeof(rows) / sizeof((rows)[0]))

TEST(entities, rows_are_shown_by_plain_columns_with_the_key)
{
	static const struct row rows[] = {
		{"select id, title from mk_post where author_id = 4", "mk_post 0=1 1=9"},
		{"select title, id, title from mk_post", "mk_post 0=9 1=1 2=9"},
		{"select title from mk_post", ""},
		{"select id, upper(title), title as x from mk_post", "mk_post 0=1 2=9"},
		{"select id::text, title from mk_post", ""},
		{"select p.id, u.id, u.email from mk_post p left join mk_user u on u.id = p.author_id",
		 "mk_post 0=1; mk_user 1=1 2=2"},
		{"select a.id, b.id, b.title from mk_post a, mk_post b", "mk_post 0=1; mk_post 1=1 2=9"},
		{"select k1, v from by_pair", ""},
		{"select v, k2, k1 from by_pair", "by_pair 0=3 1=2 2=1"},
		{"select * from by_ci", ""},
		{"select * from no_key", ""},
		{"select * from parts", "parts 0=1 1=2"},
		{"select distinct id, title from mk_post", "mk_post 0=1 1=9"},
		{"select id, title from mk_post order by title limit 3 offset 5", "mk_post 0=1 1=9"},
		{"select id, row_number() over (order by title) from mk_post", "mk_post 0=1"},
	};

	CHECK(rows);
}

TEST(entities, what_was_computed_or_mixed_is_no_row)
{
	static const struct row rows[] = {
		{"select id, title from mk_post group by id, title", ""},
		{"select id, title from mk_post group by rollup (id, title)", ""},
		{"select max(id), max(title) from mk_post", ""},
		{"select id, title from mk_post union select id, name from mk_user", ""},
		{"select id, title from (select id, title from mk_post) p", ""},
		{"select id, title from (select id, title from mk_post union all select id, name from mk_user) p",
		 ""},
		{"with p as (select id, title from mk_post) select * from p", ""},
		{"select id, a.title from mk_post a join mk_post b using (id)", ""},
	};

	CHECK(rows);
}

TEST(entities, points_ask_for_nothing_but_rows_by_key)
{
	static const struct row rows[] = {
		{"select * from by_big where k1 = 5", ".by_big 0=1 1=2"},
		{"select title from mk_post where id = 7", ".mk_post? 0=9"},
		{"select title, id from mk_post p where 7 = p.id limit 1", ".mk_post 0=9 1=1"},
		{"select title as t from mk_post where id in (1, 2, null)", ".mk_post? 0=9"},
		{"select title from mk_post where id = any ('{1,2}')", ".mk_post? 0=9"},
		{"select title from mk_post where id = $1 limit $2", ".mk_post? 0=9"},
		{"select title from mk_post where id = 7 order by title, author_id desc", ".mk_post? 0=9"},
		{"select v from by_pair where k1 = 1 and k2 = 'x'", ".by_pair? 0=3"},
		{"select v from by_pair where (k2 in ('x', 'y')) and k1 in (1, 2)", ".by_pair? 0=3"},
		{"select * from parts where k1 = 1", ".parts 0=1 1=2"},

		{"select v from by_pair where k1 = 1", ""},
		{"select v from by_pair where k1 = 1 and k1 = 2", ""},
		{"select v from by_pair where k1 = 1 and k2 = 'x' and v = 'y'", ""},
		{"select v from by_pair where k1 = 1 and k2 = 'x' and k2 <> 'y'", ""},
		{"select title from mk_post where id = 7 or id = 8", ""},
		{"select title from mk_post where id = 7 and (id = 8 or id = 7)", ""},
		{"select title from mk_post where id = author_id", ""},
		{"select title from mk_post where id = 7 and author_id = id", ""},
		{"select title from mk_post where id not in (7)", ""},
		{"select title from mk_post where id <> all ('{7}')", ""},
		{"select title from mk_post where id > 7", ""},
		{"select upper(title) from mk_post where id = 7", ""},
		{"select distinct title from mk_post where id = 7", ""},
		{"select title from mk_post where id = 7 offset 1", ""},
		{"select title from mk_post where id = 7 limit 1 + 1", ""},
		{"select title from mk_post where id = 7 order by title fetch first 1 rows with ties", ""},
		{"select title from mk_post where id = 7 order by upper(title)", ""},
		{"select p.title from mk_post p, mk_user u where p.id = 7", ""},
		{"select v from by_ci where k1 = 'a'", ""},
		{"with x as (select 1) select title from mk_post where id = 7", ""},
	};

	CHECK(rows);
}

/* Two columns at one value: what was carried over fixes more than was said. */
TEST(entities, carried_values_make_no_point)
{
	struct catalog *c = sample_catalog();
	struct reads *r = sample_reads(c, "select * from by_pair where k1 in (1, 2) and k1 = k1", NULL, 0);

	EXPECT(reads_entities(r) == NULL || !reads_entities(r)->point);
	reads_unref(r);
	catalog_unref(c);
}

/* The keys as "1,x 2,y"; "?" = not certain; a '-' behind them: LIMIT may cut. */
static void print_points(char *out, size_t size, const struct reads *r, const struct reads_param *params,
			 uint16_t n)
{
	struct entity_points *points = calloc(1, sizeof(*points));
	size_t used = 0;

	buf_init(&points->bytes, 1u << 16);
	snprintf(out, size, "?");
	if (reads_points(r, params, n, points)) {
		out[0] = '\0';
		for (unsigned i = 0; i < points->n; i++) {
			struct span rest = span_of(points->bytes.p + points->list[i].at, points->list[i].n);

			for (unsigned k = 0; rest.n > 0; k++) {
				uint32_t length;

				memcpy(&length, rest.p, sizeof(length));
				used += (size_t)snprintf(out + used, size - used, "%s%.*s",
							 k > 0	 ? ","
							 : i > 0 ? " "
								 : "",
							 (int)length, (const char *)rest.p + sizeof(length));
				rest = span_skip(rest, sizeof(length) + length);
			}
		}
		if (!points->all)
			snprintf(out + used, size - used, "-");
	}
	buf_free(&points->bytes);
	free(points);
}

struct point_row {
	const char *text, *expected, *params[3];
};

TEST(entities, points_of_an_execution)
{
	static const struct point_row rows[] = {
		{"select title from mk_post where id = 7", "7", {NULL}},
		{"select title from mk_post where id in (10, 9, 10, -3, -20)", "-20 -3 9 10", {NULL}},
		{"select title from mk_post where id = $1", "12", {"12"}},
		{"select title from mk_post where id = $1", "?", {"x"}},
		{"select title from mk_post where id = any ($1)", "1 2 30", {"{30,1,NULL,2,1}"}},
		/* Under transform_null_equals it is IS NULL. */
		{"select title from mk_post where id = null", "?", {NULL}},
		{"select title from mk_post where id = null::int", "", {NULL}},
		{"select v from by_pair where k1 in (2, 1) and k2 in ('y', 'x')", "1,x 1,y 2,x 2,y", {NULL}},
		{"select v from by_pair where k2 = $2 and k1 = $1", "5,a", {"5", "a"}},
		{"select v from by_text where k1 = $1", "?", {"\303\244"}},
		{"select title from mk_post where id in (1, 2) limit 1", "1 2-", {NULL}},
		{"select title from mk_post where id in (1, 2) limit 2", "1 2", {NULL}},
		{"select title from mk_post where id = $1 limit $2", "1", {"1", "7"}},
		{"select title from mk_post where id = $1 limit $2", "1-", {"1", "0"}},
		{"select title from mk_post where id = $1 limit $2", "?", {"1", "-1"}},
		{"select title from mk_post where id = $1 limit $2", "?", {"1", "99999999999"}},
		{"select title from mk_post where author_id = 1", "?", {NULL}},
	};
	struct catalog *c = sample_catalog();
	char got[256];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct reads *r = sample_reads(c, rows[i].text, NULL, 0);
		struct reads_param params[3];
		uint16_t n = 0;

		for (; n < 3 && rows[i].params[n] != NULL; n++)
			params[n] = (struct reads_param){.value = span_str(rows[i].params[n])};
		print_points(got, sizeof(got), r, params, n);
		if (strcmp(got, rows[i].expected) != 0)
			fprintf(stderr, "  %s\n", rows[i].text);
		EXPECT_STR(got, rows[i].expected);
		reads_unref(r);
	}
	catalog_unref(c);
}

TEST(entities, more_keys_than_fit_are_no_points)
{
	struct catalog *c = sample_catalog();
	struct reads *r = sample_reads(c, "select title from mk_post where id = any ($1)", NULL, 0);
	char list[4096] = "{0", got[8192];
	struct reads_param param;

	for (unsigned i = 1; i < ENTITY_POINTS_MAX; i++)
		snprintf(list + strlen(list), sizeof(list) - strlen(list), ",%u", i);
	strcat(list, "}");
	param = (struct reads_param){.value = span_str(list)};
	print_points(got, sizeof(got), r, &param, 1);
	EXPECT(strcmp(got, "?") != 0);
	list[strlen(list) - 1] = '\0';
	strcat(list, ",1000}");
	param = (struct reads_param){.value = span_str(list)};
	print_points(got, sizeof(got), r, &param, 1);
	EXPECT_STR(got, "?");
	reads_unref(r);
	catalog_unref(c);
}
