#include "proxy/session/explain.h"

#include "protocol/buf.h"
#include "tests/support/test.h"

static struct catalog *catalog(bool strict)
{
	const struct catalog_column columns[] = {
		{.attnum = 1, .name = "id", .type_oid = 23, .builtin_type = true, .plain_equality = true},
		{.attnum = 2, .name = "name", .type_oid = 25, .builtin_type = true, .plain_equality = true},
	};
	const int16_t key[] = {1};
	struct catalog *c = catalog_new();
	struct catalog_relation rel = {.oid = 20000,
				       .schema = "public",
				       .name = "item",
				       .kind = 'r',
				       .persistence = 'p',
				       .replica_identity = 'd',
				       .ncolumns = 2,
				       .columns = columns,
				       .nkey = 1,
				       .key = key};

	REQUIRE(c != NULL && catalog_add_relation(c, &rel) == 0);
	rel.oid = 20001;
	rel.name = "secret";
	rel.row_security = true;
	REQUIRE(catalog_add_relation(c, &rel) == 0);
	rel.oid = 20002;
	rel.name = "elsewhere";
	rel.row_security = false;
	rel.not_fed = true;
	REQUIRE(catalog_add_relation(c, &rel) == 0);
	catalog_set_strict(c, strict);
	catalog_freeze(c);
	return c;
}

static void add_line(void *arg, const char *item, const char *value)
{
	struct buf *b = arg;

	buf_add_span(b, span_str(item));
	buf_add_u8(b, '=');
	buf_add_span(b, span_str(value));
	buf_add_u8(b, '\n');
}

static bool says(const char *sql, enum config_coherence coherence, bool strict, const char *part)
{
	const struct policy policy = {.coherence = coherence, .max_staleness = 100000, .entity_rows = true};
	struct memo *memo = memo_new(1 << 20);
	struct catalog *c = catalog(strict);
	struct buf text;
	bool found;

	buf_init(&text, 65536);
	explain_statement(memo, c, &policy, "app", span_str(sql), add_line, &text);
	buf_add_u8(&text, 0);
	found = strstr((const char *)text.p, part) != NULL;
	if (!found)
		EXPECT_STR((const char *)text.p, part);
	buf_free(&text);
	catalog_unref(c);
	memo_free(&memo);
	return found;
}

TEST(explain, what_is_cached_and_what_it_falls_to)
{
	EXPECT(says("SELECT name FROM item WHERE id = 5", COHERENCE_STRICT, true, "verdict=cached\n"));
	EXPECT(says(
		"SELECT name FROM item WHERE id = $1", COHERENCE_STRICT, true,
		"promise=strict\nrelation=public.item\nrows=those whose id is given\nfalls to=changes of these rows"));
	EXPECT(says("SELECT count(*) FROM item", COHERENCE_STRICT, true,
		    "relation=public.item\nrows=all\nfalls to=any change of the table\n"));
	EXPECT(says("SELECT name FROM item WHERE id = 5", COHERENCE_BOUNDED, true,
		    "promise=bounded: at most 100 ms old\n"));
}

TEST(explain, whose_rows_it_shows)
{
	EXPECT(says("SELECT name FROM item WHERE id IN (5, 6)", COHERENCE_STRICT, true,
		    "entity rows=answered by rows that other statements have shown of public.item\n"));
	EXPECT(says("SELECT id, name FROM item ORDER BY name", COHERENCE_STRICT, true,
		    "entity rows=kept for statements that read by the key of public.item\n"));
}

TEST(explain, why_it_passes)
{
	EXPECT(says("SELECT name FROM secret WHERE id = 5", COHERENCE_STRICT, true,
		    "verdict=passes\nreason=ROW_SECURITY: "));
	EXPECT(says("SELECT name FROM elsewhere", COHERENCE_STRICT, true, "reason=NOT_PUBLISHED: "));
	EXPECT(says("SELECT name FROM item", COHERENCE_STRICT, false, "reason=DDL_UNSEEN: "));
	EXPECT(says("SELECT name FROM item", COHERENCE_BOUNDED, false, "verdict=cached\n"));
	EXPECT(says("UPDATE item SET name = 'x'", COHERENCE_STRICT, true, "reason=NOT_SELECT: "));
	EXPECT(says("SELECT 1; SELECT 2", COHERENCE_STRICT, true, "reason=MULTIPLE: "));
	EXPECT(says("SELEC", COHERENCE_STRICT, true, "reason=SYNTAX: "));
	EXPECT(says("", COHERENCE_STRICT, true, "reason=NOT_SELECT: "));
	EXPECT(says("SELECT * FROM nobody", COHERENCE_STRICT, true, "reason=RELATION_UNKNOWN: "));
}
