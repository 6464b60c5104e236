/* The session image: what a client has set, put onto whichever backend runs its next transaction, and learned from the backend
 * after a transaction that may have changed it. PostgreSQL itself is asked for the outcome, so rollbacks, savepoints, SET LOCAL
 * and rejected values need no rules here. */
#include "proxy/session/session_private.h"

#include "config/units.h"
#include "proxy/base/check.h"
#include "protocol/write.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

/* The last hidden request of a synchronisation carries this index. */
#define IMAGE_LAST 1

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
	"UNION ALL SELECT 's', 'role', pg_catalog.current_setting('role') "
	"UNION ALL SELECT 's', 'session_authorization', session_user::text "
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

/* Images are in the server's encoding, whatever their clients speak: only so can values be compared, and be put onto a backend that
 * another client has had. So client_encoding is the last that is set and the first that is asked for. */
static const char encoding[] = "client_encoding";

/* It counts for statements of ours, too, so it goes back first and comes last. */
static const char timeout[] = "statement_timeout";

/* So short that a statement of ours may meet it: no server that is alive takes longer for them. */
#define HURRY_US 5000000u

/* What the backend had when it had logged in. */
static const char *login_value(const struct session *s, const char *name, const char *otherwise)
{
	const char *v = settings_get(&s->backend->defaults, name);

	return v != NULL ? v : otherwise;
}

static bool hurries(const struct session *s, const struct settings *image)
{
	const char *value = settings_get(image, timeout), *why;
	uint64_t us;

	if (value == NULL)
		value = login_value(s, timeout, "0");
	return units_duration(value, &us, &why) == 0 && us > 0 && us < HURRY_US;
}

static bool speaks_server_encoding(const struct backend *b)
{
	const char *client = settings_get(&b->params, encoding);
	const char *server = settings_get(&b->params, "server_encoding");

	return client == NULL || server == NULL || strcasecmp(client, server) == 0;
}

/* --- from the session to the backend --- */

void image_put(struct session *s, const char *name, const char *value, enum expect_why why, uint32_t index)
{
	struct span v[2] = {span_str(name), value != NULL ? span_str(value) : span_of(NULL, 0)};

	backend_sys(s->backend, SYS_SET, v, 2, why, index);
	count(&s->house->host.counters, image_commands);
}

static void set_on_backend(struct session *s, const char *name, const char *value)
{
	image_put(s, name, value, WHY_IMAGE, 0);
}

static bool is_role(const char *name)
{
	return strcasecmp(name, "role") == 0 || strcasecmp(name, "session_authorization") == 0;
}

/* What tries.c has dealt with is not to be put again. */
static bool put_apart(const struct session *s, const char *name)
{
	return is_role(name) || strcasecmp(name, encoding) == 0 || strcasecmp(name, timeout) == 0 ||
	       tries_setting(s->backend, name);
}

/* Before values are: log_statement_stats and its like exclude each other. */
static void put_reset(void *arg, const char *name, const char *value)
{
	struct session *s = arg;

	if (value == NULL && !put_apart(s, name))
		set_on_backend(s, name, NULL);
}

static void put_value(void *arg, const char *name, const char *value)
{
	struct session *s = arg;
	struct span empty = span_str("");

	if (value == NULL || put_apart(s, name))
		return;
	set_on_backend(s, name, value);
	if (custom_name(name)) {
		settings_set(&s->backend->customs, span_str(name), &empty);
		pool_has_custom(s->pool);
	}
}

/* A role may not be allowed to change what another has set, so settings are put under the login's own rights: roles go back
 * first and come last, the session's authorization before the role, which it resets. */
static const char *const roles[] = {"role", "session_authorization"};

void image_put_roles_back(struct session *s, enum expect_why why, uint32_t index)
{
	for (unsigned i = 0; i < 2; i++)
		if (settings_get(&s->backend->image, roles[i]) != NULL)
			image_put(s, roles[i], NULL, why, index);
}

static void put_roles_back(struct session *s)
{
	image_put_roles_back(s, WHY_IMAGE, 0);
	for (unsigned i = 0; i < 2; i++)
		settings_set(&s->backend->image, span_str(roles[i]), NULL);
}

static void put_roles(struct session *s)
{
	const char *authorization = settings_get(&s->image, "session_authorization");
	const char *role = settings_get(&s->image, "role");

	if (authorization != NULL)
		set_on_backend(s, "session_authorization", authorization);
	if (role != NULL)
		set_on_backend(s, "role", role);
}

/* `apart`: for now it speaks the server's. */
static void put_encoding(struct session *s, bool apart)
{
	const char *want = settings_get(&s->image, encoding),
		   *have = settings_get(&s->backend->image, encoding);

	if (want == NULL && have == NULL && !apart)
		return;
	if (apart || s->welcome_learning || want == NULL || have == NULL || strcmp(want, have) != 0)
		set_on_backend(s, encoding, want);
}

/* `lifted`: for now there is none. */
static void put_timeout(struct session *s, bool lifted)
{
	const char *want = settings_get(&s->image, timeout),
		   *have = settings_get(&s->backend->image, timeout);

	if (lifted || (want == NULL) != (have == NULL) || (want != NULL && strcmp(want, have) != 0))
		set_on_backend(s, timeout, want);
}

static void reset_first(struct session *s)
{
	for (unsigned i = 0; i < s->image.n; i++)
		if (strcasecmp(s->image.at[i].name, encoding) != 0 &&
		    strcasecmp(s->image.at[i].name, timeout) != 0 &&
		    !tries_setting(s->backend, s->image.at[i].name) &&
		    settings_get(&s->backend->image, s->image.at[i].name) != NULL) {
			set_on_backend(s, s->image.at[i].name, NULL);
			settings_set(&s->backend->image, span_str(s->image.at[i].name), NULL);
		}
}

/* PostgreSQL 14 and later report changed parameters only in front of ReadyForQuery. */
bool image_reports_at_once(const struct backend *b)
{
	const char *version = settings_get(&b->params, "server_version");

	return version != NULL && atoi(version) < 14;
}

/* Do the commands that make the images equal change this reported parameter? */
static bool image_changes(const struct session *s, const char *name)
{
	const struct settings *of[] = {&s->image, &s->backend->image};

	for (unsigned i = 0; i < 2; i++) {
		if (settings_get(of[i], name) != NULL)
			return true;
		if (strcmp(name, "is_superuser") == 0 &&
		    (settings_get(of[i], "role") != NULL ||
		     settings_get(of[i], "session_authorization") != NULL))
			return true;
	}
	return false;
}

/* Tells the client what its new backend reports differently. `changing`: what the image commands, still to be sent, change is
 * left out: now it is another client's value, and its report will come. */
void image_tell_params(struct session *s, bool changing)
{
	struct backend *b = s->backend;

	if (s->welcome_learning || s->replication != NULL || settings_unite(&s->params, &b->params))
		return;
	for (unsigned i = 0; i < b->params.n; i++) {
		const char *told = settings_get(&s->params, b->params.at[i].name);
		struct span v = span_str(b->params.at[i].value);

		if (told != NULL && strcmp(told, b->params.at[i].value) == 0)
			continue;
		if (changing ? image_changes(s, b->params.at[i].name)
			     : image_reset_value(s, span_str(b->params.at[i].name), v) != NULL)
			continue; /* a RESET was told already as what it means for this client */
		write_param_status(conn_out(s->client), span_str(b->params.at[i].name), v);
		conn_flush_later(s->client);
		settings_set(&s->params, span_str(b->params.at[i].name), &v);
	}
	image_note_params(s);
}

void image_synced(struct session *s)
{
	s->linking = false;
	s->linked = true;
	s->attempts = 0;
	settings_clear(&s->tried);
	if (image_reports_at_once(s->backend))
		image_tell_params(s, false);
}

/* The backend logged in under other defaults (ALTER ROLE .. SET): they are the session's now, and what was to be filled under the
 * old ones is not. */
static void adopt_defaults(struct session *s)
{
	struct pool_defaults *d;

	if (s->welcome_learning || s->defaults == NULL ||
	    settings_same(&s->backend->defaults, &s->defaults->defaults))
		return;
	d = pool_defaults_new(s->backend);
	pool_defaults_unref(s->defaults);
	s->defaults = d;
	image_key_refresh(s);
	fill_drop(s);
}

/* BEGIN, the settings, COMMIT, pipelined and without Sync: should one of them fail, the server skips all that follows, so the
 * client's statement cannot run under the wrong settings; what comes behind its Sync is held back (image_holds). The block keeps them when the client's statement fails, and
 * leaves no pipeline behind that VACUUM and its like would refuse. Where the previous client's statement_timeout, or this one's, could meet
 * the commands, nothing of the client goes out before they are answered, so that they can be put again (ready_again). */
void image_link(struct session *s)
{
	struct backend *b = s->backend;
	bool apart, tried, hurry;

	adopt_defaults(s);
	s->linking = s->held = false;
	if (settings_unite(&s->image, &b->image) && customs_defined_here(s)) {
		s->linked = true;
		s->attempts = 0;
		image_tell_params(s, false);
		return;
	}
	apart = !speaks_server_encoding(b);
	image_tell_params(s, true);
	count(&s->house->host.counters, image_syncs);
	hurry = hurries(s, &b->image) || hurries(s, &s->image);
	tried = tries_link(s, &apart);
	backend_sys(b, SYS_BEGIN, NULL, 0, WHY_IMAGE, 0);
	if (hurry)
		set_on_backend(s, timeout, "0");
	if (apart)
		set_on_backend(s, encoding, settings_get(&b->params, "server_encoding"));
	if (s->welcome_learning)
		reset_first(s);
	put_roles_back(s);
	settings_diff(&b->image, &s->image, put_reset, s);
	settings_diff(&b->image, &s->image, put_value, s);
	customs_define(s);
	put_roles(s);
	put_encoding(s, apart);
	put_timeout(s, hurry);
	backend_sys(b, SYS_COMMIT, NULL, 0, WHY_IMAGE, IMAGE_LAST);
	s->linking = true;
	s->held = (tried || hurry) && !s->welcome_learning;
	s->link_batch = b->expects.batches_sent;
	if (s->held)
		backend_sync(b, WHY_IMAGE); /* the server does not answer before */
	if (settings_copy(&s->image, &b->image) != 0)
		b->dirty = true;
	backend_note_limits(b);
}

/* --- from the backend to the session --- */

/* How a setting was touched, in s->touched: what a RESET has left is told and put back by its startup value. */
static const char mark_set[] = "set", mark_reset[] = "reset", mark_was_reset[] = "was reset",
		  mark_local[] = "local reset", mark_maybe[] = "maybe";

static bool is_marked(const char *how, const char *mark)
{
	return how != NULL && strcmp(how, mark) == 0;
}

static void touch(struct session *s, const char *name, const char *mark)
{
	struct span v = span_str(mark);

	if (strncasecmp(name, "transaction_", 12) == 0 || strcasecmp(name, IMAGE_UNSHOWN) == 0)
		return; /* of the transaction, not of the session */
	if (settings_set(&s->touched, span_str(name), &v) >= 0)
		return;
	s->effects |= EFFECT_TAINT; /* too many to remember: the probe sees them all, but for custom ones */
	s->settings_pin |= custom_name(name);
}

const char *image_reset_value(const struct session *s, struct span name, struct span value)
{
	const char *how, *usual;
	char n[64];

	snprintf(n, sizeof(n), "%.*s", (int)name.n, (const char *)name.p);
	how = settings_get(&s->touched, n);
	if (!is_marked(how, mark_reset) && !is_marked(how, mark_local) && !is_marked(how, mark_maybe))
		return NULL;
	usual = s->defaults != NULL ? settings_get(&s->defaults->params, n) : NULL;
	if (is_marked(how, mark_maybe) &&
	    (s->reset_done < RESET_DONE || usual == NULL || !span_eq(value, span_str(usual))))
		return NULL;
	return settings_get(&s->startup, n);
}

void image_note_unknown(struct session *s)
{
	struct span maybe = span_str(mark_maybe);

	for (unsigned i = 0; i < s->startup.n; i++)
		if (settings_get(&s->touched, s->startup.at[i].name) == NULL)
			settings_set(&s->touched, span_str(s->startup.at[i].name), &maybe);
}

static bool is_reset(const char *how)
{
	return is_marked(how, mark_reset) || is_marked(how, mark_was_reset);
}

/* Does that mark in `touched` mean that a value which is not there any more has been reset? */
static bool may_be_reset(const char *how)
{
	return is_reset(how) || is_marked(how, mark_maybe);
}

static bool put_back_one(struct session *s, const struct setting *back, bool sync)
{
	const char *how = settings_get(&s->touched, back->name), *usual = NULL;
	struct span v[4] = {span_str(back->name), span_str(back->value),
			    span_str(is_marked(how, mark_local) ? "true" : "false")};

	if (image_reset_value(s, v[0], v[1]) == NULL)
		return false;
	if (strcasecmp(back->name, "session_authorization") == 0)
		usual = s->backend->target->user;
	else if (strcasecmp(back->name, "role") == 0)
		usual = login_value(s, "role", "none");
	else if (custom_name(back->name) && !tries_library(s->backend, back->name))
		usual = login_value(s, back->name, "");
	v[3] = span_str(usual != NULL ? usual : "");
	if (backend_sys_apart(s->backend, usual != NULL ? SYS_PUT_BACK_UNLISTED : SYS_PUT_BACK, v,
			      usual != NULL ? 4 : 3, WHY_RESET, sync) != 0)
		s->backend->broken = true;
	return true;
}

bool image_was_reset(const struct session *s)
{
	for (unsigned i = 0; i < s->startup.n; i++)
		if (image_reset_value(s, span_str(s->startup.at[i].name), span_str(s->startup.at[i].value)) !=
		    NULL)
			return true;
	return false;
}

/* session_authorization ends the role, and what is put behind either needs its rights; values are in the server's encoding. */
static unsigned put_back_turn(const char *name)
{
	static const char *const last[] = {"session_authorization", "role", encoding};

	for (unsigned i = 0; i < 3; i++)
		if (strcasecmp(name, last[i]) == 0)
			return 1 + i;
	return 0;
}

/* RESET on the shared backend goes back to its default, so what the startup packet asked for is set behind it, for the transaction only
 * where the RESET was: it is what the rest of the transaction sees, and is undone with the RESET. Whether the default is there now is
 * asked of the backend: of several statements a later one may have undone the RESET, and so may a savepoint. */
bool image_put_back(struct session *s, bool sync)
{
	bool sent = false;

	for (unsigned turn = 0; turn < 4; turn++)
		for (unsigned i = 0; i < s->startup.n; i++)
			if (put_back_turn(s->startup.at[i].name) == turn)
				sent |= put_back_one(s, &s->startup.at[i], sync);
	if (sent && sync && backend_sync(s->backend, WHY_RESET) != 0)
		s->backend->broken = true;
	return sent;
}

/* .. and of the transaction: its Parses are under it. */
static void note_change(struct session *s, const char *name)
{
	if (strncasecmp(name, "transaction_", 12) != 0 && image_parse_setting(name))
		under_note(s, name);
}

static void touch_each(struct session *s, const struct settings *of, bool roles)
{
	for (unsigned i = 0; i < of->n; i++)
		if (roles || !is_role(of->at[i].name)) {
			touch(s, of->at[i].name, mark_reset);
			note_change(s, of->at[i].name);
		}
}

/* RESET ALL leaves the roles, DISCARD ALL does not. */
static void touch_all(struct session *s, bool roles)
{
	touch_each(s, &s->image, roles);
	if (s->backend != NULL)
		touch_each(s, &s->backend->image, roles);
	touch_each(s, &s->startup, roles); /* also a custom setting that was made empty */
}

/* SET LOCAL: what a RESET has left is not what the setting shows for the rest of the transaction. */
static void hide_reset(struct session *s, const char *name)
{
	const char *how = settings_get(&s->touched, name);
	struct span was = span_str(is_marked(how, mark_local) ? mark_set : mark_was_reset);

	if (is_marked(how, mark_reset) || is_marked(how, mark_local))
		settings_set(&s->touched, span_str(name), &was);
}

/* SET LOCAL .. TO DEFAULT, which does nothing outside of a block. */
static void reset_locally(struct session *s, const char *name, bool block)
{
	const char *how = settings_get(&s->touched, name);

	if (!is_marked(how, mark_reset) && (block || !txn_stands_alone(s)))
		touch(s, name, is_marked(how, mark_was_reset) ? mark_reset : mark_local);
}

void image_block_ended(struct session *s)
{
	struct span set = span_str(mark_set);

	for (unsigned i = 0; i < s->touched.n; i++)
		if (is_marked(s->touched.at[i].value, mark_local))
			settings_set(&s->touched, span_str(s->touched.at[i].name), &set);
}

/* What SET LOCAL leaves of the other one, and SET of both, is asked for, unless it is a RESET. */
static void touch_roles(struct session *s)
{
	static const char *const names[] = {"role", "session_authorization"};

	for (unsigned i = 0; i < 2; i++)
		if (settings_get(&s->touched, names[i]) == NULL)
			touch(s, names[i], mark_set);
}

void image_note(struct session *s, const struct stmt_facts *f, bool block)
{
	for (unsigned i = 0; i < f->nsettings; i++) {
		const struct setting_change *change = &f->settings[i];

		note_change(s, change->name);
		/* SET LOCAL makes a custom setting known to the session for ever. */
		if (!setting_is_local(change->action) ||
		    (custom_name(change->name) && !customs_known(s, change->name)))
			touch(s, change->name, setting_resets(change->action) ? mark_reset : mark_set);
		else if (change->action == SETTING_RESET_LOCAL)
			reset_locally(s, change->name, block);
		else
			hide_reset(s, change->name);
	}
	if (f->effects & EFFECT_ROLE)
		touch_roles(s);
	if (f->effects & EFFECT_RESET_ALL)
		touch_all(s, (f->effects & EFFECT_DISCARD) != 0);
}

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
	enum sys_stmt question = custom || strcasecmp(of->at[i].name, timeout) == 0 ? SYS_GET_CUSTOM
				 : is_reset(of->at[i].value)			    ? SYS_GET_WAS_RESET
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
	if (of->n > 0 && (s->asked > 0 || s->attempts > 0 || hurries(s, &s->image)))
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
	s->probed_pins =
		(s->load_pin ? 1u << PIN_LOAD : 0) | (s->pins & (1u << PIN_SEQUENCE | 1u << PIN_SETTINGS));
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
	if (strcasecmp(name, "role") == 0)
		return span_eq(value, span_str(login_value(s, "role", "none")));
	if (strcasecmp(name, "session_authorization") == 0)
		return span_eq(value, span_str(s->backend->target->user));
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
