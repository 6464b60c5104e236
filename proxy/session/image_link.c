/* The session image put onto the backend that runs the next transaction. */
#include "proxy/session/image_private.h"

#include "config/units.h"
#include "protocol/write.h"

/* The last hidden request of a synchronisation carries this index. */
#define IMAGE_LAST 1

/* So short that a statement of ours may meet it: no server that is alive takes longer for them. */
#define HURRY_US 5000000u

bool image_hurries(const struct session *s, const struct settings *image)
{
	const char *value = settings_get(image, timeout), *why;
	uint64_t us;

	if (value == NULL)
		value = login_value(s, timeout, "0");
	return units_duration(value, &us, &why) == 0 && us > 0 && us < HURRY_US;
}

void image_put(struct session *s, const char *name, const char *value, enum expect_why why, uint32_t index)
{
	struct span v[2] = {span_str(name), value != NULL ? span_str(value) : span_of(NULL, 0)};

	backend_sys(s->backend, role_setting(name) && value != NULL ? SYS_SET_ROLE : SYS_SET, v, 2, why,
		    index);
	count(&s->house->host.counters, image_commands);
}

static void set_on_backend(struct session *s, const char *name, const char *value)
{
	image_put(s, name, value, WHY_IMAGE, 0);
}

/* What tries.c has dealt with is not to be put again. */
static bool put_apart(const struct session *s, const char *name)
{
	return role_setting(name) || strcasecmp(name, encoding) == 0 || strcasecmp(name, timeout) == 0 ||
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

/* BEGIN, the settings, COMMIT, pipelined and without Sync: should one of them fail, the server skips all that follows, so the client's
 * statement cannot run under the wrong settings; what comes behind its Sync is held back (image_holds). The block keeps them when the
 * client's statement fails, and leaves no pipeline behind that VACUUM and its like would refuse. Where the previous client's
 * statement_timeout, or this one's, could meet the commands, nothing of the client goes out before they are answered, so that they can be
 * put again (ready_again). */
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
	hurry = image_hurries(s, &b->image) || image_hurries(s, &s->image);
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
