#include "tests/unit/origin/site.h"
#include "proxy/origin/link.h"
#include "proxy/sql/reads.h"
#include "protocol/datum.h"
#include "protocol/lsn.h"
#include "tests/support/test.h"

#include <stdio.h>
#include <stdlib.h>

void site_start(struct site *s, const char *settings)
{
	const struct cache_settings set = {.bytes = 8u << 20, .max_result = 1u << 20};

	*s = (struct site){0};
	cluster_start(&s->cluster, settings);
	s->db = cluster_connect(&s->cluster, "app", "postgres");
	s->cache = cache_new(&set);
	REQUIRE(s->cache != NULL);
}

void site_origin(struct site *s, unsigned catalog_poll_ms)
{
	struct origin_settings set = {
		.database = "app",
		.host = s->cluster.dir,
		.port = "5432",
		.dbname = "app",
		.user = "feed",
		.connect_timeout_s = 10,
		.catalog_poll_us = (uint64_t)catalog_poll_ms * 1000,
		.max_change_keys = 100,
		.pgoutput = s->pgoutput,
		.publication = "pgweir",
	};
	struct err err = {0};

	s->origin = origin_start(&set, s->cache, &err);
	REQUIRE(s->origin != NULL);
}

void site_watch(struct site *s, unsigned catalog_poll_ms)
{
	site_origin(s, catalog_poll_ms);
	UNTIL(cache_on(s->cache), 20);
}

void site_stop(struct site *s)
{
	origin_stop(&s->origin);
	cache_unref(s->cache);
	PQfinish(s->db);
	cluster_stop(&s->cluster);
}

void site_publish(struct site *s)
{
	static char text[16384];
	FILE *file = fopen("docs/setup.sql", "r");
	size_t n;

	REQUIRE(file != NULL);
	n = fread(text, 1, sizeof(text) - 1, file);
	fclose(file);
	text[n] = '\0';
	sql(s->db, "SET client_min_messages = warning; %s", text);
	sql(s->db,
	    "DO $$ BEGIN EXECUTE (SELECT 'CREATE PUBLICATION pgweir FOR TABLE ' || string_agg(c.oid::regclass::text, ', ')"
	    " FROM pg_class c JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary AND i.indimmediate"
	    " WHERE c.relkind = 'r' AND c.relpersistence = 'p' AND c.oid >= 16384 AND c.relreplident <> 'n'); END $$");
	s->pgoutput = true;
}

bool site_reaches(struct site *s, unsigned seconds)
{
	const char *text = sql_text(s->db, "SELECT pg_current_wal_insert_lsn()");
	uint64_t until = deadline_in(seconds), lsn = 0;

	REQUIRE(lsn_parse(span_str(text), &lsn));
	lsn = lsn_normalise(lsn, 8192, 16777216);
	while (cache_position(s->cache) < lsn && !expired(until)) {
		origin_nudge(s->origin);
		pause_ms(1);
	}
	return cache_position(s->cache) >= lsn;
}

void site_catch_up(struct site *s)
{
	REQUIRE(site_reaches(s, 20));
}

uint32_t site_relid(struct site *s, const char *name)
{
	return (uint32_t)strtoul(sql_text(s->db, "SELECT '%s'::regclass::oid", name), NULL, 10);
}

uint64_t site_any(struct site *s, const char *name)
{
	return readkey_any(site_relid(s, name));
}

uint64_t site_whole(struct site *s, const char *name)
{
	return readkey_whole(site_relid(s, name));
}

uint64_t site_gone(struct site *s, const char *name)
{
	return readkey_gone(site_relid(s, name));
}

uint64_t site_row(struct site *s, const char *name, const char *value, const char *second)
{
	uint32_t relid = site_relid(s, name);
	struct catalog *catalog = cache_catalog(s->cache);
	const struct catalog_relation *rel;
	const char *texts[2] = {value, second};
	struct span values[2];
	struct buf bytes;
	size_t from[3] = {0};
	uint64_t key;

	REQUIRE(catalog != NULL);
	rel = catalog_find_oid(catalog, relid);
	REQUIRE(rel != NULL && rel->nkey == (second != NULL ? 2 : 1));
	buf_init(&bytes, 65536);
	for (int i = 0; i < rel->nkey; i++) {
		const struct catalog_column *column = NULL;

		for (int j = 0; j < rel->ncolumns; j++) {
			if (rel->columns[j].attnum == rel->key[i])
				column = &rel->columns[j];
		}
		REQUIRE(column != NULL && column->plain_equality);
		REQUIRE(datum_canon(column->type_oid, false, span_str(texts[i]), &bytes) == DATUM_OK);
		from[i + 1] = bytes.len;
	}
	for (int i = 0; i < rel->nkey; i++)
		values[i] = span_of(bytes.p + from[i], from[i + 1] - from[i]);
	key = readkey_row(relid, rel->nkey, rel->key, values);
	buf_free(&bytes);
	catalog_unref(catalog);
	return key;
}

bool kills(struct site *s, const char *relation, uint64_t key, const char *statement)
{
	uint32_t relid = site_relid(s, relation);
	uint64_t keys[2] = {key, readkey_whole(relid)}; /* as every reader has them */
	struct lease lease;

	site_catch_up(s);
	lease_take(s->cache, cache_epoch(s->cache), keys, 2, 0, &relid, 1, &lease);
	REQUIRE(!lease.full && lease_keys_alive(s->cache, lease.epoch, lease.key, lease.nkeys));
	sql(s->db, "%s", statement);
	site_catch_up(s);
	return !lease_keys_alive(s->cache, lease.epoch, lease.key, lease.nkeys);
}
