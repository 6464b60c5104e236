/* Records of pgoutput. Tables are told by OID; only those of the publication come, and transactions without any of them (DDL
 * among them) do not come at all. */
#include "proxy/origin/apply_private.h"
#include "protocol/pgoutput.h"

static int row(struct apply *a, const struct pgoutput *p, enum decoding_kind kind, const char **why_r)
{
	struct span columns = relations_columns(&a->relations, p->oid);
	const struct row row = {
		.kind = kind,
		.new_tuple = {.bytes = p->new_tuple, .columns = columns},
		.old_key = {.bytes = p->old_tuple, .columns = columns, .key_only = p->old_kind == 'K'},
	};

	if (columns.p == NULL) {
		*why_r = "a row of a relation that was not announced";
		return -1;
	}
	return apply_row(a, apply_known(a, catalog_find_oid(a->catalog, p->oid)), &row, why_r);
}

static void truncated(struct apply *a, const struct pgoutput *p)
{
	a->nrows++;
	a->change.nchanges++;
	for (uint32_t i = 0; i < p->noids; i++) {
		const struct catalog_relation *rel =
			apply_known(a, catalog_find_oid(a->catalog, pgoutput_truncated(p, i)));

		if (rel != NULL)
			apply_touch(a, rel, true);
	}
}

static bool in_order(const struct apply *a, const struct pgoutput *p)
{
	switch (p->kind) {
	case PGOUTPUT_BEGIN: return !a->open;
	case PGOUTPUT_MESSAGE: return a->open || !p->transactional;
	default: return a->open;
	}
}

int apply_pgoutput(struct apply *a, struct span record, enum apply_event *event_r, struct err *err)
{
	enum apply_event event = APPLY_NONE;
	const char *why = "out of order";
	struct pgoutput p;
	int rc = 0;

	if (pgoutput_parse(record, &p, &why) != 0)
		return apply_bad(err, why);
	if (!in_order(a, &p))
		return apply_bad(err, "out of order");
	switch (p.kind) {
	case PGOUTPUT_BEGIN: apply_begin(a, p.xid); break;
	case PGOUTPUT_INSERT: rc = row(a, &p, DECODING_INSERT, &why); break;
	case PGOUTPUT_UPDATE: rc = row(a, &p, DECODING_UPDATE, &why); break;
	case PGOUTPUT_DELETE: rc = row(a, &p, DECODING_DELETE, &why); break;
	case PGOUTPUT_TRUNCATE: truncated(a, &p); break;
	case PGOUTPUT_RELATION:
		why = "no memory for a relation, or too many of them";
		rc = relations_put(&a->relations, p.oid, p.columns);
		break;
	case PGOUTPUT_MESSAGE: event = apply_message(a, p.prefix, p.content, p.transactional); break;
	case PGOUTPUT_COMMIT:
		a->open = false;
		a->end = p.end;
		event = APPLY_COMMIT;
		break;
	case PGOUTPUT_TYPE:
	case PGOUTPUT_ORIGIN: break;
	}
	if (rc != 0)
		return apply_bad(err, why);
	*event_r = event;
	return 0;
}
