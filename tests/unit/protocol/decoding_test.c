/* The records here were written by PostgreSQL 15 for tables with names and values chosen to confuse. */
#include "tests/unit/protocol/tools.h"

#include "protocol/decoding.h"

#include <stdlib.h>

static struct buf scratch;

static struct decoding parse(struct span record)
{
	struct decoding d;
	const char *why = NULL;

	if (scratch.max == 0)
		buf_init(&scratch, 1 << 20);
	if (decoding_parse(record, &scratch, &d, &why) != 0) {
		EXPECT_STR(why, "");
		REQUIRE(false);
	}
	return d;
}

static void expect_refused(const char *record)
{
	struct decoding d;
	const char *why = NULL;

	if (scratch.max == 0)
		buf_init(&scratch, 1 << 20);
	if (decoding_parse(span_str(record), &scratch, &d, &why) == 0)
		EXPECT_STR(record, "a record that is refused");
	else
		EXPECT(why != NULL);
}

static void expect_column(const struct decoding *d, struct span tuple, size_t *at, const char *name,
			  const char *type, const char *value)
{
	struct decoding_column c;
	const char *why = "";

	if (decoding_column_next(d, tuple, at, &c, &why) != 1) {
		EXPECT_STR(why, name);
		return;
	}
	EXPECT_MEM(c.name, span_str(name));
	EXPECT_MEM(c.type, span_str(type));
	EXPECT_EQ(c.state, DECODING_TEXT);
	EXPECT_MEM(c.value, span_str(value));
}

static void expect_state(const struct decoding *d, struct span tuple, size_t *at, const char *name,
			 enum decoding_value state)
{
	struct decoding_column c;
	const char *why;

	REQUIRE(decoding_column_next(d, tuple, at, &c, &why) == 1);
	EXPECT_MEM(c.name, span_str(name));
	EXPECT_EQ(c.state, state);
	EXPECT(c.value.p == NULL);
}

static void expect_end(const struct decoding *d, struct span tuple, size_t *at)
{
	struct decoding_column c;
	const char *why;

	EXPECT_EQ(decoding_column_next(d, tuple, at, &c, &why), 0);
}

TEST(decoding, reads_begin_and_commit)
{
	struct decoding d = parse(BYTES("BEGIN 728"));

	EXPECT_EQ(d.kind, DECODING_BEGIN);
	EXPECT_EQ(d.xid, 728);
	d = parse(BYTES("COMMIT 4294967295"));
	EXPECT_EQ(d.kind, DECODING_COMMIT);
	EXPECT(d.xid == 4294967295u);
	d = parse(BYTES("COMMIT 738 (at 2026-11-23 02:49:05.974498+00)"));
	EXPECT_EQ(d.kind, DECODING_COMMIT);
	EXPECT_EQ(d.xid, 738);
}

TEST(decoding, reads_an_insert_of_many_types)
{
	struct decoding d = parse(BYTES(
		"table public.users: INSERT: id[integer]:-1 name[text]:'line1\nline2\t''q'' \\ back' x[numeric]:NaN "
		"b[boolean]:true f[double precision]:-Infinity bits[bit]:B'0101' vb[bit varying]:B'' "
		"arr[text[]]:'{a,\"b,\\\"c\",d''e,NULL,\"{}\"}' ts[timestamp without time zone]:'2020-01-01 00:00:00.5' "
		"js[jsonb]:'{\"a\": \"it''s [x]:null\"}' n2[numeric]:1.50 fl[real]:1e+20 i8[bigint]:-9223372036854775808 "
		"e[text]:'' n[text]:null vc[character varying[]]:'{a,\"b c\"}'"));
	size_t at = 0;

	EXPECT_EQ(d.kind, DECODING_INSERT);
	EXPECT_MEM(d.schema, BYTES("public"));
	EXPECT_MEM(d.table, BYTES("users"));
	EXPECT(d.old_key.p == NULL);
	expect_column(&d, d.new_tuple, &at, "id", "integer", "-1");
	expect_column(&d, d.new_tuple, &at, "name", "text", "line1\nline2\t'q' \\ back");
	expect_column(&d, d.new_tuple, &at, "x", "numeric", "NaN");
	expect_column(&d, d.new_tuple, &at, "b", "boolean", "true");
	expect_column(&d, d.new_tuple, &at, "f", "double precision", "-Infinity");
	expect_column(&d, d.new_tuple, &at, "bits", "bit", "0101");
	expect_column(&d, d.new_tuple, &at, "vb", "bit varying", "");
	expect_column(&d, d.new_tuple, &at, "arr", "text[]", "{a,\"b,\\\"c\",d'e,NULL,\"{}\"}");
	expect_column(&d, d.new_tuple, &at, "ts", "timestamp without time zone", "2020-01-01 00:00:00.5");
	expect_column(&d, d.new_tuple, &at, "js", "jsonb", "{\"a\": \"it's [x]:null\"}");
	expect_column(&d, d.new_tuple, &at, "n2", "numeric", "1.50");
	expect_column(&d, d.new_tuple, &at, "fl", "real", "1e+20");
	expect_column(&d, d.new_tuple, &at, "i8", "bigint", "-9223372036854775808");
	expect_column(&d, d.new_tuple, &at, "e", "text", "");
	expect_state(&d, d.new_tuple, &at, "n", DECODING_NULL);
	expect_column(&d, d.new_tuple, &at, "vc", "character varying[]", "{a,\"b c\"}");
	expect_end(&d, d.new_tuple, &at);
}

TEST(decoding, reads_names_that_look_like_syntax)
{
	struct decoding d = parse(BYTES(
		"table \"Sch ema\".\"T\"\"x.y\": UPDATE: old-key: \"Id\"[integer]:1 new-tuple: \"Id\"[integer]:2 "
		"\"na[m]e\"[text]:'new-tuple: \"x\"[int]:1 O''Brien' \"new-tuple:\"[text]:' new-tuple:' "
		"\"a b\"[\"char\"]:''''"));
	size_t at = 0;

	EXPECT_EQ(d.kind, DECODING_UPDATE);
	EXPECT_MEM(d.schema, BYTES("Sch ema"));
	EXPECT_MEM(d.table, BYTES("T\"x.y"));
	expect_column(&d, d.old_key, &at, "Id", "integer", "1");
	expect_end(&d, d.old_key, &at);
	at = 0;
	expect_column(&d, d.new_tuple, &at, "Id", "integer", "2");
	expect_column(&d, d.new_tuple, &at, "na[m]e", "text", "new-tuple: \"x\"[int]:1 O'Brien");
	expect_column(&d, d.new_tuple, &at, "new-tuple:", "text", " new-tuple:");
	expect_column(&d, d.new_tuple, &at, "a b", "\"char\"", "'");
	expect_end(&d, d.new_tuple, &at);
	/* nothing of the first reading was overwritten */
	EXPECT_MEM(d.table, BYTES("T\"x.y"));
}

TEST(decoding, reads_types_that_look_like_syntax)
{
	struct decoding d = parse(BYTES(
		"table public.odd: INSERT: k[\"Sch ema\".\"ty]pe\"\"[]\"]:'it''s' v[dom]:'5' "
		"w[\"Sch ema\".\"ty]pe\"\"[]\"[]]:'{\"a b\",it''s}' c[comp]:'(1,\"x \"\"y\"\"\")' \"table\"[integer]:3 "
		"\"ünï\"[text]:'ä'''"));
	size_t at = 0;

	expect_column(&d, d.new_tuple, &at, "k", "\"Sch ema\".\"ty]pe\"\"[]\"", "it's");
	expect_column(&d, d.new_tuple, &at, "v", "dom", "5");
	expect_column(&d, d.new_tuple, &at, "w", "\"Sch ema\".\"ty]pe\"\"[]\"[]", "{\"a b\",it's}");
	expect_column(&d, d.new_tuple, &at, "c", "comp", "(1,\"x \"\"y\"\"\")");
	expect_column(&d, d.new_tuple, &at, "table", "integer", "3");
	expect_column(&d, d.new_tuple, &at, "ünï", "text", "ä'");
	expect_end(&d, d.new_tuple, &at);
}

TEST(decoding, reads_an_update_without_old_key)
{
	struct decoding d = parse(BYTES("table public.users: UPDATE: id[integer]:7 name[text]:'z'"));
	size_t at = 0;

	EXPECT_EQ(d.kind, DECODING_UPDATE);
	EXPECT(d.old_key.p == NULL);
	expect_column(&d, d.new_tuple, &at, "id", "integer", "7");
	expect_column(&d, d.new_tuple, &at, "name", "text", "z");
	expect_end(&d, d.new_tuple, &at);
}

TEST(decoding, tells_an_empty_old_row_from_none)
{
	/* replica identity FULL, all columns NULL */
	struct decoding d = parse(
		BYTES("table public.\"full\": UPDATE: old-key: new-tuple: a[integer]:null b[text]:'q'"));
	size_t at = 0;

	EXPECT(d.old_key.p != NULL);
	expect_end(&d, d.old_key, &at);
	at = 0;
	expect_state(&d, d.new_tuple, &at, "a", DECODING_NULL);
	expect_column(&d, d.new_tuple, &at, "b", "text", "q");
	d = parse(BYTES("table public.zero: INSERT:"));
	EXPECT_EQ(d.kind, DECODING_INSERT);
	EXPECT(d.new_tuple.p != NULL && d.new_tuple.n == 0);
}

TEST(decoding, marks_values_that_were_not_sent)
{
	struct decoding d =
		parse(BYTES("table public.big: UPDATE: old-key: id[integer]:1 new-tuple: id[integer]:2 "
			    "t[text]:unchanged-toast-datum u[text]:'unchanged-toast-datum' v[text]:'null'"));
	size_t at = 0;

	expect_column(&d, d.new_tuple, &at, "id", "integer", "2");
	expect_state(&d, d.new_tuple, &at, "t", DECODING_UNCHANGED);
	expect_column(&d, d.new_tuple, &at, "u", "text", "unchanged-toast-datum");
	expect_column(&d, d.new_tuple, &at, "v", "text", "null");
}

TEST(decoding, reads_deletes)
{
	struct decoding d = parse(BYTES("table public.users: DELETE: id[integer]:8"));
	size_t at = 0;

	EXPECT_EQ(d.kind, DECODING_DELETE);
	EXPECT(d.new_tuple.p == NULL);
	expect_column(&d, d.old_key, &at, "id", "integer", "8");
	expect_end(&d, d.old_key, &at);
	d = parse(BYTES("table public.nokey: DELETE: (no-tuple-data)"));
	EXPECT_EQ(d.kind, DECODING_DELETE);
	EXPECT(d.old_key.p == NULL);
}

static void expect_table(const struct decoding *d, size_t *at, const char *schema, const char *table)
{
	struct span s, t;
	const char *why;

	REQUIRE(decoding_table_next(d, at, &s, &t, &why) == 1);
	EXPECT_MEM(s, span_str(schema));
	EXPECT_MEM(t, span_str(table));
}

TEST(decoding, reads_truncates)
{
	struct decoding d = parse(
		BYTES("table public.\"a, public.b: TRUNCATE:\", public.users, \"Sch ema\".\"T\"\"x.y\": "
		      "TRUNCATE: cascade"));
	struct span s, t;
	const char *why;
	size_t at = 0;

	EXPECT_EQ(d.kind, DECODING_TRUNCATE);
	EXPECT(d.cascade && !d.restart_seqs);
	expect_table(&d, &at, "public", "a, public.b: TRUNCATE:");
	expect_table(&d, &at, "public", "users");
	expect_table(&d, &at, "Sch ema", "T\"x.y");
	EXPECT_EQ(decoding_table_next(&d, &at, &s, &t, &why), 0);
	d = parse(BYTES("table public.big: TRUNCATE: restart_seqs cascade"));
	EXPECT(d.cascade && d.restart_seqs);
	d = parse(BYTES("table public.big: TRUNCATE: restart_seqs"));
	EXPECT(!d.cascade && d.restart_seqs);
	d = parse(BYTES("table public.users: TRUNCATE: (no-flags)"));
	EXPECT(!d.cascade && !d.restart_seqs);
	at = 0;
	expect_table(&d, &at, "public", "users");
}

TEST(decoding, reads_messages)
{
	struct decoding d =
		parse(BYTES("message: transactional: 1 prefix: pgweir, sz: 12 content:hello world!"));

	EXPECT_EQ(d.kind, DECODING_MESSAGE);
	EXPECT(d.transactional);
	EXPECT_MEM(d.prefix, BYTES("pgweir"));
	EXPECT_MEM(d.content, BYTES("hello world!"));
	d = parse(BYTES("message: transactional: 0 prefix: pgweir, sz: 0 content:"));
	EXPECT(!d.transactional);
	EXPECT_EQ(d.content.n, 0);
	d = parse(BYTES(
		"message: transactional: 1 prefix: a, sz: 3 content:x, sz: 4, sz: 22 content:line\n, sz: 1 content:y"));
	EXPECT_MEM(d.prefix, BYTES("a, sz: 3 content:x, sz: 4"));
	EXPECT_MEM(d.content, BYTES("line\n, sz: 1 content:y"));
	d = parse(BYTES("message: transactional: 1 prefix: p, sz: 3 content:a\0b"));
	EXPECT_MEM(d.content, BYTES("a\0b"));
}

TEST(decoding, refuses_what_it_does_not_understand)
{
	static const char *const bad[] = {
		"",
		"BEGIN",
		"BEGIN ",
		"BEGIN x",
		"BEGIN 1 ",
		"BEGIN 4294967296",
		"COMMIT",
		"COMMIT 1 (at ",
		"COMMIT 1x",
		"opening a streamed block for transaction TXN 5",
		"PREPARE TRANSACTION 'x', txid 5",
		"table ",
		"table public",
		"table public.",
		"table public.t",
		"table public.t:",
		"table public.t: MERGE: a[int]:1",
		"table Public.t: INSERT: a[int]:1",
		"table public.t: INSERT: a[int]:1 ",
		"table public.t: INSERT:  a[int]:1",
		"table public.t: INSERT: a[int]:",
		"table public.t: INSERT: a[int:1",
		"table public.t: INSERT: a:1",
		"table public.t: INSERT: a[int]:'x",
		"table public.t: INSERT: a[int]:'x'y",
		"table public.t: INSERT: a[int]:B01",
		"table public.t: INSERT: \"a[int]:1",
		"table public.t: INSERT: (no-tuple-data) ",
		"table public.t: UPDATE: old-key: a[int]:1",
		"table public.t: UPDATE: old-key: a[int]:1 new-tuple:x",
		"table a.t, a.u: INSERT: a[int]:1",
		"table a.t: TRUNCATE:",
		"table a.t: TRUNCATE: ",
		"table a.t: TRUNCATE: x",
		"table a.t: TRUNCATE: (no-flags) cascade",
		"table a.t: TRUNCATE: cascade restart_seqs",
		"message: transactional: 2 prefix: p, sz: 0 content:",
		"message: transactional: 1 prefix: p, sz: 5 content:abc",
		"message: transactional: 1 prefix: p, sz: 99999999999999999999 content:abc",
		"message: transactional: 1 prefix: p",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		expect_refused(bad[i]);
}

static bool probe(struct span record)
{
	struct decoding d;
	struct decoding_column c;
	struct span schema, table;
	struct buf own;
	const char *why = NULL;
	size_t at = 0;
	bool taken;
	int rc;

	buf_init(&own, record.n);
	taken = decoding_parse(record, &own, &d, &why) == 0;
	EXPECT(taken || why != NULL);
	for (int part = 0; taken && part < 2; part++) {
		struct span tuple = part == 0 ? d.old_key : d.new_tuple;

		at = 0;
		while ((rc = decoding_column_next(&d, tuple, &at, &c, &why)) == 1)
			EXPECT(within(c.value, record) || within(c.value, span_of(own.p, record.n)));
		EXPECT_EQ(rc, 0); /* what parse accepted, the iterators walk to the end */
	}
	at = 0;
	while (taken && (rc = decoding_table_next(&d, &at, &schema, &table, &why)) == 1)
		EXPECT(within(table, record) || within(table, span_of(own.p, record.n)));
	buf_free(&own);
	return taken;
}

TEST(decoding, survives_hurt_records)
{
	static const char *const records[] = {
		"table \"Sch ema\".\"T\"\"x\": UPDATE: old-key: \"I\"\"d\"[integer]:1 new-tuple: \"I\"\"d\"[text[]]:'a''b' b[bit]:B'01'",
		"table public.\"a, public.b\", public.users: TRUNCATE: restart_seqs cascade",
		"message: transactional: 1 prefix: pgweir, sz: 12 content:hello world!",
	};

	for (size_t i = 0; i < sizeof(records) / sizeof(records[0]); i++) {
		EXPECT(probe_copy(probe, span_str(records[i])));
		probe_cuts(probe, span_str(records[i]));
		probe_corrupt(probe, span_str(records[i]));
	}
	/* a cut record may be a shorter whole one only between columns */
	EXPECT_EQ(probe_cuts(probe, span_str("message: transactional: 1 prefix: p, sz: 3 content:abc")), 0);
	EXPECT_EQ(probe_cuts(probe, span_str("table a.b: DELETE: (no-tuple-data)")), 1); /* "DELETE:" alone */
}

TEST(decoding, refuses_a_record_beyond_the_scratch)
{
	struct decoding d;
	struct buf small;
	const char *why = NULL;

	buf_init(&small, 8);
	EXPECT_EQ(decoding_parse(BYTES("BEGIN 728"), &small, &d, &why), -1);
	EXPECT_STR(why, "record is too long");
	buf_free(&small);
}
