#include "config/config.h"

#include "config/build.h"
#include "config/hba.h"
#include "config/ident.h"
#include "config/ini.h"
#include "config/option.h"
#include "config/users.h"
#include "proxy/base/check.h"

#include <stdlib.h>
#include <string.h>

struct config *config_ref(struct config *cfg)
{
	check(atomic_fetch_add_explicit(&cfg->priv->refs, 1, memory_order_relaxed) > 0);
	return cfg;
}

void config_unref(struct config *cfg)
{
	if (cfg == NULL || atomic_fetch_sub_explicit(&cfg->priv->refs, 1, memory_order_acq_rel) != 1)
		return;
	users_unref(cfg->userlist);
	hba_free(&cfg->hba);
	ident_free(&cfg->ident);
	text_pool_free(&cfg->priv->pool);
	free(cfg->priv);
	free(cfg);
}

int config_load(const char *path, struct config **cfg_r, struct err *err)
{
	struct config *cfg = build_new(path, true);
	struct config_private *priv = cfg->priv;
	char *text;
	size_t n;

	if (text_read(priv->pool, path, &text, &n, err) != 0 ||
	    ini_read(priv->pool, text, n, path, true, &priv->doc, err) != 0) {
		config_unref(cfg);
		return -1;
	}
	return build_finish(cfg, cfg_r, err);
}

int config_parse(const char *text, size_t n, const char *name, struct config **cfg_r, struct err *err)
{
	struct config *cfg = build_new("", false);
	struct config_private *priv = cfg->priv;

	if (ini_read(priv->pool, text, n, name, false, &priv->doc, err) != 0) {
		config_unref(cfg);
		return -1;
	}
	return build_finish(cfg, cfg_r, err);
}

/* A config of the same settings, not yet built. */
static struct config *config_again(const struct config *old)
{
	struct config *cfg = build_new(old->path, old->priv->files);

	build_take_doc(cfg, &old->priv->doc);
	cfg->from_url = old->from_url;
	if (!old->priv->files && old->userlist != NULL)
		cfg->userlist = users_ref(old->userlist);
	return cfg;
}

static void config_add(struct config *cfg, const char *file, const char *key, const char *value)
{
	struct text_pool *pool = cfg->priv->pool;

	ini_add(pool, &cfg->priv->doc,
		(struct ini_setting){.section = "pgweir",
				     .key = text_dup_str(pool, key),
				     .value = text_dup_str(pool, value),
				     .file = file,
				     .line = 1,
				     .literal = true});
}

int config_with(const struct config *old, const char *key, const char *value, struct config **cfg_r,
		struct err *err)
{
	const struct config_option *o = config_option(key, CONFIG_GLOBAL);
	struct config *cfg;

	if (o == NULL)
		return err_state(err, "42704", "unknown option \"%s\"", key);
	if (o->life == CONFIG_RESTART)
		return err_state(err, "55P02", "\"%s\" needs a restart", key);
	if (o->life == CONFIG_IGNORED)
		return err_state(err, "55P02", "\"%s\" is not used: %s", key, o->help);
	cfg = config_again(old);
	config_add(cfg, "SET", key, value);
	return build_finish(cfg, cfg_r, err);
}

/* An option stays as it was. What a secret was or would be is nobody's business. */
static void note_restart(struct config *kept, const struct config_option *o, const void *was, const void *is)
{
	struct text_pool *pool = kept->priv->pool;

	if (o->kind == CONFIG_SECRET)
		build_notice(kept, "%s needs a restart: it stays as it was", o->name);
	else
		build_notice(kept, "%s needs a restart: it stays %s, not %s", o->name,
			     option_text(pool, o, was), option_text(pool, o, is));
}

int config_reload(const struct config *old, struct config **cfg_r, struct err *err)
{
	unsigned n, differ = 0;
	const struct config_option *rows = config_options(&n);
	struct config *read, *kept;

	if (*old->path == '\0')
		return build_finish(config_again(old), cfg_r, err);
	if (config_load(old->path, &read, err) != 0)
		return -1;
	kept = config_again(read);
	for (unsigned i = 0; i < n; i++) {
		const void *was = option_in_config(old, i), *is = option_in_config(read, i);

		if (rows[i].life != CONFIG_RESTART || option_equal(&rows[i], was, is))
			continue;
		config_add(kept, "RELOAD", rows[i].name, option_text(kept->priv->pool, &rows[i], was));
		differ++;
	}
	if (differ == 0) {
		config_unref(kept);
		*cfg_r = read;
		return 0;
	}
	if (build_finish(kept, &kept, err) != 0) {
		config_unref(read);
		return -1;
	}
	for (unsigned i = 0; i < n; i++) {
		const void *was = option_in_config(kept, i), *is = option_in_config(read, i);

		if (rows[i].life == CONFIG_RESTART && !option_equal(&rows[i], was, is))
			note_restart(kept, &rows[i], was, is);
	}
	config_unref(read);
	*cfg_r = kept;
	return 0;
}

static int name_of_database(const void *key, const void *item)
{
	return strcmp(key, (*(const struct config_database *const *)item)->name);
}

static int name_of_user(const void *key, const void *item)
{
	return strcmp(key, (*(const struct config_user *const *)item)->name);
}

static const struct config_database *database_named(const struct config *cfg, const char *name)
{
	const struct config_database *const *found;

	if (cfg->database_count == 0)
		return NULL;
	found = bsearch(name, cfg->databases, cfg->database_count, sizeof(*cfg->databases), name_of_database);
	return found != NULL ? *found : NULL;
}

const struct config_database *config_database(const struct config *cfg, const char *name)
{
	const struct config_database *db = database_named(cfg, name);

	if (db != NULL)
		return db;
	db = database_named(cfg, "*");
	return db != NULL && db->fallback ? db : NULL;
}

const char *config_dbname(const struct config_database *db, const char *asked)
{
	return *db->dbname != '\0' ? db->dbname : asked;
}

const struct config_user *config_user(const struct config *cfg, const char *name)
{
	const struct config_user *const *found;

	if (cfg->user_count == 0)
		return NULL;
	found = bsearch(name, cfg->users, cfg->user_count, sizeof(*cfg->users), name_of_user);
	return found != NULL ? *found : NULL;
}

const struct config_peer *config_peer(const struct config *cfg, int id)
{
	for (unsigned i = 0; i < cfg->peer_count; i++)
		if (cfg->peers[i].id == id)
			return &cfg->peers[i];
	return NULL;
}

bool config_list_has(const char *list, const char *item)
{
	size_t want = strlen(item), n;

	for (;; list++) {
		list += strspn(list, " \t");
		n = strcspn(list, ",");
		const char *end = list + n;

		while (n > 0 && strchr(" \t", list[n - 1]) != NULL)
			n--;
		if ((n == 1 && *list == '*') || (n == want && n > 0 && memcmp(list, item, n) == 0))
			return true;
		list = end;
		if (*list == '\0')
			return false;
	}
}
