#include "proxy/backend/setup.h"

#include "proxy/backend/custom_names.h"
#include "proxy/backend/pool.h"
#include "proxy/backend/role_value.h"
#include "protocol/back.h"
#include "protocol/hooks.h"
#include "protocol/keepers.h"

#include <stdio.h>
#include <strings.h>

/* Settings that the server does not report but that decide what statements mean. `all` stands for all that a session may set, so that
 * backends made before and after an ALTER ROLE .. SET can be told apart; `libraries` has what names of settings of libraries begin with.
 * It is asked before connect_query, whose settings are no defaults: RESET does not go back to them. */
static const char setup_query[] =
	"SELECT 'search_path', pg_catalog.current_setting('search_path') "
	"UNION ALL SELECT 'default_transaction_isolation', pg_catalog.current_setting('default_transaction_isolation') "
	"UNION ALL SELECT 'role', " ROLE_SQL " UNION ALL SELECT 'session_authorization', " AUTHORIZATION_SQL
	" "
	"UNION ALL SELECT 'statement_timeout', pg_catalog.current_setting('statement_timeout') "
	"UNION ALL SELECT 'idle_session_timeout', pg_catalog.current_setting('idle_session_timeout', true) "
	"UNION ALL SELECT 'idle_in_transaction_session_timeout', pg_catalog.current_setting('idle_in_transaction_session_timeout', true) "
	"UNION ALL SELECT 'session_replication_role', pg_catalog.current_setting('session_replication_role') "
	"UNION ALL SELECT 'read_only', pg_catalog.current_setting('transaction_read_only') "
	"UNION ALL SELECT 'all', pg_catalog.md5(pg_catalog.string_agg(name || '=' || setting, ',' ORDER BY name)) "
	"FROM pg_catalog.pg_settings WHERE context IN ('user', 'superuser') "
	"UNION ALL SELECT 'libraries', pg_catalog.string_agg(word, ' ' ORDER BY word) FROM ("
	"SELECT extname::text AS word FROM pg_catalog.pg_extension "
	"UNION SELECT pg_catalog.split_part(name, '.', 1) FROM pg_catalog.pg_settings WHERE name LIKE '%.%') w "
	"UNION ALL SELECT 'server', pg_catalog.concat_ws(' ', (SELECT system_identifier FROM pg_catalog.pg_control_system()), "
	"extract(epoch FROM pg_catalog.pg_postmaster_start_time()), pg_catalog.pg_is_in_recovery()::int) "
	"UNION ALL SELECT 'code', " CODE_SQL;

/* What code the database has. It reads all sources, so it is asked only when the last backend of the pool found other code. All of one
 * snapshot, and without PostgreSQL's compiler, which takes longer than the question. */
static const char code_query[] =
	"BEGIN; SET LOCAL jit = off; SELECT 'code', " CODE_SQL " UNION ALL SELECT 'hooks', " HOOKS_SQL
	" UNION ALL SELECT 'customs', " CUSTOMS_SQL " UNION ALL SELECT 'readers', " READERS_SQL
	" UNION ALL SELECT 'keepers', " KEEPERS_SQL "; COMMIT";
static const char *const code_rows[] = {"hooks", "customs", "readers", "keepers"};
#define CODE_ROWS_N (sizeof code_rows / sizeof *code_rows)

/* What connect_query has set, in the server's encoding, as all images are. Custom settings do not show; they are asked for by the names
 * that may be meant, which follow. */
static const char base_begin[] =
	"BEGIN; SELECT pg_catalog.set_config('client_encoding', pg_catalog.current_setting('server_encoding'), true); "
	"SELECT name, pg_catalog.current_setting(name) FROM pg_catalog.pg_settings WHERE source = 'session' "
	"AND name NOT IN ('client_encoding', 'seed', 'transaction_isolation', 'transaction_read_only', 'transaction_deferrable') "
	"UNION ALL SELECT 'role', " ROLE_SQL " UNION ALL SELECT 'session_authorization', " AUTHORIZATION_SQL
	" "
	"UNION ALL SELECT n, pg_catalog.current_setting(n, true) FROM pg_catalog.unnest('{";
static const char base_end[] =
	"}'::pg_catalog.text[]) n; COMMIT; "
	"SELECT name, setting FROM pg_catalog.pg_settings WHERE name = 'client_encoding' AND source = 'session'";

/* From the last backend that has logged in, if it was the same database of the same server, and as it is now. */
static bool code_known(struct backend *b)
{
	struct pool_defaults *d = pool_defaults(b->pool);
	const char *server = settings_get(&b->defaults, "server");
	const char *theirs = d != NULL ? settings_get(&d->defaults, "server") : NULL;
	bool known = theirs != NULL && server != NULL && strcmp(server, theirs) == 0 && b->code[0] != '\0' &&
		     strcmp(b->code, d->code) == 0;

	for (unsigned i = 0; i < CODE_ROWS_N && known; i++)
		known = settings_get(&d->defaults, code_rows[i]) != NULL;
	for (unsigned i = 0; i < CODE_ROWS_N && known; i++) {
		struct span value = span_str(settings_get(&d->defaults, code_rows[i]));

		known = settings_set(&b->defaults, span_str(code_rows[i]), &value) >= 0;
	}
	pool_defaults_unref(d);
	return known;
}

static void add_names(struct buf *b, const char *text, bool *first)
{
	char name[CUSTOM_NAME_MAX + 1];
	uint8_t before;

	for (size_t at = 0; custom_name_next(span_str(text), &at, name, &before);) {
		size_t plain = 0;

		while (name[plain] != '\0' && (uint8_t)name[plain] < 0x80)
			plain++;
		if (name[plain] != '\0')
			continue; /* in which encoding? */
		buf_add_span(b, span_str(*first ? "\"" : ",\""));
		buf_add_span(b, span_str(name));
		buf_add_u8(b, '"');
		*first = false;
	}
}

static void ask_base(struct backend *b)
{
	const char *customs = settings_get(&b->defaults, "customs");
	struct buf text;
	bool first = true;

	buf_init(&text, SETTINGS_BYTES);
	buf_add_span(&text, span_str(base_begin));
	add_names(&text, b->target->db->connect_query, &first);
	add_names(&text, customs != NULL ? customs : "", &first);
	buf_add_cstr(&text, base_end);
	/* What does not fit, or has no memory, is an error: a session must not begin with less. */
	backend_query(b, text.failed ? "the names of custom settings are too long" : (const char *)text.p,
		      WHY_SETTLE);
	buf_free(&text);
}

static int base_row(struct backend *b, struct span name, struct span value)
{
	char text[CUSTOM_NAME_MAX + 1];

	snprintf(text, sizeof text, "%.*s", (int)name.n, (const char *)name.p);
	if (role_setting(text)) {
		const char *usual = settings_get(&b->defaults, text);

		if (usual != NULL && role_value_same(value, usual))
			return 0;
	}
	if (custom_name(text)) {
		if (value.n == 0)
			return 0;
		if (settings_set(&b->customs, name, &(struct span){.p = (const uint8_t *)""}) < 0)
			return -1;
		pool_has_custom(b->pool);
	}
	return settings_set(&b->base, name, &value) < 0 ? -1 : 0;
}

int setup_row(struct backend *b, struct span body)
{
	struct span name, value;
	size_t at = 2;

	if (b->setup == SETUP_CONNECT || back_count(body) != 2 || back_value_next(body, &at, &name) != 0 ||
	    back_value_next(body, &at, &value) != 0)
		return 0;
	if (b->setup == SETUP_BASE)
		return base_row(b, name, value);
	if (!span_eq(name, span_str("code")))
		return settings_set(&b->defaults, name, &value) < 0 ? -1 : 0;
	if (value.n < sizeof b->code)
		snprintf(b->code, sizeof b->code, "%.*s", (int)value.n, (const char *)value.p);
	return 0;
}

void setup_begin(struct backend *b)
{
	b->setup = SETUP_DEFAULTS;
	backend_query(b, setup_query, WHY_SETTLE);
}

bool setup_next(struct backend *b)
{
	const char *extra = b->target->db->connect_query;

	switch (b->setup) {
	case SETUP_DEFAULTS:
		if (!code_known(b)) {
			b->setup = SETUP_CODE;
			count(&b->host->counters, code_looks);
			backend_query(b, code_query, WHY_SETTLE);
			return true;
		}
		/* fall through */
	case SETUP_CODE:
		if (extra[0] == '\0')
			return false;
		b->setup = SETUP_CONNECT;
		backend_query(b, extra, WHY_SETTLE);
		return true;
	case SETUP_CONNECT:
		b->setup = SETUP_BASE;
		ask_base(b);
		return true;
	case SETUP_BASE: return false;
	}
	return false;
}
