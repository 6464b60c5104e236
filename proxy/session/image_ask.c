/* What has become of the settings after a transaction that may have changed them: PostgreSQL itself is asked for the outcome, so rollbacks,
 * savepoints, SET LOCAL and rejected values need no rules here. */
#include "proxy/session/image_private.h"

#include "proxy/base/check.h"

#include <stdlib.h>

/* Everything that a transaction can leave behind, in one query: 's' rows are settings, 'p' rows are pins, a 't' row says that the
 * server has a schema for temporary objects. */
static const char probe_query[] =
	"BEGIN; SELECT 's', 'statement_timeout', pg_catalog.current_setting('statement_timeout'); "
	"SET LOCAL statement_timeout = 0; " /* pg_settings takes longer than some allow */
	"SELECT 's', name, setting FROM pg_catalog.pg_settings WHERE name = 'client_encoding' AND source = 'session'; "
	"SELECT pg_catalog.set_config('client_encoding', pg_catalog.current_setting('server_encoding'), true); "
	"SELECT 's', name, pg_catalog.current_setting(name) FROM pg_catalog.pg_settings WHERE source = 'session' "
	"AND name NOT IN ('statement_timeout', 'client_encoding', 'seed', 'transaction_isolation', 'transaction_read_only', "
	"'transaction_deferrable') "
	"UNION ALL SELECT 's', 'role', " ROLE_SQL
	" UNION ALL SELECT 's', 'session_authorization', " AUTHORIZATION_SQL " "
	"UNION ALL SELECT 'p', 'advisory', '' WHERE EXISTS (SELECT 1 FROM pg_catalog.pg_locks WHERE locktype = 'advisory' "
	"AND pid = pg_catalog.pg_backend_pid()) "
	"UNION ALL SELECT 'p', 'cursor', '' WHERE EXISTS (SELECT 1 FROM pg_catalog.pg_cursors WHERE is_holdable) "
	"UNION ALL SELECT 'p', 'listen', '' WHERE EXISTS (SELECT 1 FROM pg_catalog.pg_listening_channels()) "
	"UNION ALL SELECT 'c', pg_catalog.count(*) FILTER (WHERE NOT from_sql AND name LIKE 'pgweir%' AND name <> '" STANDIN_NAME
	"')::text, pg_catalog.count(*) FILTER (WHERE from_sql)::text FROM pg_catalog.pg_prepared_statements "
	"UNION ALL SELECT 't', '', '' WHERE pg_catalog.pg_my_temp_schema() <> 0 "
	"UNION ALL SELECT 'p', 'temp', '' WHERE pg_catalog.pg_my_temp_schema() <> 0 AND EXISTS (SELECT 1 FROM pg_catalog.pg_depend "
	"WHERE refclassid = 'pg_catalog.pg_namespace'::pg_catalog.regclass AND refobjid = pg_catalog.pg_my_temp_schema()); "
	"COMMIT";

static const struct pin_row {
	const char *name;
} pin_rows[NPINS] = {
#define PIN(id, name) {name},
#include "proxy/session/pins.def"
#undef PIN
};

/* Custom settings (app.x) do not show in pg_settings: the probe is told which ones the session has. */
static void touch_custom(struct session *s, struct settings *touched)
{
	struct span v = span_str(mark_set);

	for (unsigned i = 0; i < s->image.n; i++)
		if (strchr(s->image.at[i].name, '.') != NULL &&
		    settings_get(touched, s->image.at[i].name) == NULL)
			settings_set(touched, span_str(s->image.at[i].name), &v);
}

static void ask(struct session *s, const struct settings *of, unsigned i)
{
	struct span name = span_str(of->at[i].name);

	/* pg_settings, which takes its time, is asked only where it may know the name, and there is enough of it. */
	bool custom = custom_name(of->at[i].name) && !tries_library(s->backend, of->at[i].name);
	enum sys_stmt question = role_setting(of->at[i].name)			      ? SYS_GET_ROLE
				 : custom || strcasecmp(of->at[i].name, timeout) == 0 ? SYS_GET_CUSTOM
				 : is_reset(of->at[i].value)			      ? SYS_GET_WAS_RESET
										      : SYS_GET;

	backend_sys(s->backend, question, &name, 1, WHY_INSPECT, i);
	s->asked++;
}

static void ask_one(struct session *s, const struct settings *of, const char *name)
{
	for (unsigned i = 0; i < of->n; i++)
		if (strcasecmp(of->at[i].name, name) == 0)
			ask(s, of, i);
}

/* For the questions behind it. */
static void lift_timeout(struct session *s)
{
	struct span v[2] = {span_str(timeout), span_str("0")};

	backend_sys(s->backend, SYS_SET_LOCAL, v, 2, WHY_IMAGE, 0);
}

void image_ask(struct session *s, const struct settings *of)
{
	ask_one(s, of, timeout);
	/* Local to the transaction that the Sync ends, as what follows. */
	if (of->n > 0 && (s->asked > 0 || s->attempts > 0 || image_hurries(s, &s->image)))
		lift_timeout(s);
	ask_one(s, of, encoding);
	if (of->n > 0 && (!speaks_server_encoding(s->backend) || s->asked > 0))
		backend_sys(s->backend, SYS_SERVER_ENCODING, NULL, 0, WHY_IMAGE, 0);
	for (unsigned i = 0; i < of->n; i++)
		if (strcasecmp(of->at[i].name, encoding) != 0 && strcasecmp(of->at[i].name, timeout) != 0)
			ask(s, of, i);
	if (s->asked > 0)
		backend_sync(s->backend, WHY_INSPECT);
}

/* true = answers are outstanding. */
static bool ask_all(struct session *s, bool probe)
{
	image_ask(s, &s->inspecting);
	if (!probe)
		return s->asked > 0;
	settings_clear(&s->probed);
	s->probed_pins = s->lasting_pins | (s->pins & (1u << PIN_SEQUENCE | 1u << PIN_SETTINGS));
	s->probing = true;
	s->asked++;
	return backend_query(s->backend, probe_query, WHY_PROBE) == 0;
}

bool image_unanswered(struct session *s)
{
	if (s->asked == 0 || s->attempts >= IMAGE_ASKS)
		return false;
	s->unanswered = true;
	return true;
}

void image_ask_again(struct session *s)
{
	s->unanswered = false;
	s->attempts++;
	s->asked = 0;
	if (s->backend->status != 'I')
		backend_query(s->backend, "ROLLBACK", WHY_ABORT);
	if (!ask_all(s, s->probing))
		s->backend->broken = true;
}

bool image_inspect(struct session *s)
{
	struct backend *b = s->backend;
	bool probe = txn_needs_probe(s), tainted = (s->effects & EFFECT_TAINT) != 0;
	struct settings touched;

	if (b == NULL)
		return false;
	if (tainted)
		customs_note_code(s);
	touched = s->touched;
	if (probe)
		touch_custom(s, &touched);
	s->touched = s->inspecting;
	settings_clear(&s->touched);
	s->inspecting = touched;
	s->effects = 0;
	s->unanswered = false;
	s->attempts = 0;
	if (probe) {
		count(&s->house->host.counters, probes_after_taint);
		/* Custom settings made by code that nobody saw do not show in pg_settings. */
		b->reset_all |= tainted;
		s->probe_tainted = tainted;
	}
	return ask_all(s, probe);
}

/* Settings that are asked for whether or not they were set: what they are on a backend that nobody has used. */
static bool is_default(const struct session *s, const char *name, struct span value)
{
	if (role_setting(name))
		return role_value_same(value, login_value(s, name, "none"));
	if (strcasecmp(name, "statement_timeout") == 0)
		return span_eq(value, span_str(login_value(s, "statement_timeout", "0"))) &&
		       settings_get(&s->image, name) == NULL;
	return false;
}

/* What does not fit is known to the backend alone, which the session then keeps to its end. */
static void keep(struct session *s, struct settings *in, struct span name, const struct span *value)
{
	s->settings_pin |= settings_set(in, name, value) < 0;
}

static void learned(struct session *s, const char *name, const char *mark, const struct span *value,
		    bool real)
{
	const char *back = may_be_reset(mark) ? settings_get(&s->startup, name) : NULL;
	struct span startup = back != NULL ? span_str(back) : span_of(NULL, 0);
	char spelling[CUSTOMS_SPELLING];

	if (custom_name(name) && strlen(name) < sizeof spelling) {
		customs_spelling(s, name, spelling);
		name = spelling;
	}
	if (!real && customs_learned(s, name, mark, value))
		return;
	if (value != NULL && is_default(s, name, *value))
		value = NULL;
	keep(s, &s->backend->image, span_str(name), value);
	/* RESET goes back to what the startup packet asked for, which the shared backend does not know. */
	keep(s, &s->image, span_str(name), value == NULL && back != NULL ? &startup : value);
}

/* The row of one inspected setting. While a login is being learned the names are those of the image itself. */
void image_inspected(struct session *s, uint32_t index, struct span value, bool null, bool real)
{
	const char *name, *mark;

	if (s->welcome_learning) {
		check(index < s->image.n);
		if (!null)
			settings_set(&s->image, span_str(s->image.at[index].name), &value);
		return;
	}
	check(index < s->inspecting.n);
	name = s->inspecting.at[index].name;
	mark = s->inspecting.at[index].value;
	if (strcasecmp(name, timeout) == 0) {
		/* Asked for without pg_settings, so its value tells. */
		real = true;
		null |= may_be_reset(mark) && span_eq(value, span_str(login_value(s, timeout, "0")));
	}
	learned(s, name, mark, null ? NULL : &value, real);
}

/* A role whose name is nobody's any more, of which no text has said anything: still the one that the session had by that name. */
static struct span known_role(const struct session *s, const char *name, struct span value)
{
	const char *had = settings_get(&s->image, name);
	size_t n = strlen(ROLE_GONE);

	if (value.n < n || memcmp(value.p, ROLE_GONE, n) != 0 || had == NULL ||
	    strncmp(had, ROLE_BY_NAME, strlen(ROLE_BY_NAME)) == 0 ||
	    settings_get(&s->inspecting, name) != NULL ||
	    !span_eq(span_of(value.p + n, value.n - n), span_str(role_value_name(had))))
		return value;
	return span_str(had);
}

void image_probed(struct session *s, char kind, struct span name, struct span value)
{
	if (kind == 't') {
		s->backend->temp_used = true;
		return;
	}
	if (kind == 'p') {
		for (unsigned i = 0; i < NPINS; i++)
			if (span_eq(name, span_str(pin_rows[i].name)))
				s->probed_pins |= 1u << i;
		return;
	}
	char n[64];

	snprintf(n, sizeof n, "%.*s", (int)name.n, (const char *)name.p);
	if (kind == 'c') {
		s->probed_statements = (unsigned)strtoul(n, NULL, 10);
		s->probed_pins |= span_eq(value, span_str("0")) ? 0 : 1u << PIN_PREPARED;
		return;
	}
	if (role_setting(n))
		value = known_role(s, n, value);
	if (!is_default(s, n, value))
		keep(s, &s->probed, name, &value);
}

/* Is it not set on the backend? statement_timeout is probed by its value. */
static bool probed_default(const struct session *s, const char *name)
{
	const char *value = settings_get(&s->probed, name);

	return value == NULL || (strcasecmp(name, "statement_timeout") == 0 &&
				 strcmp(value, login_value(s, "statement_timeout", "0")) == 0);
}

/* It had a value and has none. Where no text tells more code has done that, by a RESET, or by SET ROLE NONE, which looks the same. */
static bool was_reset(const struct session *s, const struct settings *before, const char *name)
{
	const char *how = settings_get(&s->inspecting, name);
	const char *had = settings_get(before, name), *has = settings_get(&s->probed, name);

	if (how != NULL)
		return may_be_reset(how);
	return had != NULL && (has == NULL || strcmp(had, has) != 0);
}

/* Was it reset, and then set locally? The probe takes what is left of that for a value, and image_inspected has put the startup packet's. */
static bool was_put_back(const struct session *s, const struct settings *before,
			 const struct setting *startup)
{
	const char *had = settings_get(before, startup->name);

	return is_reset(settings_get(&s->inspecting, startup->name)) && had != NULL &&
	       strcmp(had, startup->value) == 0;
}

/* The image becomes what the probe has shown, and its custom settings, which no probe shows. */
static void take_shown(struct session *s, struct settings *image)
{
	struct settings shown;

	settings_init(&shown);
	settings_copy(&s->probed, &shown);
	for (unsigned i = 0; i < image->n; i++) {
		struct span v = span_str(image->at[i].value);

		if (custom_name(image->at[i].name))
			keep(s, &shown, span_str(image->at[i].name), &v);
	}
	settings_copy(&shown, image);
	settings_free(&shown);
}

static void take_probe(struct session *s)
{
	struct settings before = {0};

	settings_copy(&s->image, &before);
	take_shown(s, &s->backend->image);
	take_shown(s, &s->image);
	settings_same(&s->backend->image, &s->image);
	for (unsigned i = 0; i < s->startup.n; i++) {
		const char *name = s->startup.at[i].name;
		struct span back = span_str(s->startup.at[i].value);

		if (!custom_name(name) && ((probed_default(s, name) && was_reset(s, &before, name)) ||
					   was_put_back(s, &before, &s->startup.at[i])))
			keep(s, &s->image, span_str(name), &back);
	}
	settings_free(&before);
	s->pins = s->probed_pins;
}

/* max_pinned: how many sessions of a pool may keep their backend. */
void image_count_pin(struct session *s)
{
	int max = s->policy->max_pinned;

	if (s->pins == 0 || s->pin_counted) {
		if (s->pins == 0 && s->pin_counted)
			pool_unpin(s->pool);
		s->pin_counted = s->pins != 0;
		return;
	}
	s->pin_counted = pool_pin(s->pool, (unsigned)max);
	s->over_pinned = !s->pin_counted;
}

void image_inspect_done(struct session *s, bool probe)
{
	if (probe)
		take_probe(s);
	s->pins |= s->settings_pin ? 1u << PIN_SETTINGS : 0;
	if (probe || s->settings_pin)
		image_count_pin(s);
	settings_clear(&s->inspecting);
	s->probing = false;
	s->asked = s->attempts = 0;
	image_key_refresh(s);
}
