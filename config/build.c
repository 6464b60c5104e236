#include "config/build.h"

#include "config/connstr.h"
#include "config/expand.h"
#include "config/hba.h"
#include "config/ident.h"
#include "config/option.h"
#include "config/units.h"
#include "config/users.h"
#include "proxy/base/check.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* A config under construction. */
struct build {
	struct config *cfg;
	struct text_pool *pool;
	struct err *err;
	const struct ini_setting *at; /* the setting being read, for messages */
	bool noticed[OPTION_COUNT];
	struct config_database **databases;
	struct config_user **users;
	struct config_peer *peers;
	unsigned room; /* of each of the three */
};

static int fail(struct build *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static int fail(struct build *b, const char *fmt, ...)
{
	va_list ap;
	char why[440];

	va_start(ap, fmt);
	vsnprintf(why, sizeof why, fmt, ap);
	va_end(ap);
	return err_set(b->err, "%s:%d: %s", b->at->file, b->at->line, why);
}

struct config *build_new(const char *path, bool files)
{
	struct config *cfg = check_alloc(sizeof *cfg);

	cfg->priv = check_alloc(sizeof *cfg->priv);
	cfg->priv->pool = text_pool_new();
	cfg->priv->files = files;
	atomic_init(&cfg->priv->refs, 1);
	cfg->path = text_dup_str(cfg->priv->pool, path);
	return cfg;
}

void build_notice(struct config *cfg, const char *fmt, ...)
{
	struct text_pool *pool = cfg->priv->pool;
	const char **notices = text_alloc(pool, (cfg->notice_count + 1) * sizeof *notices);
	va_list ap;
	char line[512];

	va_start(ap, fmt);
	vsnprintf(line, sizeof line, fmt, ap);
	va_end(ap);
	if (cfg->notice_count > 0)
		memcpy(notices, cfg->notices, cfg->notice_count * sizeof *notices);
	notices[cfg->notice_count++] = text_dup_str(pool, line);
	cfg->notices = notices;
}

static const char *scope_name(enum config_scope scope)
{
	return scope == CONFIG_GLOBAL ? "[pgweir]" : scope == CONFIG_DATABASE ? "[databases]" : "[users]";
}

/* Every section in which the key may be written, as "[pgweir] or [databases]"; NULL = in none. */
static const char *sections_of(struct build *b, const char *key)
{
	const char *list = NULL;

	for (unsigned scope = CONFIG_USER; scope >= CONFIG_GLOBAL; scope >>= 1) {
		if (config_option(key, scope) == NULL)
			continue;
		if (list == NULL)
			list = scope_name(scope);
		else
			list = text_printf(b->pool, "%s%s%s", scope_name(scope),
					   strstr(list, " or ") != NULL ? ", " : " or ", list);
	}
	return list;
}

/* What the option of that name in some other section is called in this one, or NULL. */
static const char *name_here(const char *key, enum config_scope scope)
{
	for (unsigned other = CONFIG_GLOBAL; other <= CONFIG_USER; other <<= 1) {
		const struct config_option *o = config_option(key, other);

		if (o != NULL && o->scope & scope)
			return config_option_written(o, scope);
	}
	return NULL;
}

/* No such key here: say where it belongs, or what was probably meant. */
static int unknown_key(struct build *b, const char *key, enum config_scope scope)
{
	const char *here = name_here(key, scope), *there = sections_of(b, key), *nearest;

	if (here != NULL)
		return fail(b, "\"%s\" is written %s in %s", key, here, scope_name(scope));
	if (there != NULL)
		return fail(b, "\"%s\" belongs into %s, not into %s", key, there, scope_name(scope));
	nearest = text_nearest(key, option_names(b->pool, scope));
	if (nearest == NULL)
		return fail(b, "unknown key \"%s\" in %s", key, scope_name(scope));
	return fail(b, "unknown key \"%s\" in %s, did you mean \"%s\"?", key, scope_name(scope), nearest);
}

/* ${env:..} and ${file:..}, only in files: what comes over the console must not read any. */
static int expand(struct build *b, const char *key, const char *text, const char **text_r)
{
	struct err why;

	*text_r = text;
	if (!b->cfg->priv->files || b->at->literal)
		return 0;
	return expand_value(b->pool, text, b->at->file, text_r, &why) == 0 ? 0
									   : fail(b, "%s: %s", key, why.text);
}

/* Puts the value into the field, or notes that the option is not used. */
static int assign(struct build *b, const struct config_option *o, const char *text, void *field)
{
	enum config_option_id id = option_id(o);
	struct err why;

	if (o->life == CONFIG_IGNORED) {
		if (!b->noticed[id])
			build_notice(b->cfg, "%s:%d: %s is accepted and ignored: %s", b->at->file,
				     b->at->line, o->name, o->help);
		b->noticed[id] = true;
		return 0;
	}
	if (expand(b, o->name, text, &text) != 0)
		return -1;
	if (option_set(b->pool, o, text, field, &why) != 0)
		return fail(b, "%s", why.text);
	return 0;
}

static int set_global(struct build *b)
{
	const struct config_option *o = config_option(b->at->key, CONFIG_GLOBAL);
	const struct ini_setting *before;

	if (o == NULL)
		return unknown_key(b, b->at->key, CONFIG_GLOBAL);
	before = b->cfg->priv->where[option_id(o)];
	if (before != NULL && !b->at->literal && o->life != CONFIG_IGNORED)
		build_notice(b->cfg, "%s:%d: %s is written twice (%s:%d); this one counts", b->at->file,
			     b->at->line, o->name, before->file, before->line);
	b->cfg->priv->where[option_id(o)] = b->at;
	return assign(b, o, b->at->value, option_in_config(b->cfg, option_id(o)));
}

static void note_twice_in_entry(struct build *b, const char *key)
{
	build_notice(b->cfg, "%s:%d: %s is written twice in one entry; the last one counts", b->at->file,
		     b->at->line, key);
}

/* The pairs of one entry; db is NULL in [users]. */
static int set_entry(struct build *b, enum config_scope scope, struct config_database *db,
		     struct config_override *over)
{
	char *at = text_dup_str(b->pool, b->at->value), *key, *value;
	bool seen[OPTION_COUNT] = {false};
	enum connstr_status status;
	const char *why;

	while ((status = connstr_next(&at, &key, &value, &why)) == CONNSTR_PAIR) {
		const struct config_option *o = config_option(key, scope);
		void *field = NULL;

		if (o == NULL)
			return unknown_key(b, key, scope);
		if (seen[option_id(o)])
			note_twice_in_entry(b, key);
		seen[option_id(o)] = true;
		if (db != NULL)
			field = option_in_database(db, option_id(o));
		if (field == NULL) {
			field = option_in_policy(&over->values, option_id(o));
			over->set[option_id(o)] = true;
		}
		check(field != NULL);
		if (assign(b, o, value, field) != 0)
			return -1;
	}
	return status == CONNSTR_BAD ? fail(b, "%s", why) : 0;
}

static void defaults(struct build *b, enum config_scope scope, void *(*field_of)(const void *, unsigned),
		     const void *base)
{
	unsigned n;
	const struct config_option *rows = config_options(&n);
	struct err why;

	for (unsigned i = 0; i < n; i++) {
		void *field = rows[i].scope & scope ? field_of(base, i) : NULL;

		if (field != NULL)
			check(option_set(b->pool, &rows[i], rows[i].def, field, &why) == 0);
	}
}

static void *field_of_config(const void *base, unsigned id)
{
	return option_in_config(base, id);
}

static void *field_of_database(const void *base, unsigned id)
{
	return option_in_database(base, id);
}

/* host split at its commas, "" replaced by the directory of our own socket, as PgBouncer does. */
static void split_hosts(struct build *b, struct config_database *db)
{
	const char *host = *db->host != '\0' ? db->host : b->cfg->unix_socket_dir, *end;
	const char **hosts = text_alloc(b->pool, (strlen(host) + 1) * sizeof *hosts);

	for (;; host = end + 1) {
		size_t n;

		host += strspn(host, " \t");
		end = host + strcspn(host, ",");
		n = (size_t)(end - host);
		while (n > 0 && strchr(" \t", host[n - 1]) != NULL)
			n--;
		if (n > 0 || db->host_count == 0)
			hosts[db->host_count++] = text_dup(b->pool, host, n);
		if (*end == '\0')
			break;
	}
	db->hosts = hosts;
	db->host_list = hosts[0];
	for (unsigned i = 1; i < db->host_count; i++)
		db->host_list = text_printf(b->pool, "%s,%s", db->host_list, hosts[i]);
}

static int add_database(struct build *b)
{
	struct config *cfg = b->cfg;
	struct config_database *db;
	unsigned i;

	if (strcmp(b->at->key, "pgbouncer") == 0 || strcmp(b->at->key, "pgweir") == 0)
		return fail(b, "database name \"%s\" is reserved for the console", b->at->key);
	db = text_alloc(b->pool, sizeof *db);
	db->name = b->at->key;
	db->fallback = strcmp(b->at->key, "*") == 0 && !b->at->quoted;
	db->file = b->at->file;
	db->line = b->at->line;
	defaults(b, CONFIG_DATABASE, field_of_database, db);
	if (set_entry(b, CONFIG_DATABASE, db, &db->over) != 0)
		return -1;
	for (i = 0; i < cfg->database_count; i++)
		if (strcmp(b->databases[i]->name, db->name) == 0)
			break;
	if (i < cfg->database_count)
		build_notice(cfg, "%s:%d: database \"%s\" is written twice (%s:%d); this one counts",
			     db->file, db->line, db->name, b->databases[i]->file, b->databases[i]->line);
	else
		cfg->database_count++;
	b->databases[i] = db;
	return 0;
}

static int add_user(struct build *b)
{
	struct config *cfg = b->cfg;
	struct config_user *user = text_alloc(b->pool, sizeof *user);
	unsigned i;

	user->name = b->at->key;
	user->file = b->at->file;
	user->line = b->at->line;
	if (set_entry(b, CONFIG_USER, NULL, &user->over) != 0)
		return -1;
	for (i = 0; i < cfg->user_count; i++)
		if (strcmp(b->users[i]->name, user->name) == 0)
			break;
	if (i < cfg->user_count)
		build_notice(cfg, "%s:%d: user \"%s\" is written twice (%s:%d); this one counts", user->file,
			     user->line, user->name, b->users[i]->file, b->users[i]->line);
	else
		cfg->user_count++;
	b->users[i] = user;
	return 0;
}

static int peer_pair(struct build *b, struct config_peer *peer, const char *key, const char *value,
		     bool seen[3])
{
	static const char *const names[] = {"host", "port", "pool_size", NULL};
	const char *nearest, *why;
	unsigned which = 0;
	int64_t v;

	while (names[which] != NULL && strcmp(names[which], key) != 0)
		which++;
	if (names[which] == NULL) {
		nearest = text_nearest(key, names);
		return fail(b, "unknown key \"%s\" in [peers]%s%s%s", key, nearest ? ", did you mean \"" : "",
			    nearest ? nearest : "", nearest ? "\"?" : "");
	}
	if (seen[which])
		note_twice_in_entry(b, key);
	seen[which] = true;
	if (expand(b, key, value, &value) != 0)
		return -1;
	if (which == 0) {
		peer->host = text_dup_str(b->pool, value);
		return 0;
	}
	if (units_int(value, &v, &why) != 0)
		return fail(b, "%s %s, not \"%s\"", key, why, value);
	if (v < 1 || v > 65535)
		return fail(b, "%s must be 1 to 65535, not %s", key, value);
	*(which == 1 ? &peer->port : &peer->pool_size) = (int)v;
	return 0;
}

static int add_peer(struct build *b)
{
	struct config *cfg = b->cfg;
	struct config_peer peer = {.host = "", .port = 6432};
	char *at = text_dup_str(b->pool, b->at->value), *key, *value;
	enum connstr_status status;
	bool seen[3] = {false};
	const char *why;
	int64_t id;

	if (units_int(b->at->key, &id, &why) != 0 || id < 1 || id > 16383)
		return fail(b, "a peer is named by its peer_id, 1 to 16383, not \"%s\"", b->at->key);
	peer.id = (int)id;
	while ((status = connstr_next(&at, &key, &value, &why)) == CONNSTR_PAIR)
		if (peer_pair(b, &peer, key, value, seen) != 0)
			return -1;
	if (status == CONNSTR_BAD)
		return fail(b, "%s", why);
	if (*peer.host == '\0')
		return fail(b, "peer %d has no host", peer.id);
	for (unsigned i = 0; i < cfg->peer_count; i++)
		if (b->peers[i].id == peer.id)
			return fail(b, "peer %d is written twice", peer.id);
	b->peers[cfg->peer_count++] = peer;
	return 0;
}

static int add_setting(struct build *b)
{
	static const char *const sections[] = {"pgweir", "pgbouncer", "databases", "users", "peers", NULL};
	const char *section = b->at->section, *nearest;

	if (strcmp(section, "pgweir") == 0 || strcmp(section, "pgbouncer") == 0)
		return set_global(b);
	if (strcmp(section, "databases") == 0)
		return add_database(b);
	if (strcmp(section, "users") == 0)
		return add_user(b);
	if (strcmp(section, "peers") == 0)
		return add_peer(b);
	if (*section == '\0')
		return fail(b, "\"%s\" stands before the first section", b->at->key);
	nearest = text_nearest(section, sections);
	if (nearest == NULL)
		return fail(b, "unknown section [%s]", section);
	return fail(b, "unknown section [%s], did you mean [%s]?", section, nearest);
}

/* Complains at the line that set the option; it is set, for its default is harmless. */
static int fail_at(struct build *b, enum config_option_id id, const char *why)
{
	b->at = b->cfg->priv->where[id];
	check(b->at != NULL);
	return fail(b, "%s", why);
}

/* Half of a pair protects nothing, or shuts out everybody: neither may go unseen. */
static void note_stats_login(const struct build *b)
{
	struct config *cfg = b->cfg;
	bool user = *cfg->stats_user != '\0', password = *cfg->stats_password != '\0';

	if (cfg->stats_port == 0 || user == password)
		return;
	if (user)
		build_notice(cfg,
			     "stats_user without stats_password: stats_port lets nobody see anything but "
			     "/healthz and /readyz");
	else
		build_notice(cfg, "stats_password without stats_user: stats_port asks nobody for it");
}

/* What can only be said when everything has been read. */
static int check_whole(struct build *b)
{
	const struct config *cfg = b->cfg;

	if (cfg->client_tls_sslmode != SSLMODE_DISABLE &&
	    (*cfg->client_tls_key_file == '\0' || *cfg->client_tls_cert_file == '\0'))
		return fail_at(b, OPTION_client_tls_sslmode,
			       "client_tls_sslmode needs client_tls_key_file and client_tls_cert_file");
	if (cfg->client_tls_sslmode >= SSLMODE_VERIFY_CA && *cfg->client_tls_ca_file == '\0')
		return fail_at(b, OPTION_client_tls_sslmode,
			       "client_tls_sslmode = verify-ca or verify-full needs client_tls_ca_file");
	if (cfg->auth_type == AUTH_TYPE_HBA && *cfg->auth_hba_file == '\0')
		return fail_at(b, OPTION_auth_type, "auth_type = hba needs auth_hba_file");
	if (cfg->auth_type == AUTH_TYPE_CERT && cfg->client_tls_sslmode != SSLMODE_VERIFY_FULL)
		return fail_at(b, OPTION_auth_type,
			       "auth_type = cert needs client_tls_sslmode = verify-full");
	note_stats_login(b);
	return 0;
}

static int by_database(const void *a, const void *b)
{
	return strcmp((*(struct config_database *const *)a)->name,
		      (*(struct config_database *const *)b)->name);
}

static int by_user(const void *a, const void *b)
{
	return strcmp((*(struct config_user *const *)a)->name, (*(struct config_user *const *)b)->name);
}

static int by_peer(const void *a, const void *b)
{
	return ((const struct config_peer *)a)->id - ((const struct config_peer *)b)->id;
}

static int build_config(struct config *cfg, struct err *err)
{
	const struct ini_doc *doc = &cfg->priv->doc;
	struct build b = {.cfg = cfg, .pool = cfg->priv->pool, .err = err};

	b.databases = text_alloc(b.pool, (doc->count + 1) * sizeof *b.databases);
	b.users = text_alloc(b.pool, (doc->count + 1) * sizeof *b.users);
	b.peers = text_alloc(b.pool, (doc->count + 1) * sizeof *b.peers);
	defaults(&b, CONFIG_GLOBAL, field_of_config, cfg);
	for (unsigned i = 0; i < doc->count; i++) {
		b.at = &doc->settings[i];
		if (add_setting(&b) != 0)
			return -1;
	}
	if (check_whole(&b) != 0)
		return -1;
	for (unsigned i = 0; i < cfg->database_count; i++)
		split_hosts(&b, b.databases[i]);
	qsort(b.databases, cfg->database_count, sizeof *b.databases, by_database);
	qsort(b.users, cfg->user_count, sizeof *b.users, by_user);
	qsort(b.peers, cfg->peer_count, sizeof *b.peers, by_peer);
	cfg->databases = (const struct config_database *const *)b.databases;
	cfg->users = (const struct config_user *const *)b.users;
	cfg->peers = b.peers;
	return 0;
}

void build_take_doc(struct config *cfg, const struct ini_doc *doc)
{
	struct text_pool *pool = cfg->priv->pool;

	for (unsigned i = 0; i < doc->count; i++) {
		struct ini_setting s = doc->settings[i];

		s.section = text_dup_str(pool, s.section);
		s.key = text_dup_str(pool, s.key);
		s.value = text_dup_str(pool, s.value);
		s.file = text_dup_str(pool, s.file);
		ini_add(pool, &cfg->priv->doc, s);
	}
}

int config_blame(const struct config *cfg, enum config_option_id id, const struct err *why, struct err *err)
{
	const struct ini_setting *at = cfg->priv->where[id];
	unsigned n;
	const char *name = config_options(&n)[id].name;

	if (at == NULL)
		return err_set(err, "%s: %s", name, why->text);
	return err_set(err, "%s:%d: %s: %s", at->file, at->line, name, why->text);
}

static int load_auth_files(struct config *cfg, struct err *err)
{
	struct err why;

	if (*cfg->auth_file != '\0' && users_load(cfg->auth_file, &cfg->userlist, &why) != 0)
		return config_blame(cfg, OPTION_auth_file, &why, err);
	if (*cfg->auth_hba_file != '\0' && hba_load(cfg->auth_hba_file, &cfg->hba, &why) != 0)
		return config_blame(cfg, OPTION_auth_hba_file, &why, err);
	if (*cfg->auth_ident_file != '\0' && ident_load(cfg->auth_ident_file, &cfg->ident, &why) != 0)
		return config_blame(cfg, OPTION_auth_ident_file, &why, err);
	return 0;
}

int build_finish(struct config *cfg, struct config **cfg_r, struct err *err)
{
	if (build_config(cfg, err) != 0 || (cfg->priv->files && load_auth_files(cfg, err) != 0)) {
		config_unref(cfg);
		return -1;
	}
	*cfg_r = cfg;
	return 0;
}
