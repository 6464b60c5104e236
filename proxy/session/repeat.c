/* repeatable_context: what a transaction has been answered it is answered again (context.h), for as long as it has not written to what
 * the answer depends on. */
#include "proxy/session/serve_private.h"

static bool wanted(const struct session *s)
{
	return s->wishes.now.repeatable_context && s->txn != TXN_NONE && s->served != NULL;
}

struct context *repeat_context(struct session *s)
{
	if (!wanted(s))
		return NULL;
	if (s->context == NULL) {
		s->context = context_new();
		s->context_changed = 0;
		if (!s->clean)
			context_wrote(s->context, s->served->cache, 0); /* before it was wanted */
	}
	return s->context;
}

bool repeat_goes_on(const struct session *s)
{
	return wanted(s) && s->context != NULL && !context_ended(s->context);
}

static bool keep(struct session *s, struct context_answer *answer)
{
	answer->key = key_span(s);
	answer->epoch = s->dep_epoch;
	answer->relids = s->dep_rels;
	answer->nrels = s->dep_rels_cut ? CONTEXT_RELATIONS + 1 : s->ndep_rels;
	return context_keep(s->context, answer, s->policy->repeatable_context_size);
}

static void count_full(struct session *s, bool kept, bool kept_rows)
{
	if (!kept || !kept_rows)
		count(&s->house->host.counters, context_full);
}

void repeat_keep_hit(struct session *s, struct entry *e, const struct wanted *w)
{
	struct context_answer answer = {.blob = entry_answer(e), .entry = e};
	bool kept;

	if (repeat_context(s) == NULL || context_ended(s->context))
		return;
	kept = keep(s, &answer);
	count_full(s, kept, repeat_rows_hit(s, entry_answer(e), w));
}

void repeat_keep_made(struct session *s, struct blob *blob)
{
	count_full(s, keep(s, &(struct context_answer){.blob = blob}), true);
}

/* Also of an answer that the fill rule has refused: it is what the transaction saw. */
void repeat_keep_fill(struct session *s, struct blob *blob, bool stored)
{
	struct context_answer answer = {.blob = blob, .lease = &s->deps->lease};
	bool kept;

	if (repeat_context(s) == NULL || context_ended(s->context))
		return;
	if (stored)
		answer.entry = cache_find(s->served->cache, key_span(s));
	if (answer.entry != NULL && entry_answer(answer.entry) != blob) {
		entry_unref(answer.entry); /* somebody else's has taken its place */
		answer.entry = NULL;
	}
	kept = keep(s, &answer);
	count_full(s, kept, repeat_rows_fill(s, blob));
	if (answer.entry != NULL)
		entry_unref(answer.entry);
}

/* The only table that it can write; 0 = not sure. */
static uint32_t writes_only(struct session *s, struct stmt *stmt, uint32_t effects)
{
	struct reads_session rs;
	const struct catalog *catalog;
	struct target *target;
	uint64_t epoch;

	if (stmt == NULL || effects != EFFECT_WRITES || (s->pins & ~(1u << PIN_SEQUENCE)) != 0 ||
	    s->asked > 0 || (catalog = served_catalog(s->served, &epoch)) == NULL || !key_reads(s, &rs))
		return 0;
	target = memo_target(stmt, catalog, &rs);
	return target != NULL ? target_only(target) : 0;
}

void repeat_wrote(struct session *s, struct stmt *stmt, uint32_t effects)
{
	if (s->context != NULL && !context_ended(s->context))
		context_wrote(s->context, s->served->cache, writes_only(s, stmt, effects));
}

unsigned repeat_changed(struct session *s)
{
	if (s->context != NULL)
		s->context_changed = context_changed(s->context, s->served->cache);
	return s->context_changed;
}

void repeat_end(struct session *s)
{
	if (s->context == NULL)
		return;
	count_add(&s->house->host.counters, COUNTER_context_changed, repeat_changed(s));
	context_free(&s->context);
}
