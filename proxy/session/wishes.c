#include "proxy/session/wishes.h"

#include "config/units.h"
#include "proxy/base/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#define STALENESS_MIN_US 1000u
#define STALENESS_MAX_US 3600000000u

static const char *const names[NWISHES] = {
#define W(id, name, field) WISHES_PREFIX name,
#include "proxy/session/wishes.def"
#undef W
};

static const char *const coherence_words[] = {
#define WORD(id, word) word,
	CONFIG_VALUES_coherence(WORD)
#undef WORD
};

static struct wish_values configured(const struct policy *policy)
{
	return (struct wish_values){.coherence = policy->coherence,
				    .max_staleness = policy->max_staleness,
				    .repeatable_context = policy->repeatable_context,
				    .row_version_check = policy->row_version_check};
}

void wishes_init(struct wishes *w, const struct policy *policy)
{
	*w = (struct wishes){.start = configured(policy)};
	w->before = w->session = w->now = w->start;
}

static void drop_marks(struct wishes *w)
{
	free(w->mark);
	w->mark = NULL;
	w->nmarks = 0;
}

static void drop_notes(struct wishes *w)
{
	free(w->note);
	w->note = NULL;
	w->nnotes = 0;
}

void wishes_free(struct wishes *w)
{
	drop_marks(w);
	drop_notes(w);
}

/* Room for one more behind `n`; when there are `max` the oldest goes. */
static void *more(void *list, unsigned *n, unsigned max, size_t size)
{
	if (*n == max) {
		memmove(list, (char *)list + size, --*n * size);
		return list;
	}
	list = realloc(list, (*n + 1) * size);
	check(list != NULL);
	return list;
}

bool wishes_name(const char *name)
{
	return strncasecmp(name, WISHES_PREFIX, sizeof WISHES_PREFIX - 1) == 0;
}

enum wish wishes_find(const char *name)
{
	unsigned i = 0;

	while (i < NWISHES && strcasecmp(names[i], name) != 0)
		i++;
	return (enum wish)i;
}

static int read_coherence(const char *text, enum config_coherence *out)
{
	for (size_t i = 0; i < sizeof coherence_words / sizeof *coherence_words; i++)
		if (strcasecmp(coherence_words[i], text) == 0) {
			*out = (enum config_coherence)i;
			return 0;
		}
	return -1;
}

int wishes_read(enum wish wish, const char *text, struct wish_values *values)
{
	const char *why;
	uint64_t us;

	switch (wish) {
	case WISH_COHERENCE: return read_coherence(text, &values->coherence);
	case WISH_MAX_STALENESS:
		if (units_duration(text, &us, &why) != 0 || us < STALENESS_MIN_US || us > STALENESS_MAX_US)
			return -1;
		values->max_staleness = us;
		return 0;
	case WISH_REPEATABLE: return units_bool(text, &values->repeatable_context, &why);
	case WISH_VERSION_CHECK: return units_bool(text, &values->row_version_check, &why);
	case NWISHES: break;
	}
	return -1;
}

static void duration_text(uint64_t us, char *out, size_t n)
{
	if (us % 1000000 == 0)
		snprintf(out, n, "%llus", (unsigned long long)(us / 1000000));
	else if (us % 1000 == 0)
		snprintf(out, n, "%llums", (unsigned long long)(us / 1000));
	else
		snprintf(out, n, "%lluus", (unsigned long long)us);
}

void wishes_text(enum wish wish, const struct wish_values *values, char *out, size_t n)
{
	out[0] = '\0';
	switch (wish) {
	case WISH_COHERENCE: snprintf(out, n, "%s", coherence_words[values->coherence]); break;
	case WISH_MAX_STALENESS: duration_text(values->max_staleness, out, n); break;
	case WISH_REPEATABLE: snprintf(out, n, "%s", values->repeatable_context ? "on" : "off"); break;
	case WISH_VERSION_CHECK: snprintf(out, n, "%s", values->row_version_check ? "on" : "off"); break;
	case NWISHES: break;
	}
}

_Static_assert(NWISHES <= 8, "a bit for each in wish_values.set");

static unsigned char bit_of(enum wish wish)
{
	return (unsigned char)(1u << wish);
}

static void copy_one(enum wish wish, struct wish_values *to, const struct wish_values *from)
{
	to->set = (unsigned char)((to->set & ~bit_of(wish)) | (from->set & bit_of(wish)));
	switch (wish) {
#define W(id, name, field)               \
	case WISH_##id:                  \
		to->field = from->field; \
		break;
#include "proxy/session/wishes.def"
#undef W
	case NWISHES: break;
	}
}

void wishes_start(struct wishes *w, const bool wished[NWISHES], const struct wish_values *values)
{
	for (unsigned i = 0; i < NWISHES; i++)
		if (wished[i]) {
			copy_one((enum wish)i, &w->start, values);
			w->start.set |= bit_of((enum wish)i);
		}
	w->before = w->session = w->now = w->start;
}

static void renew(struct wish_values *values, const struct wish_values *from)
{
	for (unsigned i = 0; i < NWISHES; i++)
		if (!(values->set & bit_of((enum wish)i)))
			copy_one((enum wish)i, values, from);
}

void wishes_renew(struct wishes *w, const struct policy *policy)
{
	struct wish_values from = configured(policy);

	renew(&w->start, &from);
	renew(&w->before, &from);
	renew(&w->session, &from);
	renew(&w->now, &from);
}

/* Outside of a transaction it holds at once. */
static void hold(struct wishes *w, bool in_transaction)
{
	if (!in_transaction)
		wishes_end(w, true);
}

const char *wishes_change(struct wishes *w, enum setting_action action, const char *name, const char *value,
			  bool in_transaction)
{
	enum wish wish = wishes_find(name);
	struct wish_values values = w->now;

	if (wish == NWISHES)
		return "42704";
	if (setting_resets(action) || value == NULL)
		copy_one(wish, &values, &w->start);
	else if (wishes_read(wish, value, &values) != 0)
		return "22023";
	else
		values.set |= bit_of(wish);
	if (setting_is_local(action) && !in_transaction)
		return NULL;
	copy_one(wish, &w->now, &values);
	if (!setting_is_local(action))
		copy_one(wish, &w->session, &values);
	hold(w, in_transaction);
	return NULL;
}

void wishes_reset(struct wishes *w, bool in_transaction)
{
	w->now = w->session = w->start;
	hold(w, in_transaction);
}

void wishes_end(struct wishes *w, bool committed)
{
	w->now = committed ? w->session : w->before;
	w->before = w->session = w->now;
	drop_marks(w);
}

/* --- savepoints --- */

static void save(struct wishes *w, const char *name)
{
	struct wish_mark *mark;

	w->mark = more(w->mark, &w->nmarks, WISHES_MARKS, sizeof *w->mark);
	mark = &w->mark[w->nmarks++];
	snprintf(mark->name, sizeof mark->name, "%s", name);
	mark->session = w->session;
	mark->now = w->now;
}

/* The newest of that name; those behind it go. `keep` = it stays itself. */
static void back_to(struct wishes *w, const char *name, bool restore)
{
	for (unsigned i = w->nmarks; i > 0; i--) {
		const struct wish_mark *mark = &w->mark[i - 1];

		if (strcmp(mark->name, name) != 0)
			continue;
		if (restore) {
			w->session = mark->session;
			w->now = mark->now;
		}
		w->nmarks = restore ? i : i - 1;
		return;
	}
}

void wishes_note(struct wishes *w, const struct stmt_facts *f)
{
	struct wish_note *note;

	if (f->tag == NULL || f->command == COMMAND_BEGIN)
		return;
	w->note = more(w->note, &w->nnotes, WISHES_NOTES, sizeof *w->note);
	note = &w->note[w->nnotes++];
	note->tag = f->tag;
	snprintf(note->name, sizeof note->name, "%s", f->name != NULL ? f->name : "");
}

static bool is_txn_tag(struct span tag)
{
	return span_eq(tag, span_str("COMMIT")) || span_eq(tag, span_str("ROLLBACK")) ||
	       span_eq(tag, span_str("SAVEPOINT")) || span_eq(tag, span_str("RELEASE"));
}

void wishes_answered(struct wishes *w, struct span tag)
{
	struct wish_note note = {.tag = "", .name = ""};

	if (!is_txn_tag(tag))
		return;
	if (w->nnotes > 0) {
		note = w->note[0];
		memmove(w->note, w->note + 1, --w->nnotes * sizeof *w->note);
	}
	if (span_eq(tag, span_str("COMMIT")))
		wishes_end(w, true);
	else if (span_eq(tag, span_str("SAVEPOINT")))
		save(w, note.name);
	else if (span_eq(tag, span_str("RELEASE")))
		back_to(w, note.name, false);
	else if (note.name[0] != '\0')
		back_to(w, note.name, true);
	else
		wishes_end(w, false); /* also of a COMMIT in a failed transaction */
}

void wishes_settled(struct wishes *w)
{
	drop_notes(w);
}
