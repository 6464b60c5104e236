#include "proxy/admin/command.h"

#include "proxy/admin/run.h"
#include "proxy/admin/shows.h"
#include "proxy/base/check.h"

#include <stdlib.h>
#include <strings.h>

const struct verb commands[] = {
#define COMMAND(words, syntax, args, right, columns, run, tag, help) \
	{words, syntax, ARGS_##args, RIGHT_##right, columns, run, tag, help},
#include "proxy/admin/commands.def"
#undef COMMAND
};
const unsigned command_number = sizeof commands / sizeof commands[0];

#define PARAM(name, value) static const struct column columns_param_##name[] = {{#name, COLUMN_TEXT}, {0}};
#include "proxy/admin/params.def"
#undef PARAM

static const struct verb params[] = {
#define PARAM(name, value) \
	{#name, value, ARGS_NONE, RIGHT_STATS, columns_param_##name, show_param, "SHOW", NULL},
#include "proxy/admin/params.def"
#undef PARAM
};

static const struct verb *param(const char *name)
{
	for (unsigned i = 0; i < sizeof params / sizeof params[0]; i++)
		if (strcasecmp(params[i].words, name) == 0)
			return &params[i];
	return NULL;
}

const char *fake_param(const char *name)
{
	const struct verb *p = param(name);

	return p != NULL ? p->syntax : NULL;
}

/* --- words --- */

enum token_kind { TOKEN_END, TOKEN_WORD, TOKEN_NAME, TOKEN_STRING, TOKEN_MARK, TOKEN_BAD };

struct token {
	enum token_kind kind;
	struct span raw; /* with quotes */
};

struct lexer {
	struct span text;
	size_t at;
};

static int peek(const struct lexer *l, size_t ahead)
{
	return l->at + ahead < l->text.n ? l->text.p[l->at + ahead] : -1;
}

static bool blank(int c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v';
}

static bool wordly(int c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
	       c == '$' || c == '.' || c == '-' || c == '%' || c == '*' || c >= 0x80;
}

/* Blanks and comments. */
static void skip_blank(struct lexer *l)
{
	for (;;) {
		if (blank(peek(l, 0))) {
			l->at++;
		} else if (peek(l, 0) == '-' && peek(l, 1) == '-') {
			while (peek(l, 0) >= 0 && peek(l, 0) != '\n')
				l->at++;
		} else if (peek(l, 0) == '/' && peek(l, 1) == '*') {
			l->at += 2;
			while (peek(l, 0) >= 0 && !(peek(l, 0) == '*' && peek(l, 1) == '/'))
				l->at++;
			l->at = l->at + 2 > l->text.n ? l->text.n : l->at + 2;
		} else {
			return;
		}
	}
}

/* A doubled quote stands for one. */
static bool quoted(struct lexer *l, int quote)
{
	for (l->at++; peek(l, 0) >= 0; l->at++) {
		if (peek(l, 0) != quote)
			continue;
		if (peek(l, 1) != quote) {
			l->at++;
			return true;
		}
		l->at++;
	}
	return false;
}

static struct token next(struct lexer *l)
{
	struct token t = {.kind = TOKEN_END};
	size_t from;
	int c;

	skip_blank(l);
	from = l->at;
	c = peek(l, 0);
	if (c == '"' || c == '\'') {
		t.kind = !quoted(l, c) ? TOKEN_BAD : c == '"' ? TOKEN_NAME : TOKEN_STRING;
	} else if (wordly(c)) {
		t.kind = TOKEN_WORD;
		while (wordly(peek(l, 0)) && !(peek(l, 0) == '-' && peek(l, 1) == '-'))
			l->at++;
	} else if (c >= 0) {
		t.kind = TOKEN_MARK;
		l->at++;
	}
	t.raw = span_of(l->text.p + from, l->at - from);
	return t;
}

static struct token look(const struct lexer *l)
{
	struct lexer copy = *l;

	return next(&copy);
}

static bool is_mark(struct token t, char c)
{
	return t.kind == TOKEN_MARK && t.raw.p[0] == (uint8_t)c;
}

static bool ends(struct token t)
{
	return t.kind == TOKEN_END || is_mark(t, ';');
}

static bool is_word(struct token t, const char *word, size_t n)
{
	return t.kind == TOKEN_WORD && t.raw.n == n && strncasecmp((const char *)t.raw.p, word, n) == 0;
}

/* --- commands --- */

static enum parsed_end near(struct token t, struct err *err, const char *expected)
{
	int n = t.raw.n > 64 ? 64 : (int)t.raw.n;

	if (t.kind == TOKEN_BAD)
		err_state(err, "42601", "unterminated quoted string at or near \"%.*s\"", n,
			  (const char *)t.raw.p);
	else if (t.kind == TOKEN_END)
		err_state(err, "42601", "syntax error at end of input%s%s", expected[0] ? ": expected " : "",
			  expected);
	else
		err_state(err, "42601", "syntax error at or near \"%.*s\"%s%s", n, (const char *)t.raw.p,
			  expected[0] ? ": expected " : "", expected);
	return PARSED_ERROR;
}

/* The words of a row at the head of the text: then the lexer stands behind them. */
static bool take_words(struct lexer *l, const char *words)
{
	struct lexer copy = *l;

	while (words[0] != '\0') {
		size_t n = strcspn(words, " ");

		if (!is_word(next(&copy), words, n))
			return false;
		words += n + (words[n] == ' ');
	}
	*l = copy;
	return true;
}

static char *unquoted(struct token t)
{
	char *text = malloc(t.raw.n + 1);
	size_t n = 0;
	bool in_quotes = t.kind == TOKEN_NAME || t.kind == TOKEN_STRING;
	size_t end = in_quotes ? t.raw.n - 1 : t.raw.n;

	check(text != NULL);
	for (size_t i = in_quotes ? 1 : 0; i < end; i++) {
		text[n++] = (char)t.raw.p[i];
		if (in_quotes && t.raw.p[i] == t.raw.p[0])
			i++;
	}
	text[n] = '\0';
	return text;
}

static bool is_value(struct token t)
{
	return (t.kind == TOKEN_WORD || t.kind == TOKEN_NAME || t.kind == TOKEN_STRING) &&
	       t.raw.n <= COMMAND_ARG_MAX;
}

static enum parsed_end take_value(struct lexer *l, struct parsed *p, unsigned i, struct err *err,
				  const char *expected)
{
	struct token t = next(l);

	if (!is_value(t))
		return near(t, err, expected);
	p->arg[i] = unquoted(t);
	return PARSED_OK;
}

static enum parsed_end take_key_value(struct lexer *l, struct parsed *p, struct err *err)
{
	struct token t;

	if (is_word(look(l), "SESSION", 7) || is_word(look(l), "LOCAL", 5))
		next(l);
	if (take_value(l, p, 0, err, "an option") != PARSED_OK)
		return PARSED_ERROR;
	if (strcasecmp(p->arg[0], "time") == 0 && is_word(look(l), "ZONE", 4)) {
		next(l);
		free(p->arg[0]);
		p->arg[0] = strdup("timezone");
		check(p->arg[0] != NULL);
		return take_value(l, p, 1, err, "a value");
	}
	t = next(l);
	if (!is_mark(t, '=') && !is_word(t, "TO", 2))
		return near(t, err, "=");
	if (take_value(l, p, 1, err, "a value") != PARSED_OK)
		return PARSED_ERROR;
	/* Lists, as of search_path or DateStyle, only matter to settings that are ignored. */
	while (is_mark(look(l), ',') && fake_param(p->arg[0]) != NULL) {
		next(l);
		next(l);
	}
	return PARSED_OK;
}

/* The argument is the number alone. */
static enum parsed_end take_client(struct lexer *l, struct parsed *p, struct err *err)
{
	static const char expected[] = "the id or the ptr of a client";
	struct token t = look(l);
	size_t digits;
	char *arg;

	if (take_value(l, p, 0, err, expected) != PARSED_OK)
		return PARSED_ERROR;
	arg = p->arg[0];
	if (t.kind != TOKEN_NAME && arg[0] == 'c')
		memmove(arg, arg + 1, strlen(arg));
	digits = strspn(arg, "0123456789");
	if (t.kind == TOKEN_NAME || digits == 0 || digits > 19 || arg[digits] != '\0')
		return near(t, err, expected);
	return PARSED_OK;
}

static enum parsed_end take_choice(struct lexer *l, struct parsed *p, struct err *err)
{
	struct token t = look(l);

	if (ends(t))
		return PARSED_OK;
	if (!is_word(t, "WAIT_FOR_SERVERS", 16) && !is_word(t, "WAIT_FOR_CLIENTS", 16))
		return near(t, err, "WAIT_FOR_SERVERS or WAIT_FOR_CLIENTS");
	return take_value(l, p, 0, err, "");
}

static enum parsed_end take_args(struct lexer *l, struct parsed *p, struct err *err)
{
	switch (p->command->args) {
	case ARGS_NONE: return PARSED_OK;
	case ARGS_OPTIONAL_DB:
		if (ends(look(l)))
			return PARSED_OK;
		/* fall through */
	case ARGS_DB: return take_value(l, p, 0, err, "a database");
	case ARGS_CLIENT: return take_client(l, p, err);
	case ARGS_KEY_VALUE: return take_key_value(l, p, err);
	case ARGS_WORD: return take_choice(l, p, err);
	case ARGS_DB_SQL:
		if (take_value(l, p, 0, err, "a database") != PARSED_OK)
			return PARSED_ERROR;
		return take_value(l, p, 1, err, "a statement in quotes");
	case ARGS_ANY:
		while (!ends(look(l)))
			next(l);
		return PARSED_OK;
	}
	return PARSED_OK;
}

static const struct verb *find(struct lexer *l)
{
	struct lexer copy = *l;
	const struct verb *found = NULL;
	char *name;

	for (unsigned i = 0; i < command_number; i++)
		if (take_words(l, commands[i].words))
			return &commands[i];
	/* SHOW setting */
	if (!is_word(next(&copy), "SHOW", 4) || !is_value(look(&copy)))
		return NULL;
	name = unquoted(next(&copy));
	found = param(name);
	free(name);
	if (found != NULL)
		*l = copy;
	return found;
}

/* Its first two words, or its only one, say that it is something else. When the fault is no word, it is one of syntax. */
static enum parsed_end unknown(struct lexer *l, struct err *err)
{
	struct token first = next(l), second = look(l);
	bool show = is_word(first, "SHOW", 4), two = second.kind == TOKEN_WORD;
	size_t n = two ? (size_t)(second.raw.p - first.raw.p) + second.raw.n : first.raw.n;

	if (first.kind != TOKEN_WORD || (show && !two))
		return near(show ? second : first, err, "a command; SHOW HELP lists them");
	err_state(err, "42601",
		  "the console has no command \"%.*s\" and runs no SQL: SHOW HELP lists what it has",
		  n > 64 ? 64 : (int)n, (const char *)first.raw.p);
	return PARSED_ERROR;
}

enum parsed_end command_parse(struct span text, struct parsed *parsed_r, size_t *used_r, struct err *err)
{
	struct lexer l = {.text = text};
	struct parsed p = {0};
	struct token t;

	while (is_mark(look(&l), ';'))
		next(&l);
	if (look(&l).kind == TOKEN_END) {
		*used_r = text.n;
		return PARSED_EMPTY;
	}
	p.command = find(&l);
	if (p.command == NULL)
		return unknown(&l, err);
	if (take_args(&l, &p, err) != PARSED_OK) {
		parsed_free(&p);
		return PARSED_ERROR;
	}
	t = next(&l);
	if (!ends(t)) {
		parsed_free(&p);
		return near(t, err, "the end of the command");
	}
	*used_r = l.at;
	*parsed_r = p;
	return PARSED_OK;
}

void parsed_free(struct parsed *p)
{
	for (unsigned i = 0; i < 2; i++) {
		free(p->arg[i]);
		p->arg[i] = NULL;
	}
}
