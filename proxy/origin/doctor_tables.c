/* What of the database's tables would be cached: the catalog as the origin reads it, and the analysis that statements go through. */
#include "proxy/origin/doctor_private.h"

#include "proxy/base/clock.h"
#include "proxy/origin/control.h"
#include "proxy/sql/reads.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Doubles quotes: an identifier that can be pasted. */
static void quote(const char *name, char *out, size_t n)
{
	size_t used = 0;

	out[used++] = '"';
	for (; *name != '\0' && used + 4 < n; name++) {
		if (*name == '"')
			out[used++] = '"';
		out[used++] = *name;
	}
	out[used++] = '"';
	out[used] = '\0';
}

static void full_name(const struct catalog_relation *rel, char *out, size_t n)
{
	char schema[140], name[140];

	quote(rel->schema, schema, sizeof(schema));
	quote(rel->name, name, sizeof(name));
	snprintf(out, n, "%s.%s", schema, name);
}

/* What a plain reading of the whole relation would be told. */
static enum reason reason_of(const struct catalog *catalog, const struct catalog_relation *rel)
{
	const struct reads_session session = {.search_path = span_str("\"$user\", public"),
					      .role = span_str("app")};
	char text[400] = "SELECT * FROM ";
	enum reason reason = REASON_OFF;
	struct facts *facts;
	struct reads *reads;

	full_name(rel, text + strlen(text), sizeof(text) - strlen(text));
	facts = facts_of_text(span_str(text));
	reads = facts != NULL ? reads_resolve(facts, catalog, &session, NULL, 0) : NULL;
	if (reads != NULL)
		reason = reads_reason(reads);
	reads_unref(reads);
	facts_unref(facts);
	return reason;
}

static const char *kind_of(const struct catalog_relation *rel)
{
	switch (rel->kind) {
	case 'p': return "partitioned table";
	case 'v': return "view";
	case 'm': return "materialized view";
	case 'f': return "foreign table";
	case 'S': return "sequence";
	default: return rel->persistence == 'u' ? "unlogged table" : "table";
	}
}

static bool key_comparable(const struct catalog_relation *rel)
{
	for (unsigned k = 0; k < rel->nkey; k++)
		for (unsigned i = 0; i < rel->ncolumns; i++)
			if (rel->columns[i].attnum == rel->key[k] && !rel->columns[i].plain_equality)
				return false;
	return true;
}

static void judge(struct doctor *d, const struct catalog *catalog, const struct catalog_relation *rel,
		  unsigned *good)
{
	enum reason reason = reason_of(catalog, rel);
	char name[300], fix[400];

	full_name(rel, name, sizeof(name));
	if (reason != REASON_NONE) {
		doctor_say(d, DOCTOR_NOTE, NULL, "%s %s is not cached: %s", kind_of(rel), name,
			   reason_text(reason));
		return;
	}
	++*good;
	snprintf(fix, sizeof(fix), "ALTER TABLE %s REPLICA IDENTITY DEFAULT;", name);
	if (rel->nkey == 0)
		doctor_say(d, DOCTOR_NOTE, "give it a primary key",
			   "%s has no primary key: what is read from it falls with any change of it", name);
	else if (rel->replica_identity == 'n')
		doctor_say(
			d, DOCTOR_NOTE, fix,
			"the replica identity of %s does not show its primary key: what is read from it falls with any UPDATE or DELETE",
			name);
	else if (!key_comparable(rel))
		doctor_say(
			d, DOCTOR_NOTE, NULL,
			"the primary key of %s has a type or collation that is not compared byte by byte: what is read from it falls with any change of it",
			name);
}

static bool of_a_user(const char *schema)
{
	return strcmp(schema, "pg_catalog") != 0 && strcmp(schema, "information_schema") != 0 &&
	       strcmp(schema, "pgweir") != 0 && strncmp(schema, "pg_toast", 8) != 0;
}

/* As the feed will see it when all transactions of now have ended. */
static struct catalog *build(PGresult *const *parts, const char *publication, struct err *err)
{
	const struct snapshot then = {.xmin = 1, .xmax = 1};
	struct catalog *catalog = NULL;
	struct published published;

	published_init(&published, publication);
	if (published_note(&published, parts[SCHEMA_PUBLISHED], parts[SCHEMA_RELATIONS],
			   parts[SCHEMA_ANCESTORS], &then, err) == 0)
		catalog = schema_build(parts, &published, err);
	published_clear(&published);
	return catalog;
}

static void judge_all(struct doctor *d, PGresult *const *parts, const char *publication)
{
	const PGresult *relations = parts[SCHEMA_RELATIONS];
	struct catalog *catalog;
	unsigned good = 0, tables = 0;
	struct err err;

	catalog = build(parts, publication, &err);
	if (catalog == NULL) {
		doctor_say(d, DOCTOR_ERROR, NULL, "%s", err.text);
		return;
	}
	for (int i = 0; i < PQntuples(relations); i++) {
		const struct catalog_relation *rel =
			catalog_find_oid(catalog, (uint32_t)strtoul(PQgetvalue(relations, i, 0), NULL, 10));

		if (rel == NULL || rel->kind == 'S' || !of_a_user(rel->schema))
			continue;
		tables++;
		judge(d, catalog, rel, &good);
	}
	doctor_say(d, DOCTOR_OK, NULL, "%u of %u tables and views can be cached", good, tables);
	catalog_unref(catalog);
}

static int load(struct control *control, PGconn *conn, bool published, struct err *err)
{
	struct link_wait wait = doctor_wait();
	enum control_job done = CONTROL_IDLE;

	if (control_open(control, conn, published ? &schema_sql_published : &schema_sql, &wait, err) != 0 ||
	    control_send(control, CONTROL_LOAD, clock_us(), err) != 0)
		return -1;
	while (done != CONTROL_LOAD) {
		wait.until_us = clock_us() + DOCTOR_ANSWER_US;
		if (link_poll(control->conn, control_unsent(control) ? POLLIN | POLLOUT : POLLIN, &wait,
			      err) != 0 ||
		    control_read(control, &done, err) != 0)
			return -1;
	}
	return 0;
}

void doctor_tables(struct doctor *d, const struct origin_settings *set, PGconn *conn)
{
	struct control control = {0};
	struct err err;

	if (load(&control, conn, set->pgoutput, &err) != 0)
		doctor_say(d, DOCTOR_ERROR, NULL, "cannot read the catalog: %s", err.text);
	else
		judge_all(d, control.result, set->pgoutput ? set->publication : NULL);
	control_close(&control);
}
