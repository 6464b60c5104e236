#include "proxy/session/rows.h"

#include "protocol/back.h"
#include "protocol/datum.h"
#include "protocol/frame.h"

#define COLUMN_MAX 1700u /* columns of an answer: MaxTupleAttributeNumber is 1664 */

struct gathering {
	const struct rows_rule *rules;
	unsigned nrules;
	uint64_t *keys;
	unsigned n, max;
	struct buf value;
};

/* The analysis says where the key is; PostgreSQL must say the same, when it says anything. */
static bool described(const struct gathering *g, struct span body)
{
	struct back_column column;
	unsigned agreed = 0, wanted = 0;
	int n = back_count(body);
	size_t at = 2;

	for (unsigned r = 0; r < g->nrules; r++)
		wanted += g->rules[r].rule.ncols;
	for (int k = 0; k < n; k++) {
		if (back_column_next(body, &at, &column) != 0)
			return false;
		for (unsigned r = 0; r < g->nrules; r++) {
			const struct reads_rule *rule = &g->rules[r].rule;

			for (unsigned i = 0; i < rule->ncols; i++)
				agreed += rule->at[i] == k && column.table_oid == rule->relid &&
					  (int16_t)column.attnum == rule->attnums[i];
		}
	}
	return n >= 0 && agreed == wanted;
}

struct field {
	bool null;
	struct span value;
};

static bool add_row(struct gathering *g, const struct rows_rule *r, const struct field *fields, unsigned n)
{
	struct span values[READS_KEY_MAX];
	size_t at[READS_KEY_MAX + 1];
	uint64_t key;

	buf_clear(&g->value);
	for (unsigned i = 0; i < r->rule.ncols; i++) {
		const struct field *field;

		if (r->rule.at[i] >= n)
			return false;
		field = &fields[r->rule.at[i]];
		if (field->null)
			return true; /* an outer join found no row */
		at[i] = g->value.len;
		if (datum_canon(r->rule.types[i], (r->binary >> i & 1) != 0, field->value, &g->value) !=
		    DATUM_OK)
			return false;
	}
	at[r->rule.ncols] = g->value.len;
	for (unsigned i = 0; i < r->rule.ncols; i++)
		values[i] = span_skip(span_of(g->value.p, at[i + 1]), at[i]);
	key = readkey_row(r->rule.relid, r->rule.ncols, r->rule.attnums, values);
	if (g->n > 0 && g->keys[g->n - 1] == key)
		return true;
	if (g->n == g->max)
		return false;
	g->keys[g->n++] = key;
	return true;
}

static bool read_row(struct gathering *g, struct span body)
{
	struct field fields[COLUMN_MAX];
	int n = back_count(body);
	size_t at = 2;

	if (n < 0 || n > (int)COLUMN_MAX)
		return false;
	for (int i = 0; i < n; i++) {
		int found = back_value_next(body, &at, &fields[i].value);

		if (found < 0)
			return false;
		fields[i].null = found == 1;
	}
	for (unsigned r = 0; r < g->nrules; r++)
		if (!add_row(g, &g->rules[r], fields, (unsigned)n))
			return false;
	return true;
}

bool rows_of_answer(struct span answer, const struct rows_rule *rules, unsigned nrules, uint64_t *keys_r,
		    unsigned max, unsigned *nkeys_r)
{
	struct gathering g = {.rules = rules, .nrules = nrules, .keys = keys_r, .max = max};
	struct frame frame;
	const char *why;
	bool ok = true;
	size_t used;

	buf_init(&g.value, 1u << 20);
	while (ok && answer.n > 0) {
		ok = frame_next(answer, UINT32_MAX / 2, &frame, &used, &why) == FRAME_OK;
		if (!ok)
			break;
		if (frame.type == 'T')
			ok = described(&g, frame.body);
		else if (frame.type == 'D')
			ok = read_row(&g, frame.body);
		answer = span_skip(answer, used);
	}
	buf_free(&g.value);
	*nkeys_r = g.n;
	return ok;
}
