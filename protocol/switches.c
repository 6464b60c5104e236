#include "protocol/switches.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The switches that take a value, and those that do not. */
static const char with_value[] = "BCDdfhkNprStvWc-", alone[] = "bEeFijlnOPsT";

/* A switch, what its value begins with, and the setting that it stands for; `value` NULL = the switch's own. */
static const struct row {
	char letter;
	const char *begin, *name, *value;
} rows[] = {
	{'B', "", "shared_buffers", NULL},
	{'e', "", "datestyle", "euro"},
	{'F', "", "fsync", "false"},
	{'f', "s", "enable_seqscan", "false"},
	{'f', "i", "enable_indexscan", "false"},
	{'f', "o", "enable_indexonlyscan", "false"},
	{'f', "b", "enable_bitmapscan", "false"},
	{'f', "t", "enable_tidscan", "false"},
	{'f', "n", "enable_nestloop", "false"},
	{'f', "m", "enable_mergejoin", "false"},
	{'f', "h", "enable_hashjoin", "false"},
	{'h', "", "listen_addresses", NULL},
	{'i', "", "listen_addresses", "*"},
	{'k', "", "unix_socket_directories", NULL},
	{'l', "", "ssl", "true"},
	{'N', "", "max_connections", NULL},
	{'O', "", "allow_system_table_mods", "true"},
	{'P', "", "ignore_system_indexes", "true"},
	{'p', "", "port", NULL},
	{'S', "", "work_mem", NULL},
	{'s', "", "log_statement_stats", "true"},
	{'t', "pa", "log_parser_stats", "true"},
	{'t', "pl", "log_planner_stats", "true"},
	{'t', "e", "log_executor_stats", "true"},
	{'W', "", "post_auth_delay", NULL},
};

/* -d n stands for the first n of them, and at least for the first. */
static const char *const debug_rows[][2] = {{"log_min_messages", NULL},
					    {"log_statement", "all"},
					    {"debug_print_parse", "true"},
					    {"debug_print_plan", "true"},
					    {"debug_print_rewritten", "true"}};
#define DEBUG_ROWS_N (sizeof debug_rows / sizeof *debug_rows)

static bool is_space(uint8_t c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

int switches_begin(struct switches *w, struct span options)
{
	size_t i = 0;

	memset(w, 0, sizeof *w);
	if (options.n > STARTUP_MAX - 1)
		return -1;
	for (;;) {
		while (i < options.n && is_space(options.p[i]))
			i++;
		if (i == options.n)
			return 0;
		for (; i < options.n && !is_space(options.p[i]); i++) {
			if (options.p[i] == '\\' && ++i == options.n)
				break;
			w->text[w->n++] = (char)options.p[i];
		}
		w->text[w->n++] = '\0';
	}
}

static const char *next_word(struct switches *w)
{
	const char *word = w->text + w->at;

	if (w->at == w->n)
		return NULL;
	w->at += strlen(word) + 1;
	w->before = w->word;
	w->word = word;
	return word;
}

static enum switch_status bad(struct switches *w, const char *sqlstate, const char *what, const char *word,
			      const char *end)
{
	snprintf(w->why, sizeof w->why, "%s%s%s", what, word, end);
	memcpy(w->sqlstate, sqlstate, sizeof w->sqlstate);
	return SWITCH_BAD;
}

static enum switch_status not_a_switch(struct switches *w, const char *word)
{
	w->hint = "Try \"postgres --help\" for more information.";
	return bad(w, "42601",
		   "invalid command-line argument for server process: ", word != NULL ? word : "postgres",
		   "");
}

/* name=value of -c and --; PostgreSQL takes --search-path=x for search_path. */
static enum switch_status long_one(struct switches *w, char letter, char *text, struct span *name_r,
				   struct span *value_r)
{
	char *equals = strchr(text, '=');

	if (equals == NULL)
		return bad(w, "42601", letter == '-' ? "--" : "-c ", text, " requires a value");
	if (equals == text)
		return bad(w, "42704", "unrecognized configuration parameter \"\"", "", "");
	for (char *c = text; c < equals; c++)
		if (*c == '-')
			*c = '_';
	*name_r = span_of(text, (size_t)(equals - text));
	*value_r = span_str(equals + 1);
	return SWITCH_SETTING;
}

static enum switch_status debug_one(struct switches *w, struct span *name_r, struct span *value_r)
{
	const char *const *row = debug_rows[w->debug_at++];

	*name_r = span_str(row[0]);
	*value_r = span_str(row[1] != NULL ? row[1] : w->level);
	if ((int)w->debug_at >= w->debug || w->debug_at == DEBUG_ROWS_N)
		w->debug_at = 0;
	return SWITCH_SETTING;
}

static enum switch_status debug_begin(struct switches *w, const char *value, struct span *name_r,
				      struct span *value_r)
{
	w->debug = atoi(value);
	if (w->debug > 0)
		snprintf(w->level, sizeof w->level, "debug%d", w->debug);
	else
		snprintf(w->level, sizeof w->level, "notice");
	return debug_one(w, name_r, value_r);
}

/* SWITCH_END: it stands for no setting. */
static enum switch_status one(struct switches *w, char letter, char *value, struct span *name_r,
			      struct span *value_r)
{
	if (letter == 'c' || letter == '-')
		return long_one(w, letter, value, name_r, value_r);
	if (letter == 'd')
		return debug_begin(w, value, name_r, value_r);
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		if (rows[i].letter != letter || strncmp(value, rows[i].begin, strlen(rows[i].begin)) != 0)
			continue;
		*name_r = span_str(rows[i].name);
		*value_r = span_str(rows[i].value != NULL ? rows[i].value : value);
		return SWITCH_SETTING;
	}
	return letter == 'f' || letter == 't' ? not_a_switch(w, w->word) : SWITCH_END;
}

/* The next letter of the word in work. */
static enum switch_status letter(struct switches *w, struct span *name_r, struct span *value_r)
{
	static char none[] = "";
	char c = *w->rest++, *value = none;

	if (strchr(with_value, c) != NULL) {
		if (*w->rest != '\0')
			value = w->text + (w->rest - w->text);
		else if (w->at == w->n)
			return not_a_switch(w, w->word);
		else
			value = w->text + (next_word(w) - w->text);
		w->rest = NULL;
		return one(w, c, value, name_r, value_r);
	}
	/* getopt() is not done with this word when there are others behind the bad one, so PostgreSQL complains about the one before. */
	if (strchr(alone, c) == NULL)
		return not_a_switch(w, *w->rest != '\0' ? w->before : w->word);
	if (*w->rest == '\0')
		w->rest = NULL;
	return one(w, c, value, name_r, value_r);
}

/* Into the next word with switches. false = there is none. */
static bool next_cluster(struct switches *w)
{
	const char *word;

	while ((word = next_word(w)) != NULL) {
		if (strcmp(word, "--") == 0) {
			word = next_word(w);
			if (w->stray == NULL)
				w->stray = word;
			return false;
		}
		if (word[0] == '-' && word[1] != '\0') {
			w->rest = word + 1;
			return true;
		}
		if (w->stray == NULL)
			w->stray = word;
	}
	return false;
}

enum switch_status switches_next(struct switches *w, struct span *name_r, struct span *value_r)
{
	enum switch_status status = SWITCH_END;

	if (w->debug_at > 0)
		return debug_one(w, name_r, value_r);
	while (status == SWITCH_END && (w->rest != NULL || next_cluster(w)))
		status = letter(w, name_r, value_r);
	if (status == SWITCH_END && w->stray != NULL)
		return not_a_switch(w, w->stray);
	return status;
}
