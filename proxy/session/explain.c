#include "proxy/session/explain.h"

#include "proxy/sql/entities.h"

#include <stdio.h>
#include <string.h>

struct explaining {
	explain_line *line;
	void *arg;
};

static void say(const struct explaining *x, const char *item, const char *value)
{
	x->line(x->arg, item, value);
}

static void verdict(const struct explaining *x, enum reason reason)
{
	char text[256];

	say(x, "verdict", reason == REASON_NONE ? "cached" : "passes");
	snprintf(text, sizeof text, "%s: %s", reason_name(reason), reason_text(reason));
	say(x, "reason", text);
}

static const char *column_name(const struct catalog_relation *rel, int16_t attnum)
{
	for (unsigned i = 0; i < rel->ncolumns; i++)
		if (rel->columns[i].attnum == attnum)
			return rel->columns[i].name;
	return "?";
}

static void relation(const struct explaining *x, const struct catalog *catalog, const struct reads_part *part)
{
	const struct catalog_relation *rel = catalog_find_oid(catalog, part->relid);
	char text[1024];
	size_t n;

	if (rel == NULL)
		return;
	snprintf(text, sizeof text, "%s.%s", rel->schema, rel->name);
	say(x, "relation", text);
	if (part->ncolumns == 0) {
		say(x, "rows", "all");
		say(x, "falls to", "any change of the table");
		return;
	}
	n = (size_t)snprintf(text, sizeof text, "those whose ");
	for (unsigned i = 0; i < part->ncolumns && n < sizeof text; i++)
		n += (size_t)snprintf(text + n, sizeof text - n, "%s%s", i > 0 ? ", " : "",
				      column_name(rel, part->column[i]));
	if (n < sizeof text)
		snprintf(text + n, sizeof text - n, "%s given", part->ncolumns > 1 ? " are" : " is");
	say(x, "rows", text);
	say(x, "falls to",
	    "changes of these rows, TRUNCATE, and transactions with more than max_change_keys changes of the table");
}

/* Can rows that others have shown answer it, and does it show any? */
static void entity_rows(const struct explaining *x, const struct catalog *catalog, const struct reads *reads)
{
	const struct entities *found = reads_entities(reads);
	char text[1024];

	for (unsigned i = 0; found != NULL && i < found->n; i++) {
		const struct catalog_relation *rel = catalog_find_oid(catalog, found->list[i].relid);

		if (rel == NULL)
			continue;
		snprintf(text, sizeof text, "%s %s.%s",
			 found->point ? "answered by rows that other statements have shown of"
				      : "kept for statements that read by the key of",
			 rel->schema, rel->name);
		say(x, "entity rows", text);
	}
}

/* What the feed's state forbids. */
static enum reason feed_reason(const struct explaining *x, struct served *sv)
{
	struct origin_state state;

	origin_state(sv->origin, &state);
	say(x, "feed", state.phase);
	if (state.last_error[0] != '\0' && !cache_on(sv->cache))
		say(x, "error", state.last_error);
	return REASON_FEED;
}

static enum reason resolve(const struct policy *policy, struct stmt *stmt, const struct catalog *catalog,
			   const char *user, struct reads **reads_r)
{
	const struct reads_session session = {.search_path = span_str("\"$user\", public"),
					      .role = span_str(user)};
	const struct facts *f = stmt->facts;

	*reads_r = NULL;
	if (f->nstmts < 0)
		return REASON_SYNTAX;
	if (f->nstmts > 1)
		return REASON_MULTIPLE;
	if (f->nstmts == 0 || f->shape == NULL)
		return f->nstmts == 0 ? REASON_NOT_SELECT : (enum reason)f->reason;
	if (policy->coherence == COHERENCE_STRICT && !catalog_strict(catalog))
		return REASON_DDL_UNSEEN;
	*reads_r = memo_reads(stmt, catalog, &session);
	return *reads_r == NULL ? REASON_TOO_LARGE : reads_reason(*reads_r);
}

static void promise(const struct explaining *x, const struct policy *policy)
{
	char text[64];

	if (policy->coherence == COHERENCE_BOUNDED)
		snprintf(text, sizeof text, "bounded: at most %llu ms old",
			 (unsigned long long)policy->max_staleness / 1000);
	else
		snprintf(text, sizeof text, "%s", policy->coherence == COHERENCE_OFF ? "off" : "strict");
	say(x, "promise", text);
}

void explain_statement(struct memo *memo, const struct catalog *catalog, const struct policy *policy,
		       const char *user, struct span sql, explain_line *line, void *arg)
{
	const struct explaining x = {.line = line, .arg = arg};
	struct stmt *stmt = memo_get(memo, sql, span_of(NULL, 0));
	enum reason reason = REASON_TOO_LARGE;
	struct reads *reads = NULL;
	struct reads_part part;

	if (stmt != NULL)
		reason = resolve(policy, stmt, catalog, user, &reads);
	verdict(&x, reason);
	promise(&x, policy);
	for (unsigned i = 0; reason == REASON_NONE && reads_part(reads, i, &part); i++)
		relation(&x, catalog, &part);
	if (reason == REASON_NONE && policy->entity_rows)
		entity_rows(&x, catalog, reads);
	if (stmt != NULL)
		stmt_unref(stmt);
}

void explain_cache(struct house *h, const char *database, const char *user, struct span sql,
		   explain_line *line, void *arg)
{
	const struct explaining x = {.line = line, .arg = arg};
	struct served *sv = house_served(h, database);
	const struct catalog *catalog;
	struct policy policy;
	uint64_t epoch;

	policy_of(h->config, database, user, &policy);
	catalog = sv == NULL || policy.coherence == COHERENCE_OFF ? NULL : served_catalog(sv, &epoch);
	if (catalog != NULL) {
		explain_statement(h->memo, catalog, &policy, user, sql, line, arg);
		return;
	}
	verdict(&x, sv == NULL || policy.coherence == COHERENCE_OFF ? REASON_OFF : feed_reason(&x, sv));
	promise(&x, &policy);
}
