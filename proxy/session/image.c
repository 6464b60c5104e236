/* The session image: what a client has set. Here it is noted which settings a statement may change, and what a RESET leaves is put
 * back. */
#include "proxy/session/image_private.h"

#include <stdio.h>

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

static bool put_back_one(struct session *s, const struct setting *back, bool sync)
{
	const char *how = settings_get(&s->touched, back->name), *usual = NULL;
	enum sys_stmt how_back = SYS_PUT_BACK;
	struct span v[4] = {span_str(back->name), span_str(back->value),
			    span_str(is_marked(how, mark_local) ? "true" : "false")};

	if (image_reset_value(s, v[0], v[1]) == NULL)
		return false;
	if (role_setting(back->name)) {
		usual = login_value(s, back->name, "none");
		how_back = SYS_PUT_BACK_ROLE;
	} else if (custom_name(back->name) && !tries_library(s->backend, back->name)) {
		usual = login_value(s, back->name, "");
		how_back = SYS_PUT_BACK_UNLISTED;
	}
	v[3] = span_str(usual != NULL ? usual : "");
	if (backend_sys_apart(s->backend, how_back, v, usual != NULL ? 4 : 3, WHY_RESET, sync) != 0)
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
		if (roles || !role_setting(of->at[i].name)) {
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
