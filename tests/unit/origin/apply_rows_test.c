/* New versions of rows in records of UPDATEs: which are told, and with which bytes. */
#include "proxy/cache/rows.h"
#include "proxy/origin/apply.h"
#include "tests/support/test.h"

#include <stdio.h>

#define COLUMN(n, label, type)                                                                             \
	{                                                                                                  \
		.attnum = n, .name = label, .type_oid = type, .builtin_type = true, .plain_equality = true \
	}

struct world {
	struct catalog *catalog;
	struct cache *cache;
	struct apply apply;
};

static void add_relation(struct catalog *c, uint32_t oid, const char *name, char identity,
			 uint16_t nancestors)
{
	static const struct catalog_column columns[] = {COLUMN(1, "id", 23), COLUMN(2, "v", 25),
							COLUMN(3, "b", 16), COLUMN(4, "big", 20),
							COLUMN(5, "d", 1082)};
	static const int16_t key[] = {1};
	static const uint32_t up[] = {99};

	REQUIRE(catalog_add_relation(c, &(struct catalog_relation){.oid = oid,
								   .schema = "public",
								   .name = name,
								   .kind = 'r',
								   .persistence = 'p',
								   .replica_identity = identity,
								   .ncolumns = 5,
								   .columns = columns,
								   .nkey = 1,
								   .key = key,
								   .nancestors = nancestors,
								   .ancestors = up}) == 0);
}

static void open_world(struct world *w)
{
	struct snapshot first;

	w->catalog = catalog_new();
	REQUIRE(w->catalog != NULL);
	add_relation(w->catalog, 10, "t", 'd', 0);
	add_relation(w->catalog, 11, "full", 'f', 0);
	add_relation(w->catalog, 12, "leaf", 'd', 1);
	add_relation(w->catalog, 13, "cold", 'd', 0);
	catalog_freeze(w->catalog);
	w->cache = cache_new(&(struct cache_settings){.bytes = 8 << 20, .max_result = 1 << 20});
	REQUIRE(w->cache != NULL && snapshot_parse(span_str("100:100:"), &first) == 0);
	cache_turn_on(w->cache, w->catalog, 1000, &first);
	snapshot_free(&first);
	for (uint32_t relid = 10; relid < 13; relid++)
		cache_refresh(w->cache, cache_epoch(w->cache), relid, span_str("who"));
	apply_init(&w->apply, 100);
	w->apply.catalog = w->catalog;
	w->apply.cache = w->cache;
}

static void close_world(struct world *w)
{
	apply_free(&w->apply);
	cache_unref(w->cache);
	catalog_unref(w->catalog);
}

static void feed(struct world *w, const char *const *records)
{
	enum apply_event event;
	struct err err;

	for (; *records != NULL; records++)
		REQUIRE(apply_decoding(&w->apply, span_str(*records), &event, &err) == 0);
}

#define FEED(w, ...) feed(w, (const char *const[]){"BEGIN 700", __VA_ARGS__, "COMMIT 700", NULL})

/* The rows that are told, as "attnum:value", b = binary, in hex. */
static bool tells(const struct world *w, const char *expected)
{
	const struct change *c = &w->apply.change;
	struct row_reader reader;
	struct row_value value;
	char got[1024] = "";
	size_t n = 0;

	for (unsigned i = 0; i < c->nrows; i++) {
		if (c->rows[i].ended)
			continue;
		n += (size_t)snprintf(got + n, sizeof(got) - n, "%s%u", n > 0 ? " / " : "", c->rows[i].relid);
		REQUIRE(row_open(change_row_values(c, &c->rows[i]), &reader));
		while (row_next(&reader, &value)) {
			n += (size_t)snprintf(got + n, sizeof(got) - n, " %d%s:", value.attnum,
					      value.binary ? "b" : "");
			if (value.null)
				n += (size_t)snprintf(got + n, sizeof(got) - n, "-");
			for (size_t k = 0; k < value.value.n; k++)
				n += (size_t)snprintf(got + n, sizeof(got) - n, value.binary ? "%02x" : "%c",
						      value.value.p[k]);
		}
	}
	if (strcmp(got, expected) != 0)
		fprintf(stderr, "  got %s\n", got);
	return strcmp(got, expected) == 0;
}

#define ROW(id, v) "id[integer]:" id " v[text]:" v " b[boolean]:true big[bigint]:-2 d[date]:'2020-01-01'"
#define TOLD(id, idb, v, vb) " 1:" id " 1b:" idb " 2:" v " 2b:" vb " 3:t 3b:01 4:-2 4b:fffffffffffffffe"

TEST(apply_rows, the_last_version_with_what_is_certain)
{
	struct world w;

	open_world(&w);
	FEED(&w, "table public.t: UPDATE: " ROW("258", "'x'"));
	EXPECT(tells(&w, "10" TOLD("258", "00000102", "x", "78")));
	FEED(&w, "table public.t: UPDATE: " ROW("1", "'x'"), "table public.t: UPDATE: " ROW("2", "''"),
	     "table public.t: UPDATE: " ROW("1", "'y'"));
	EXPECT(tells(&w, "10" TOLD("2", "00000002", "", "") " / 10" TOLD("1", "00000001", "y", "79")));
	FEED(&w,
	     "table public.t: UPDATE: id[integer]:-1 v[text]:null b[boolean]:false big[bigint]:null d[date]:null");
	EXPECT(tells(&w, "10 1:-1 1b:ffffffff 2:- 2b:- 3:f 3b:00 4:- 4b:- 5:- 5b:-"));
	/* TOAST that has not changed is not shown. */
	FEED(&w, "table public.t: UPDATE: " ROW("1", "unchanged-toast-datum"));
	EXPECT(tells(&w, "10 1:1 1b:00000001 3:t 3b:01 4:-2 4b:fffffffffffffffe"));
	close_world(&w);
}

TEST(apply_rows, not_what_is_touched_again)
{
	struct world w;

	open_world(&w);
	FEED(&w, "table public.t: UPDATE: " ROW("1", "'x'"), "table public.t: DELETE: id[integer]:1");
	EXPECT(tells(&w, ""));
	FEED(&w, "table public.t: UPDATE: " ROW("1", "'x'"),
	     "table public.t: UPDATE: old-key: id[integer]:1 new-tuple: " ROW("2", "'x'"));
	EXPECT(tells(&w, ""));
	FEED(&w, "table public.t: UPDATE: " ROW("2", "'x'"), "table public.t: DELETE: id[integer]:2",
	     "table public.t: INSERT: " ROW("2", "'y'"));
	EXPECT(tells(&w, ""));
	close_world(&w);
}

TEST(apply_rows, not_of_these)
{
	struct world w;

	open_world(&w);
	FEED(&w, "table public.leaf: UPDATE: " ROW("1", "'x'"), "table public.cold: UPDATE: " ROW("1", "'x'"),
	     "table public.t: INSERT: " ROW("1", "'x'"));
	EXPECT(tells(&w, ""));
	w.apply.cache = NULL;
	FEED(&w, "table public.t: UPDATE: " ROW("1", "'x'"));
	EXPECT(tells(&w, ""));
	close_world(&w);
}

TEST(apply_rows, an_old_row_that_is_always_shown)
{
	struct world w;

	open_world(&w);
	FEED(&w, "table public.full: UPDATE: old-key: " ROW("1", "'x'") " new-tuple: " ROW("1", "'y'"));
	EXPECT(tells(&w, "11" TOLD("1", "00000001", "y", "79")));
	FEED(&w, "table public.full: UPDATE: old-key: " ROW("1", "'x'") " new-tuple: " ROW("2", "'y'"));
	EXPECT(tells(&w, ""));
	close_world(&w);
}

TEST(apply_rows, too_many_are_none)
{
	struct world w;
	enum apply_event event;
	struct err err;
	char record[200];

	open_world(&w);
	REQUIRE(apply_decoding(&w.apply, span_str("BEGIN 700"), &event, &err) == 0);
	for (unsigned i = 0; i <= CHANGE_ROWS_MAX; i++) {
		snprintf(record, sizeof(record),
			 "table public.t: UPDATE: id[integer]:%u v[text]:'x'"
			 " b[boolean]:true big[bigint]:1 d[date]:null",
			 i);
		REQUIRE(apply_decoding(&w.apply, span_str(record), &event, &err) == 0);
	}
	EXPECT(tells(&w, "") && w.apply.change.rows_off);
	close_world(&w);
}
