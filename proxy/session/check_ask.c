/* The hidden statements in front of a write: one locks its rows, one looks whether they are as they were. */
#include "proxy/session/check_private.h"

#include "protocol/datum.h"
#include "protocol/write.h"

#include <inttypes.h>
#include <stdio.h>

#define CHECK_PARTS 64u
#define XIP_MAX 2000u /* a longer list is left out: then more is in doubt */
#define SQL_MAX 65536u
#define INT8_OID 20u
#define INT8_ARRAY_OID 1016u
#define PORTAL "pgweir_check"

struct value {
	bool binary, null;
	uint32_t type;
	struct span bytes;
};

static void write_bind_values(struct buf *out, const struct value *values, unsigned n)
{
	size_t mark_at = write_begin(out, 'B');

	buf_add_cstr(out, PORTAL);
	buf_add_cstr(out, "");
	buf_add_u16(out, (uint16_t)n);
	for (unsigned i = 0; i < n; i++)
		buf_add_u16(out, values[i].binary);
	buf_add_u16(out, (uint16_t)n);
	for (unsigned i = 0; i < n; i++) {
		buf_add_u32(out, values[i].null ? UINT32_MAX : (uint32_t)values[i].bytes.n);
		if (!values[i].null)
			buf_add_span(out, values[i].bytes);
	}
	buf_add_u16(out, 0);
	write_end(out, mark_at);
}

/* One hidden statement. The client's unnamed one has to be parsed again, which is done where it is needed. */
static void send_hidden(struct session *s, struct span sql, const struct value *values, unsigned n,
			uint32_t index, uint32_t last)
{
	struct backend *b = s->backend;
	struct buf *out = conn_out(b->conn);
	uint32_t oids[TARGET_VALUES_MAX + 3];

	for (unsigned i = 0; i < n; i++)
		oids[i] = values[i].type;
	write_parse(out, span_str(""), sql, oids, (uint16_t)n);
	backend_unnamed(b, UNNAMED_UNKNOWN);
	write_bind_values(out, values, n);
	write_execute(out, span_str(PORTAL), 0);
	write_close(out, 'P', span_str(PORTAL));
	check_expect(s, EXPECT_PARSE, 0);
	check_expect(s, EXPECT_BIND, 0);
	check_expect(s, EXPECT_EXECUTE, index);
	check_expect(s, EXPECT_CLOSE, last);
}

static struct value value_of(const struct target_value *t, const struct reads_param *params, int nparams)
{
	struct value v = {.type = t->type, .binary = t->binary, .bytes = t->bytes};
	bool integer = t->type == DATUM_INT2 || t->type == DATUM_INT4 || t->type == DATUM_INT8;

	if (t->param == 0)
		return v;
	if ((int)t->param > nparams) {
		v.null = true;
		return v;
	}
	v.null = params[t->param - 1].null;
	v.binary = params[t->param - 1].binary;
	v.bytes = params[t->param - 1].value;
	if (integer && v.binary) /* the width that the client has sent */
		v.type = v.bytes.n == 2 ? DATUM_INT2 : v.bytes.n == 4 ? DATUM_INT4 : DATUM_INT8;
	else if (integer)
		v.type = DATUM_INT8; /* may be beyond the column's own */
	return v;
}

/* What of the row tells whether it is as it was at the snapshot. Its xmin is completed there: nobody has changed it since. A transaction
 * that the snapshot does not show completed has; but it may be a subtransaction, which snapshots do not list: then it counts only if
 * one that was running, older than it, has committed since. What is still in progress and yet to be seen is our own. All of this on
 * 64-bit numbers: the row's is taken as the nearest below the next one, which for a row that is frozen is at most too young. */
static const char look_begin[] =
	"SELECT pg_catalog.count(*), pg_catalog.count(*) FILTER (WHERE NOT (CASE WHEN x.f < $%u THEN true"
	" WHEN pg_catalog.pg_xact_status(x.f::pg_catalog.text::pg_catalog.xid8) = 'in progress' THEN true"
	" WHEN x.f >= $%u OR x.f = ANY ($%u) THEN false ELSE NOT EXISTS (SELECT FROM pg_catalog.unnest($%u) t"
	" WHERE t < x.f AND coalesce(pg_catalog.pg_xact_status(t::pg_catalog.text::pg_catalog.xid8), 'committed') = 'committed')"
	" END)) FROM (SELECT h.n - ((h.n - r.xmin::pg_catalog.text::pg_catalog.int8) & 4294967295) AS f FROM (SELECT"
	" pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::pg_catalog.text::pg_catalog.int8 AS n) h, ";

struct asking {
	struct session *s;
	struct target *target;
	uint32_t part;
	const struct reads_param *params;
	int nparams;
	bool removes;
};

/* The snapshot as three texts; a list that is too long is left out, and xmax brought down to xmin. */
static void snapshot_values(const struct snapshot *snap, struct buf *text, struct value values[3])
{
	bool listed = snap->nxip <= XIP_MAX;
	size_t at[4] = {0};
	char number[32];

	for (int i = 0; i < 3; i++) {
		if (i < 2) {
			snprintf(number, sizeof number, "%" PRIu64,
				 i == 1 && listed ? snap->xmax : snap->xmin);
			buf_add_span(text, span_str(number));
		} else {
			buf_add_u8(text, '{');
			for (uint32_t k = 0; listed && k < snap->nxip; k++) {
				snprintf(number, sizeof number, "%s%" PRIu64, k > 0 ? "," : "", snap->xip[k]);
				buf_add_span(text, span_str(number));
			}
			buf_add_u8(text, '}');
		}
		at[i + 1] = text->len;
	}
	for (int i = 0; i < 3; i++)
		values[i] = (struct value){.type = i < 2 ? INT8_OID : INT8_ARRAY_OID,
					   .bytes = span_of(text->p + at[i], at[i + 1] - at[i])};
}

/* Lock, then look: a new statement sees what the lock has waited for. */
static bool ask(struct asking *a, const struct snapshot *snap, bool last)
{
	struct target_value wanted[TARGET_VALUES_MAX];
	struct value values[TARGET_VALUES_MAX + 3];
	struct buf from, sql, text;
	char begin[1024];
	unsigned n = 0;
	bool ok;

	buf_init(&from, SQL_MAX);
	buf_init(&sql, 2 * SQL_MAX);
	buf_init(&text, SQL_MAX);
	ok = target_from(a->target, a->part, 1, &from, wanted, &n);
	for (unsigned i = 0; ok && i < n; i++)
		values[i] = value_of(&wanted[i], a->params, a->nparams);
	if (ok) {
		snapshot_values(snap, &text, &values[n]);
		buf_add_span(&sql, span_str("SELECT 1 FROM "));
		buf_add_span(&sql, buf_span(&from));
		buf_add_span(&sql, span_str(a->removes ? " FOR UPDATE" : " FOR NO KEY UPDATE"));
		ok = !sql.failed && !text.failed;
	}
	if (ok) {
		send_hidden(a->s, buf_span(&sql), values, n, CHECK_INDEX_LOCK, 0);
		snprintf(begin, sizeof begin, look_begin, n + 1, n + 2, n + 3, n + 3);
		buf_clear(&sql);
		buf_add_span(&sql, span_str(begin));
		buf_add_span(&sql, buf_span(&from));
		buf_add_span(&sql, span_str(") x"));
		ok = !sql.failed;
	}
	if (ok)
		send_hidden(a->s, buf_span(&sql), values, n + 3, CHECK_INDEX_LOOK,
			    last ? CHECK_INDEX_LAST : 0);
	buf_free(&from);
	buf_free(&sql);
	buf_free(&text);
	return ok;
}

/* The snapshot that the rows of a part have to be as old as; NULL = they were not read. *expected_r: rows that were shown. */
static const struct snapshot *oldest(struct asking *a, const struct target_part *part,
				     const struct catalog *catalog, int64_t *expected_r)
{
	const struct marks *m = a->s->checking->marks;
	const struct catalog_relation *rel = catalog_find_oid(catalog, part->relid);
	uint32_t relid, place = MARKS_NONE, one;
	uint64_t keys[CHECK_ROWS];
	bool shown = true, all = true;
	unsigned n = 0;

	*expected_r = 0;
	if (!check_names_certain(a->s))
		return marks_snapshot(m, marks_find_any(m, 0));
	if (reads_rows(part->reads, 0, a->params, (uint16_t)a->nparams, &relid, keys, CHECK_ROWS, &n) !=
	    READS_SOME)
		return marks_snapshot(m, marks_find_any(m, part->relid));
	for (unsigned i = 0; i < n; i++) {
		one = marks_find_row(m, part->relid, keys[i], &shown);
		place = one < place ? one : place;
		all = all && shown;
	}
	if (rel != NULL && rel->nancestors > 0) {
		one = marks_find_any(m, 0);
		place = one < place ? one : place;
		for (uint16_t i = 0; i < rel->nancestors; i++) {
			one = marks_find_any(m, rel->ancestors[i]);
			place = one < place ? one : place;
		}
	}
	if (all && n > 0 && !a->s->checking->removed)
		*expected_r = n;
	return place == MARKS_NONE ? NULL : marks_snapshot(m, place);
}

static bool only_inserts(const struct stmt *stmt)
{
	return stmt->text.n > 6 && strncasecmp((const char *)stmt->text.p, "insert", 6) == 0;
}

enum check_asked check_ask(struct session *s, struct stmt *stmt, const struct front_bind *bind)
{
	struct reads_session rs;
	struct reads_param params[CHECK_PARAMS];
	struct asking a = {.s = s, .params = params, .nparams = serve_params(s, stmt, bind, params)};
	const struct snapshot *found[CHECK_PARTS];
	const struct catalog *catalog = NULL;
	struct checking *c = s->checking;
	struct target_part part;
	uint32_t relid;
	uint32_t parts[CHECK_PARTS];
	uint64_t epoch;
	unsigned n = 0;

	if (s->served != NULL)
		catalog = served_catalog(s->served, &epoch);
	if (catalog == NULL)
		return only_inserts(stmt) || marks_find_any(c->marks, 0) == MARKS_NONE ? CHECK_ASKED_NOTHING
										       : CHECK_ASKED_IN_VAIN;
	if (a.nparams >= 0 && key_reads(s, &rs))
		a.target = memo_target(stmt, catalog, &rs);
	if (a.target == NULL) {
		count(&s->house->host.counters, row_unchecked);
		return CHECK_ASKED_NOTHING;
	}
	for (unsigned i = 0; target_missing(a.target, i, &relid); i++)
		if (marks_find_any(c->marks, relid) != MARKS_NONE)
			count(&s->house->host.counters, row_unchecked);
	for (uint32_t i = 0; target_part(a.target, i, &part); i++) {
		int64_t expected;

		if (n == CHECK_PARTS)
			return CHECK_ASKED_IN_VAIN;
		a.removes = part.removes;
		found[n] = oldest(&a, &part, catalog, &expected);
		c->removed |= part.removes;
		if (found[n] == NULL)
			continue;
		c->expected = expected; /* told apart only for a single part */
		parts[n++] = i;
	}
	if (n > 1)
		c->expected = 0;
	for (unsigned i = 0; i < n; i++) {
		target_part(a.target, parts[i], &part);
		a.part = parts[i];
		a.removes = part.removes;
		if (!ask(&a, found[i], i + 1 == n))
			return CHECK_ASKED_IN_VAIN;
	}
	return n > 0 ? CHECK_ASKED_ALL : CHECK_ASKED_NOTHING;
}
