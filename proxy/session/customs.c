/* Custom settings (app.x). They do not show in pg_settings, so code that sets them unseen is found out by asking for the names that may
 * be meant. And once set they are known to a backend for ever, empty, where PostgreSQL says "unrecognized configuration
 * parameter" to a session that has never set them: a client that has asked so gets a backend that does not know the name. */
#include "proxy/session/session_private.h"

#include <stdio.h>
#include <strings.h>

#define NAMES_MAX 32 /* that one statement may mean, or a session has asked for in vain */

bool customs_known(const struct session *s, const char *name)
{
	return settings_get(&s->image, name) != NULL || settings_get(&s->defined, name) != NULL ||
	       settings_get(&s->startup, name) != NULL;
}

/* --- set unseen --- */

static void guess(struct session *s, const char *name)
{
	struct span mark = span_str("guess");

	if (settings_get(&s->touched, name) == NULL)
		settings_set(&s->touched, span_str(name), &mark);
}

/* What stands behind SET, and, when `quoted`, in quotes or at the begin of a value may be a setting's name. */
static void note_words(struct session *s, struct span bytes, bool quoted)
{
	char name[CUSTOM_NAME_MAX + 1];
	uint8_t before;
	unsigned nset = 0, nquoted = 0;

	for (size_t at = 0; custom_name_next(bytes, &at, name, &before);) {
		const uint8_t *end = bytes.p + at - strlen(name);
		bool set = end - bytes.p >= 4 && (strncasecmp((const char *)end - 4, "set ", 4) == 0 ||
						  strncasecmp((const char *)end - 4, "cal ", 4) == 0 ||
						  strncasecmp((const char *)end - 4, "ion ", 4) == 0);

		if (set ? nset++ < NAMES_MAX
			: quoted && (before == '\'' || before < ' ') && nquoted++ < NAMES_MAX)
			guess(s, name);
	}
}

void customs_note_words(struct session *s, struct span bytes)
{
	note_words(s, bytes, true);
}

static bool calls_set_config(struct span text)
{
	static const char call[] = "set_config";
	const uint8_t *p = text.p, *end = text.p + text.n;

	for (; p < end && (p = memchr(p, '_', (size_t)(end - p))) != NULL; p++)
		if (p - text.p >= 3 && (size_t)(end - p) >= sizeof call - 4 &&
		    strncasecmp((const char *)p - 3, call, sizeof call - 1) == 0)
			return true;
	return false;
}

/* One that is too long to be looked at in another way is mostly rows, whose values look like all kinds of things. */
void customs_note_long(struct session *s, struct span text)
{
	note_words(s, text, calls_set_config(text));
}

/* The names that functions of the database mention (hooks.h). */
void customs_note_code(struct session *s)
{
	const char *names = settings_get(&s->backend->defaults, "customs");
	struct span text = span_str(names != NULL ? names : "");
	char name[CUSTOM_NAME_MAX + 1];
	uint8_t before;

	for (size_t at = 0; custom_name_next(text, &at, name, &before);)
		guess(s, name);
}

/* --- known for ever --- */

void customs_spelling(const struct session *s, const char *name, char out[CUSTOMS_SPELLING])
{
	const char *known = settings_spelling(&s->image, name);

	if (known == NULL)
		known = settings_spelling(&s->defined, name);
	snprintf(out, CUSTOMS_SPELLING, "%s", known != NULL ? known : name);
}

bool customs_learned(struct session *s, const char *name, const char *mark, const struct span *value)
{
	struct backend *b = s->backend;
	struct span empty = span_str("");

	if (!custom_name(name))
		return false;
	if (value != NULL && value->n == 0 && strcmp(mark, "guess") == 0 && !customs_known(s, name) &&
	    settings_get(&b->customs, name) != NULL)
		return true; /* another client has made it known here; this one has nothing to do with it */
	if (value != NULL && !tries_library(b, name)) {
		settings_set(&b->customs, span_str(name), &empty);
		pool_has_custom(s->pool);
	}
	if (value == NULL || value->n > 0)
		return false;
	if (strcmp(mark, "reset") == 0 && settings_get(&s->startup, name) != NULL) {
		struct span back = span_str(settings_get(&s->startup, name));

		settings_set(&s->image, span_str(name), &back);
		settings_set(&b->image, span_str(name), NULL);
		return true;
	}
	if (!tries_library(b, name)) /* its library may refuse to make it known */
		settings_set(&s->defined, span_str(name), &empty);
	settings_set(&s->image, span_str(name), NULL);
	settings_set(&b->image, span_str(name), NULL);
	return true;
}

bool customs_defined_here(const struct session *s)
{
	for (unsigned i = 0; i < s->defined.n; i++)
		if (settings_get(&s->backend->customs, s->defined.at[i].name) == NULL)
			return false;
	return true;
}

void customs_define(struct session *s)
{
	struct backend *b = s->backend;
	struct span empty = span_str("");

	for (unsigned i = 0; i < s->defined.n; i++) {
		struct span v[2] = {span_str(s->defined.at[i].name), empty};

		if (settings_get(&b->customs, s->defined.at[i].name) != NULL)
			continue;
		backend_sys(b, SYS_SET, v, 2, WHY_IMAGE, 0);
		settings_set(&b->customs, v[0], &empty);
	}
}

/* --- asked for without having been set --- */

static void ask_text(struct session *s, struct span text)
{
	struct span empty = span_str("");
	char name[CUSTOM_NAME_MAX + 1];
	uint8_t before;

	for (size_t at = 0; s->unknowns.n < NAMES_MAX && custom_name_next(text, &at, name, &before);)
		if (!customs_known(s, name)) {
			settings_set(&s->unknowns, span_str(name), &empty);
			s->lend.strict = true;
		}
}

static bool reads_settings(const struct stmt *stmt)
{
	for (int i = 0; i < stmt->facts->nstmts; i++)
		if (stmt->facts->stmts[i].command == COMMAND_SHOW)
			return true;
	return memmem(stmt->text.p, stmt->text.n, "current_setting", 15) != NULL;
}

/* Does it name what reads a setting that the client has not set (hooks.h)? A text that names the setting as well sets it. */
static void ask_code(struct session *s, struct span text)
{
	const char *at = s->defaults != NULL ? settings_get(&s->defaults->defaults, "readers") : NULL;
	struct span empty = span_str("");

	while (at != NULL && *at != '\0' && s->unknowns.n < NAMES_MAX) {
		size_t n = strcspn(at, " "), word = strcspn(at, "=");
		char name[CUSTOM_NAME_MAX + 1];

		if (word < n && n - word - 1 < sizeof name) {
			memcpy(name, at + word + 1, n - word - 1);
			name[n - word - 1] = '\0';
			if (!customs_known(s, name) && custom_name_mentioned(text, at, word) &&
			    !custom_name_mentioned(text, name, strlen(name))) {
				settings_set(&s->unknowns, span_str(name), &empty);
				s->lend.strict = true;
			}
		}
		at += n + (at[n] == ' ');
	}
}

void customs_ask(struct session *s, const struct batch *batch)
{
	s->lend.strict = s->picky;
	if (!pool_customs(s->pool))
		return;
	for (unsigned i = 0; i < batch->n; i++) {
		const struct op *op = &batch->op[i];
		struct front_bind bind;
		struct front_parse parse;
		struct span text = {0};
		struct stmt *stmt = NULL, *named;
		const char *why;

		if (op->type == 'Q' && front_query_decode(op->body, &text, &why) == 0)
			stmt = memo_get(s->house->memo, text, span_of(NULL, 0));
		else if (op->type == 'P' && front_parse_decode(op->body, &parse, &why) == 0)
			stmt = memo_get(s->house->memo, parse.query, parse.param_oids);
		else if (op->type == 'B' && front_bind_decode(op->body, &bind, &why) == 0 &&
			 (named = stmts_find(&s->stmts, bind.stmt)) != NULL)
			stmt = stmt_ref(named);
		if (stmt == NULL)
			continue;
		if (reads_settings(stmt)) {
			ask_text(s, stmt->text);
			if (op->type == 'B')
				ask_text(s, op->body);
		} else {
			ask_code(s, stmt->text);
		}
		stmt_unref(stmt);
	}
}

bool customs_fits(const struct lend *lend, const struct backend *b)
{
	const struct session *s =
		(const struct session *)(const void *)((const char *)lend - offsetof(struct session, lend));

	if (s->picky && !tries_fit(&s->image, b))
		return false;
	for (unsigned i = 0; i < s->unknowns.n; i++)
		if (settings_get(&b->customs, s->unknowns.at[i].name) != NULL &&
		    !customs_known(s, s->unknowns.at[i].name))
			return false;
	/* A new one will do, though it knows none: to refuse that, too, would be to close and open them without end. */
	if (lend->strict)
		return true;
	/* Who has set some leaves those that know none to who has not. */
	for (unsigned i = 0; i < s->image.n; i++)
		if (custom_name(s->image.at[i].name) && !tries_library(b, s->image.at[i].name))
			return settings_get(&b->customs, s->image.at[i].name) != NULL;
	return s->defined.n == 0 || settings_get(&b->customs, s->defined.at[0].name) != NULL;
}
