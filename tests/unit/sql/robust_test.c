#include "tests/support/test.h"
#include "tests/unit/sql/sample.h"

#include <stdlib.h>

static const char *const texts[] = {
	"select \"m0\".*, \"p1\".\"id\" as \"p1__id\" from \"mk_user\" as \"m0\" left join \"mk_post\" as \"p1\" on \"m0\".\"id\" = "
	"\"p1\".\"author_id\" where \"m0\".\"id\" in (1, $2, '3') and exists (select 1 from mk_post x where x.id = any('{1,2}')) "
	"group by 1 having count(*) > 3 order by 2 desc limit 5 offset $1",
	"with x as (select *, row_number() over (partition by name order by id) from mk_user where (id = 1 or id = 2) and "
	"version = -1), y as (select author_id from mk_post where id = $1::int) select x.id, coalesce(x.name, 'é'), case "
	"when x.age > 3 then 'a' else 'b' end from x join y on y.author_id = x.id union all select 1, 'b', $$c$$",
	"set session characteristics as transaction isolation level serializable; select set_config('a.b', 'c', false); "
	"declare c cursor with hold for select 1; explain (analyze) insert into t values (1, nextval('s')) returning *",
	"SELECT \"public\".\"pr_user\".\"id\" FROM \"public\".\"pr_user\" WHERE (\"public\".\"pr_user\".\"id\" = $1 AND 1=1) LIMIT $2 "
	"OFFSET $3 -- done",
};

/* A small generator of our own, so that a failure comes again. */
static uint32_t seed = 12345;

static uint32_t next_random(uint32_t below)
{
	seed = seed * 1664525u + 1013904223u;
	return (seed >> 8) % below;
}

static void analyse(const struct catalog *c, const char *text, size_t n)
{
	struct reads_session session = {.search_path = span_str("public, app"), .role = span_str("app")};
	/* A copy of its own exact size: reading past the end is seen. */
	uint8_t *copy = malloc(n == 0 ? 1 : n);
	struct facts *facts;
	struct reads *r;
	struct reads_param params[3] = {{.value = span_str("1")}, {.null = true}, {.binary = true}};
	uint64_t keys[8];
	uint32_t relids[4];
	unsigned nkeys, nrels;

	memcpy(copy, text, n);
	facts = facts_of_text(span_of(copy, n));
	REQUIRE(facts != NULL);
	r = reads_resolve(facts, c, &session, NULL, 0);
	REQUIRE(r != NULL);
	if (sample_keys(r, params, 3, keys, 8, &nkeys, relids, 4, &nrels) == REASON_NONE) {
		EXPECT(nkeys > 0 && nkeys <= 8);
		EXPECT(nrels > 0 && nrels <= 4);
		EXPECT(reads_harmless(r));
	}
	reads_unref(r);
	facts_unref(facts);
	free(copy);
}

TEST(robust, takes_every_cut_of_a_text)
{
	struct catalog *c = sample_catalog();

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		for (size_t n = 0; n <= strlen(texts[i]); n++)
			analyse(c, texts[i], n);
	catalog_unref(c);
}

TEST(robust, takes_texts_with_parts_removed_doubled_or_changed)
{
	struct catalog *c = sample_catalog();

	for (int round = 0; round < 3000; round++) {
		const char *text = texts[next_random(sizeof(texts) / sizeof(texts[0]))];
		size_t n = strlen(text), at = next_random((uint32_t)n),
		       len = next_random((uint32_t)(n - at) + 1);
		char buf[2048];
		size_t m;

		memcpy(buf, text, at);
		m = at;
		if (round % 3 == 0) {
			memcpy(buf + m, text + at, len);
			m += len;
		}
		if (round % 3 == 2)
			buf[m++] = (char)next_random(256);
		memcpy(buf + m, text + at + (round % 3 == 1 ? len : 0), n - at - (round % 3 == 1 ? len : 0));
		m += n - at - (round % 3 == 1 ? len : 0);
		analyse(c, buf, m);
	}
	catalog_unref(c);
}

TEST(robust, is_quick_with_nested_sub_selects)
{
	/* Each level looked at twice would be 2^40 looks. */
	struct catalog *c = sample_catalog();
	char text[4096] = "select 1 from mk_user where id = ";
	struct reads *r;

	for (int i = 0; i < 40; i++)
		strcat(text,
		       "(select age at time zone (select id::text from mk_user where id between 1 and ");
	strcat(text, "1");
	for (int i = 0; i < 40; i++)
		strcat(text, ") from mk_user)");
	r = sample_reads(c, text, NULL, 0);
	EXPECT(reads_reason(r) != REASON_NONE || reads_harmless(r));
	reads_unref(r);
	strcpy(text, "select ");
	for (int i = 0; i < 60; i++)
		strcat(text, "1 between 1 and (");
	strcat(text, "id");
	for (int i = 0; i < 60; i++)
		strcat(text, ")");
	strcat(text, " from mk_user");
	r = sample_reads(c, text, NULL, 0);
	EXPECT_EQ(reads_reason(r), REASON_NONE);
	reads_unref(r);
	catalog_unref(c);
}
