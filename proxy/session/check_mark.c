/* What reads leave behind, and which of it was shown. */
#include "proxy/session/check_private.h"

#include "protocol/back.h"

bool check_names_certain(struct session *s)
{
	const uint32_t other = EFFECT_TEMP | EFFECT_RESET_ALL | EFFECT_ROLE | EFFECT_TAINT | EFFECT_DDL;

	return (s->pins & ~(1u << PIN_SEQUENCE)) == 0 && (s->effects & other) == 0 && s->asked == 0 &&
	       settings_get(&s->touched, "search_path") == NULL;
}

unsigned check_mark(struct session *s, struct stmt *stmt, const struct front_bind *bind, uint32_t place)
{
	struct marks *m = s->checking->marks;
	struct reads_param params[CHECK_PARAMS];
	struct reads_session rs;
	const struct catalog *catalog = NULL;
	struct reads *reads = NULL;
	uint64_t keys[CHECK_ROWS], epoch;
	unsigned n, total = 0, i = 0;
	uint32_t relid;
	int nparams = serve_params(s, stmt, bind, params);
	enum reads_rows rows;

	if (s->served != NULL)
		catalog = served_catalog(s->served, &epoch);
	if (catalog != NULL && check_names_certain(s) && key_reads(s, &rs))
		reads = memo_reads(stmt, catalog, &rs);
	if (reads != NULL && reads_reason(reads) == REASON_NO_TABLE)
		return 0;
	if (reads == NULL || nparams < 0 || reads_reason(reads) != REASON_NONE) {
		marks_all(m, place);
		return 0;
	}
	for (; (rows = reads_rows(reads, i, params, (uint16_t)nparams, &relid, keys, CHECK_ROWS, &n)) !=
	       READS_END;
	     i++) {
		const struct catalog_relation *rel = catalog_find_oid(catalog, relid);

		total += n;
		if (rel == NULL || rel->nancestors > 0)
			marks_all(m, place); /* it may be written by its parent's name */
		else if (rows == READS_ANY)
			marks_relation(m, relid, place);
		else
			for (unsigned k = 0; k < n; k++)
				marks_row(m, relid, keys[k], place);
	}
	return i == 1 && rows == READS_END ? total : 0;
}

static unsigned rows_in(struct span tag)
{
	unsigned rows = 0;

	if (tag.n < 8 || memcmp(tag.p, "SELECT ", 7) != 0)
		return 0;
	for (size_t i = 7; i < tag.n && tag.p[i] >= '0' && tag.p[i] <= '9' && rows < CHECK_ROWS; i++)
		rows = rows * 10 + (tag.p[i] - '0');
	return rows;
}

void check_tag(struct session *s, struct span tag)
{
	struct checking *c = s->checking;

	if (c == NULL || c->nopen == 0)
		return;
	if (c->nopen == 1 && c->open_rows > 0 && rows_in(tag) == c->open_rows)
		marks_shown(c->marks, c->open);
	c->nopen = 0;
}

/* The tag of a whole answer. */
static struct span tag_of(struct span answer)
{
	struct span tag = {0};
	struct frame f;
	const char *why;
	size_t used;

	while (answer.n > 0 && frame_next(answer, UINT32_MAX / 2, &f, &used, &why) == FRAME_OK) {
		if (f.type == 'C' && back_complete_decode(f.body, &tag, &why) != 0)
			tag = (struct span){0};
		answer = span_skip(answer, used);
	}
	return tag;
}

void check_served(struct session *s, struct stmt *stmt, const struct front_bind *bind, struct span answer)
{
	static const struct snapshot none;
	const struct snapshot *proven = fresh_snapshot(s->served->fresh);
	struct checking *c;
	uint32_t place;
	unsigned rows;

	if (s->txn == TXN_NONE || !check_wanted(s))
		return;
	c = check_of(s);
	/* The entry is alive after that proof, so it shows all that was completed in it. */
	place = marks_place_now(c->marks, proven != NULL ? proven : &none);
	rows = check_mark(s, stmt, bind, place);
	if (rows > 0 && rows_in(tag_of(answer)) == rows)
		marks_shown(c->marks, place);
}
