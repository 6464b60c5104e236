#include "proxy/session/hello.h"

#include "config/users.h"
#include "proxy/base/check.h"
#include "proxy/base/utf8.h"
#include "protocol/write.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static char *text_of(struct span v)
{
	char *text = check_alloc(v.n + 1);

	if (v.n > 0)
		memcpy(text, v.p, v.n);
	return text;
}

/* --- replication --- */

/* 1, 0, or -1: no word for either. Any beginning of a word will do that no other one has. */
static int truth(struct span v)
{
	static const struct {
		const char *word;
		size_t least;
		int value;
	} words[] = {{"true", 1, 1}, {"false", 1, 0}, {"yes", 1, 1}, {"no", 1, 0},
		     {"on", 2, 1},   {"off", 2, 0},   {"1", 1, 1},   {"0", 1, 0}};

	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (v.n >= words[i].least && v.n <= strlen(words[i].word) &&
		    strncasecmp(words[i].word, (const char *)v.p, v.n) == 0)
			return words[i].value;
	return -1;
}

void hello_replication(struct session *s, struct span value)
{
	bool logical = span_eq(value, span_str("database"));
	int physical = logical ? 0 : truth(value);
	char why[256];

	free(s->replication);
	s->replication = logical ? text_of(value) : physical == 1 ? text_of(span_str("true")) : NULL;
	if (logical || physical >= 0)
		return;
	snprintf(why, sizeof why, "invalid value for parameter \"replication\": \"%.*s\"",
		 (int)(value.n < 100 ? value.n : 100), (const char *)value.p);
	free(s->arrival->bad_wish);
	s->arrival->bad_wish = text_of(span_str(why));
}

bool hello_is_physical(const struct session *s)
{
	return s->replication != NULL && strcmp(s->replication, "database") != 0;
}

/* --- names --- */

/* PostgreSQL would cut them itself, so several names would be one: rules for that one have to hold for all of them. */
void hello_clip_names(struct session *s)
{
	const struct config *c = s->config;
	const struct config_database *db = config_database(c, s->database);

	if (strlen(s->user) >= HELLO_NAME && users_find(c->userlist, s->user) == NULL &&
	    config_user(c, s->user) == NULL)
		s->user[HELLO_NAME - 1] = '\0';
	if (strlen(s->database) >= HELLO_NAME && (db == NULL || db->fallback))
		s->database[HELLO_NAME - 1] = '\0';
}

/* --- application_name --- */

/* Whole characters only. */
static size_t clipped(struct span v)
{
	size_t at = 0, n;

	if (v.n < HELLO_NAME)
		return v.n;
	while ((n = utf8_length(span_skip(v, at))), at + (n == 0 ? 1 : n) < HELLO_NAME)
		at += n == 0 ? 1 : n;
	return at;
}

static void note_clipped(struct session *s, struct span whole, struct span cut)
{
	struct arrival *a = s->arrival;

	free(a->notice);
	if (asprintf(&a->notice, "identifier \"%.*s\" will be truncated to \"%.*s\"", (int)whole.n,
		     (const char *)whole.p, (int)cut.n, (const char *)cut.p) < 0)
		a->notice = NULL; /* it would only have told */
}

struct span hello_application_name(struct session *s, struct span value, char room[HELLO_NAME])
{
	struct span cut = span_of(value.p, clipped(value));
	size_t n;

	if (cut.n < value.n)
		note_clipped(s, value, cut);
	memcpy(room, cut.p, cut.n);
	for (size_t at = 0; at < cut.n; at += n == 0 ? 1 : n) {
		n = utf8_length(span_skip(cut, at));
		if (n == 0)
			room[at] = '?';
	}
	return span_of(room, cut.n);
}

bool hello_is_plain(const char *application_name)
{
	for (; *application_name != '\0'; application_name++)
		if (*application_name < 32 || *application_name > 126)
			return false;
	return true;
}

void hello_tell_notice(struct session *s)
{
	if (s->arrival->notice != NULL)
		write_error(conn_out(s->client), 'N', "NOTICE", "42622", s->arrival->notice, NULL, NULL);
}
