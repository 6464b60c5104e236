/* Settings that a backend may refuse although PostgreSQL took them from this client: those of libraries (plpgsql.x, auto_explain.x), which
 * are free text until the library is there and checked behind that, and temp_buffers, once temporary tables were used. What is set of
 * them on a backend goes by RESET ALL, which nothing refuses. Each that the client has set is put up to a Sync of its own; if it is refused
 * the client is warned and goes on without, as with PostgreSQL when a library finds a value that it does not take. The
 * client's statement waits for the outcome. */
#include "proxy/session/session_private.h"

#include "protocol/back.h"
#include "protocol/write.h"

#include <stdio.h>
#include <strings.h>

static const char temp_buffers[] = "temp_buffers";

bool tries_library(const struct backend *b, const char *name)
{
	const char *libraries = custom_name(name) ? settings_get(&b->defaults, "libraries") : NULL;

	return libraries != NULL && custom_name_of(name, libraries);
}

bool tries_setting(const struct backend *b, const char *name)
{
	return strcasecmp(name, temp_buffers) == 0 || tries_library(b, name);
}

static bool differs(const struct settings *from, const struct setting *setting)
{
	const char *value = settings_get(from, setting->name);

	return value == NULL || strcmp(value, setting->value) != 0;
}

/* Of the image nothing stays; RESET ALL would leave the roles. */
static void reset_all(struct session *s)
{
	struct backend *b = s->backend;

	image_put_roles_back(s, WHY_IMAGE, 0);
	backend_sys(b, SYS_RESET_ALL, NULL, 0, WHY_IMAGE, 0);
	backend_sync(b, WHY_IMAGE);
	settings_clear(&b->image);
}

/* Under the login's own rights, and in the server's encoding, like all others; both are put right behind it. */
static void try_one(struct session *s, unsigned i, bool apart)
{
	image_put_roles_back(s, WHY_TRY, i);
	if (apart)
		image_put(s, "client_encoding", settings_get(&s->backend->params, "server_encoding"), WHY_TRY,
			  i);
	image_put(s, s->tried.at[i].name, s->tried.at[i].value, WHY_TRY, i);
	backend_sync(s->backend, WHY_TRY);
}

bool tries_link(struct session *s, bool *apart)
{
	struct backend *b = s->backend;
	bool reset = false, tried = false;

	for (unsigned i = 0; i < b->image.n && !reset; i++)
		reset = tries_setting(b, b->image.at[i].name) && differs(&s->image, &b->image.at[i]);
	if (reset) {
		*apart |= settings_get(&b->image, "client_encoding") != NULL;
		reset_all(s);
	}
	for (unsigned i = 0; i < s->image.n; i++)
		if (tries_setting(b, s->image.at[i].name) && differs(&b->image, &s->image.at[i])) {
			if (!tried)
				settings_copy(&s->image, &s->tried);
			try_one(s, i, *apart);
			tried = true;
		}
	return reset || tried;
}

static bool is_about_the_value(struct span sqlstate)
{
	static const char *const classes[] = {"22", "42", "55", "0A"};

	for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
		if (sqlstate.n == 5 && memcmp(sqlstate.p, classes[i], 2) == 0)
			return true;
	return false;
}

static int forget(struct session *s, const char *name)
{
	struct span n = span_str(name), yes = span_str("");

	/* While a login is learned the questions behind it go by the places in its image. */
	if (s->welcome_learning)
		return settings_set(&s->arrival->refused, n, &yes);
	if (settings_set(&s->image, n, NULL) < 0 || settings_set(&s->startup, n, NULL) < 0)
		return -1;
	return settings_set(&s->backend->image, n, NULL);
}

bool tries_refused(struct session *s, const struct expect *head, struct span body)
{
	struct log_who who = session_who(s);
	struct back_error e = {0};
	char text[600], reason[400], state[6] = "01000";
	const char *why, *name;

	if (head->kind == EXPECT_PARSE || head->index >= s->tried.n ||
	    back_error_decode(body, &e, &why) != 0 || !is_about_the_value(e.sqlstate))
		return false;
	name = s->tried.at[head->index].name;
	if (forget(s, name) < 0)
		return false;
	memcpy(state, e.sqlstate.p, 5);
	snprintf(reason, sizeof reason, "%.*s", (int)e.message.n, (const char *)e.message.p);
	snprintf(text, sizeof text, "setting \"%s\" goes back to its default: %s", name, reason);
	log_warn(&who, "setting dropped", F_STR("name", name), F_STR("reason", reason));
	count(&s->house->host.counters, settings_dropped);
	write_error(conn_out(s->client), 'N', "WARNING", state, text, NULL, NULL);
	conn_flush_later(s->client);
	if (!s->welcome_learning) {
		image_key_refresh(s);
		fill_drop(s);
	}
	return true;
}

int tries_learned(struct session *s, struct settings *image)
{
	const struct settings *refused = &s->arrival->refused;

	for (unsigned i = 0; i < refused->n; i++)
		if (settings_set(image, span_str(refused->at[i].name), NULL) < 0)
			return -1;
	return 0;
}

bool tries_fit(const struct settings *image, const struct backend *b)
{
	const char *want = settings_get(image, temp_buffers), *have;

	if (want == NULL || !b->temp_used)
		return true;
	have = settings_get(&b->image, temp_buffers);
	return have != NULL && strcmp(have, want) == 0;
}

bool tries_picky(const struct settings *image)
{
	return settings_get(image, temp_buffers) != NULL;
}
