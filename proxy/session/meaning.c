#include "proxy/session/meaning.h"

#include "proxy/base/check.h"

#include <ctype.h>
#include <stdlib.h>
#include <strings.h>

/* --- the object --- */

struct meaning *meaning_new(uint64_t id, const struct settings *image)
{
	struct meaning *m = check_alloc(sizeof *m);

	m->refs = 1;
	m->id = id;
	settings_copy(image, &m->image);
	return m;
}

struct meaning *meaning_ref(struct meaning *m)
{
	if (m != NULL)
		m->refs++;
	return m;
}

void meaning_unref(struct meaning *m)
{
	if (m == NULL || --m->refs > 0)
		return;
	settings_free(&m->image);
	settings_free(&m->names);
	free(m);
}

/* --- settings --- */

/* They change how a statement is planned, run or reported, or have it parsed anew by themselves (search_path, row_security,
 * session_replication_role). What is not listed may matter, also when PostgreSQL works out constants before it runs a plan. */
static const char *const indifferent[] = {
	"application_name",
	"backend_flush_after",
	"check_function_bodies",
	"client_min_messages",
	"commit_delay",
	"commit_siblings",
	"cursor_tuple_fraction",
	"deadlock_timeout",
	"default_statistics_target",
	"default_table_access_method",
	"default_tablespace",
	"default_transaction_deferrable",
	"default_transaction_isolation",
	"default_transaction_read_only",
	"effective_cache_size",
	"effective_io_concurrency",
	"exit_on_error",
	"from_collapse_limit",
	"geqo",
	"hash_mem_multiplier",
	"idle_in_transaction_session_timeout",
	"idle_session_timeout",
	"jit",
	"join_collapse_limit",
	"lc_messages",
	"lock_timeout",
	"logical_decoding_work_mem",
	"maintenance_io_concurrency",
	"maintenance_work_mem",
	"parallel_leader_participation",
	"parallel_setup_cost",
	"parallel_tuple_cost",
	"plan_cache_mode",
	"random_page_cost",
	"role",
	"row_security",
	"search_path",
	"seed",
	"seq_page_cost",
	"session_authorization",
	"session_replication_role",
	"statement_timeout",
	"synchronize_seqscans",
	"synchronous_commit",
	"temp_buffers",
	"temp_file_limit",
	"temp_tablespaces",
	"transaction_deferrable",
	"transaction_isolation",
	"transaction_read_only",
	"work_mem",
};
static const char *const indifferent_families[] = {"cpu_", "debug_", "enable_", "geqo_",  "jit_",    "log_",
						   "max_", "min_",   "tcp_",	"track_", "vacuum_", "wal_"};

/* Names with a dot are an application's own, mostly, and those of most extensions matter when something runs. */
static const char *const extensions[] = {"isn.", "orafce."};

/* What matters before a text is looked at more closely than word by word. */
static const char *const of_words[] = {"backslash_quote", "client_encoding", "escape_string_warning",
				       "standard_conforming_strings"};

static int by_name(const void *name, const void *entry)
{
	return strcasecmp(name, *(const char *const *)entry);
}

static bool begins_with_one_of(const char *name, const char *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strncasecmp(name, list[i], strlen(list[i])) == 0)
			return true;
	return false;
}

#define COUNT(list) (sizeof(list) / sizeof *(list))

bool meaning_setting(const char *name)
{
	if (strchr(name, '.') != NULL)
		return begins_with_one_of(name, extensions, COUNT(extensions));
	return bsearch(name, indifferent, COUNT(indifferent), sizeof *indifferent, by_name) == NULL &&
	       !begins_with_one_of(name, indifferent_families, COUNT(indifferent_families));
}

/* --- texts --- */

static bool is_null_word(struct span rest)
{
	return rest.n >= 4 && strncasecmp((const char *)rest.p, "null", 4) == 0;
}

/* Strings in any kind of quotes, and NULL, which transform_null_equals gives a meaning. Numbers mean what they say. */
static bool has_literals(struct span text)
{
	for (size_t i = 0; i < text.n; i++)
		switch (text.p[i]) {
		case '\'': return true;
		case '$':
			if (i + 1 == text.n || !isdigit(text.p[i + 1]))
				return true;
			break;
		case 'n':
		case 'N':
			if (is_null_word(span_skip(text, i)))
				return true;
			break;
		default: break;
		}
	return false;
}

static bool is_ascii(struct span text)
{
	for (size_t i = 0; i < text.n; i++)
		if (text.p[i] >= 0x80)
			return false;
	return true;
}

/* Of a command that is only run PostgreSQL reads the words when it is parsed, and takes what they mean when it runs. */
static bool only_words(const struct stmt *stmt)
{
	const uint32_t commands =
		COMMAND_BIT(COMMAND_BEGIN) | COMMAND_BIT(COMMAND_COMMIT) | COMMAND_BIT(COMMAND_ROLLBACK) |
		COMMAND_BIT(COMMAND_TXN) | COMMAND_BIT(COMMAND_SET) | COMMAND_BIT(COMMAND_SET_TXN) |
		COMMAND_BIT(COMMAND_SHOW) | COMMAND_BIT(COMMAND_DEALLOCATE) | COMMAND_BIT(COMMAND_DISCARD) |
		COMMAND_BIT(COMMAND_LISTEN) | COMMAND_BIT(COMMAND_UNLISTEN) | COMMAND_BIT(COMMAND_NOTIFY) |
		COMMAND_BIT(COMMAND_COPY) | COMMAND_BIT(COMMAND_LOAD) | COMMAND_BIT(COMMAND_LOCK) |
		COMMAND_BIT(COMMAND_VACUUM);

	return stmt->facts->nstmts == 1 && (COMMAND_BIT(stmt->facts->stmts[0].command) & commands) != 0;
}

bool meaning_changes(const char *name, const struct stmt *stmt)
{
	if (!meaning_setting(name))
		return false;
	if (stmt == NULL)
		return true;
	if (strcasecmp(name, "client_encoding") == 0)
		return !is_ascii(stmt->text);
	if (!has_literals(stmt->text))
		return false;
	return !only_words(stmt) || begins_with_one_of(name, of_words, COUNT(of_words));
}

struct comparison {
	const struct stmt *stmt;
	bool same;
};

static void compare(void *arg, const char *name, const char *value)
{
	struct comparison *c = arg;

	(void)value;
	c->same = c->same && !meaning_changes(name, c->stmt);
}

bool meaning_same(const struct meaning *a, const struct meaning *b, const struct stmt *stmt)
{
	struct comparison c = {.stmt = stmt, .same = true};

	if (a != b && a->id != b->id)
		settings_diff(&a->image, &b->image, compare, &c);
	return c.same;
}
