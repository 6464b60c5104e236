/* What the cache, and prepared statements, need of the session image: the part of it that can change an answer. */
#include "proxy/backend/role_value.h"
#include "proxy/session/image_ids.h"
#include "proxy/session/session_private.h"

#include "config/units.h"

#include <strings.h>

/* Settings that cannot change an answer's bytes: they are no part of a cache key. */
static const char *const harmless_names[] = {"application_name",
					     "default_transaction_read_only",
					     "idle_in_transaction_session_timeout",
					     "idle_session_timeout",
					     "lock_timeout",
					     "statement_timeout"};

static bool in_key(const char *name)
{
	for (size_t i = 0; i < sizeof harmless_names / sizeof *harmless_names; i++)
		if (strcasecmp(name, harmless_names[i]) == 0)
			return false;
	return true;
}

/* Most custom settings, and roles, cannot change what a literal means. */
bool image_parse_setting(const char *name)
{
	return in_key(name) && (strchr(name, '.') == NULL || meaning_setting(name)) && !role_setting(name);
}

static void add_setting(struct buf *b, const struct setting *setting)
{
	for (const char *c = setting->name; *c != '\0'; c++)
		buf_add_u8(b, (uint8_t)(*c >= 'A' && *c <= 'Z' ? *c + 32 : *c));
	buf_add_u8(b, 0);
	buf_add_cstr(b, setting->value);
}

static const char *default_now(const struct session *s, const char *name)
{
	const char *v = s->defaults != NULL ? settings_get(&s->defaults->defaults, name) : NULL;

	return v != NULL ? v : "";
}

static const char *setting_now(const struct session *s, const char *name)
{
	const char *v = settings_get(&s->image, name);

	return v != NULL || s->defaults == NULL ? v : settings_get(&s->defaults->defaults, name);
}

static const char *role_now(const struct session *s)
{
	const char *role = setting_now(s, "role");

	if (role == NULL || strcmp(role, "none") == 0)
		role = settings_get(&s->image, "session_authorization");
	return role != NULL ? role_value_name(role) : s->target->user;
}

/* PostgreSQL's largest is INT_MAX milliseconds. */
static uint32_t limit_now(const struct session *s, const char *name)
{
	const char *value = setting_now(s, name), *why;
	uint64_t us;

	return value != NULL && units_duration(value, &us, &why) == 0 ? (uint32_t)(us / 1000) : 0;
}

void image_key_refresh(struct session *s)
{
	const char *path = setting_now(s, "search_path");
	struct buf parse_key, *key;

	s->picky = tries_picky(&s->image);
	serve_key_changes(s);
	key = key_settings_begin(s, span_str(path != NULL ? path : ""), span_str(role_now(s)));
	buf_add_cstr(key, default_now(s, "all"));
	buf_init(&parse_key, SETTINGS_BYTES * 2);
	for (unsigned i = 0; i < s->image.n; i++) {
		if (in_key(s->image.at[i].name))
			add_setting(key, &s->image.at[i]);
		/* Under the usual search_path ("$user") a role has schemas of its own: the same text may be about other tables. */
		if (image_parse_setting(s->image.at[i].name) || role_setting(s->image.at[i].name))
			add_setting(&parse_key, &s->image.at[i]);
	}
	key_settings_end(s);
	s->image_id = parse_key.failed ? image_ids_fresh(s->house->image_ids)
				       : image_ids_of(s->house->image_ids, buf_span(&parse_key));
	buf_free(&parse_key);
	s->idle_limit_ms = limit_now(s, "idle_session_timeout");
	s->idle_txn_limit_ms = limit_now(s, "idle_in_transaction_session_timeout");
	if (s->backend != NULL)
		backend_note_limits(s->backend);
	under_refresh(s);
	image_note_params(s);
}

static struct span param_now(const struct session *s, const char *name)
{
	const char *v = settings_get(&s->params, name);

	return span_str(v != NULL ? v : "");
}

void image_note_params(struct session *s)
{
	struct span client = param_now(s, "client_encoding"), server = param_now(s, "server_encoding");
	const char *level = setting_now(s, "default_transaction_isolation");
	const char *hooks = default_now(s, "hooks");

	s->hooks = strcmp(hooks, "off") != 0;
	s->certain = facts_certain(client, param_now(s, "standard_conforming_strings"));
	s->certain_plain = facts_certain(client, span_str("on"));
	s->same_encoding = client.n > 0 && client.n == server.n &&
			   strncasecmp((const char *)client.p, (const char *)server.p, client.n) == 0;
	s->read_committed = level != NULL &&
			    (strcmp(level, "read committed") == 0 || strcmp(level, "read uncommitted") == 0);
}
