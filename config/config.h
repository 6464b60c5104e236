/* config.h - the configuration: text in, an immutable struct out.
 * Source  PgBouncer's config manual (pgbouncer.ini works as it is); the options are the rows of options.def.
 * Shape   one typed field per global option, by its name: cfg->query_wait_timeout (microseconds). Strings
 *         are never NULL; "" = not set.
 * Owner   counted; immutable after it was made, so any number of threads may read it.
 * Thread  loading: one at a time; reading, ref, unref: any.
 * Errors  -1 and "file:line: reason", with the nearest valid key where a name is unknown. Never logs: what
 *         the caller should log once is in notices. */
#ifndef CONFIG_CONFIG_H
#define CONFIG_CONFIG_H

#include "config/policy.h"
#include "config/values.h"
#include "proxy/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct users; /* users.h */
struct hba;   /* hba.h */
struct ident; /* ident.h */
struct config_private;

enum config_option_id {
#define OPT(type, name, def, min, max, scope, life, help) OPTION_##name,
#include "config/options.def"
	OPTION_COUNT
};

enum config_kind {
	CONFIG_STRING,
	CONFIG_SECRET,
	CONFIG_INT,
	CONFIG_MODE,
	CONFIG_SIZE,
	CONFIG_DURATION,
	CONFIG_BOOL,
	CONFIG_ENUM
};

enum config_life { CONFIG_LIVE, CONFIG_RESTART, CONFIG_IGNORED };

enum config_scope { CONFIG_GLOBAL = 1, CONFIG_DATABASE = 2, CONFIG_USER = 4 };

/* A row of options.def. */
struct config_option {
	const char *name;
	enum config_kind kind;
	const char *def;
	const char *min;
	const char *max;
	unsigned scope; /* enum config_scope, or-ed */
	enum config_life life;
	const char *help;
	const char *const *words; /* of an ENUM, ends with NULL */
};

/* What an entry of [databases] or [users] overrides: values.x counts if set[OPTION_x]. Read it by
 * policy_of(). */
struct config_override {
	struct policy values;
	bool set[OPTION_COUNT];
};

#define CONFIG_IN_DATABASE_G(...)
#define CONFIG_IN_DATABASE_D(...) __VA_ARGS__
#define CONFIG_IN_DATABASE_GD(...)
#define CONFIG_IN_DATABASE_GU(...)
#define CONFIG_IN_DATABASE_GDU(...)

/* An entry of [databases]: host, port, dbname, server_user (written user=), password, connect_query, .. */
struct config_database {
	const char *name; /* "*" for the fallback */
	bool fallback;
	const char *const *hosts; /* host split at its commas; at least one */
	unsigned host_count;
	const char *host_list; /* the same, joined by commas without blanks */
#define OPT(type, name, def, min, max, scope, life, help) CONFIG_IN_DATABASE_##scope(CONFIG_C_##type name;)
#include "config/options.def"
	struct config_override over;
	const char *file; /* where it was written */
	int line;
};

/* An entry of [users]. */
struct config_user {
	const char *name;
	struct config_override over;
	const char *file;
	int line;
};

/* An entry of [peers]. */
struct config_peer {
	int id;
	const char *host; /* "" = unix_socket_dir */
	int port;
	int pool_size; /* requests under way to it at a time; 0 = default_pool_size */
};

#define CONFIG_IN_GLOBAL_G(...) __VA_ARGS__
#define CONFIG_IN_GLOBAL_D(...)
#define CONFIG_IN_GLOBAL_GD(...) __VA_ARGS__
#define CONFIG_IN_GLOBAL_GU(...) __VA_ARGS__
#define CONFIG_IN_GLOBAL_GDU(...) __VA_ARGS__

struct config {
#define OPT(type, name, def, min, max, scope, life, help) CONFIG_IN_GLOBAL_##scope(CONFIG_C_##type name;)
#include "config/options.def"

	const char *path; /* of the file; "" when made from a URL or from memory */
	bool from_url;
	const struct config_database *const *databases; /* sorted by name; "*" included */
	unsigned database_count;
	const struct config_user *const *users; /* sorted by name */
	unsigned user_count;
	const struct config_peer *peers; /* sorted by id */
	unsigned peer_count;
	const char *const *notices; /* lines for the log, once */
	unsigned notice_count;

	/* The files named by auth_file, auth_hba_file and auth_ident_file as they were when this was
	 * loaded; NULL when none is named. Counted; the config's own references. */
	struct users *userlist;
	struct hba *hba;
	struct ident *ident;

	struct config_private *priv; /* owned */
};

/* Reads the file, what it includes and the auth files it names. A relative %include is looked for in the
 * working directory, as PgBouncer does, then beside the file that includes it. */
int config_load(const char *path, struct config **cfg_r, struct err *err);

/* The same from memory, for tests and fuzzing: opens no file, so %include is an error and userlist and hba
 * are NULL. name stands for the file in messages. */
int config_parse(const char *text, size_t n, const char *name, struct config **cfg_r, struct err *err);

/* For `pgweir postgres://user:password@host:port/db?sslmode=..`: the * entry forwards every database to
 * that server; listens on 127.0.0.1:6432 only, with auth_type = trust, and userlist holds the URL's user
 * and password, so that a client of that name is logged in with them; feed_user and feed_password too. Who
 * can reach the loopback interface has the URL's rights. */
int config_from_url(const char *url, struct config **cfg_r, struct err *err);

/* Loads old->path again. Options that need a restart keep old's value, with a notice for each that
 * differs. All or nothing: on an error old simply stays. */
int config_reload(const struct config *old, struct config **cfg_r, struct err *err);

/* A copy with one global option changed: SET key = value of the console. Refuses RESTART and IGNORED
 * options. */
int config_with(const struct config *old, const char *key, const char *value, struct config **cfg_r,
		struct err *err);

struct config *config_ref(struct config *cfg);
void config_unref(struct config *cfg); /* NULL is allowed */

/* The entry for a database's name, the * entry when there is none of its own, or NULL. */
const struct config_database *config_database(const struct config *cfg, const char *name);
/* The database's name on the server: the entry's dbname, else the name the client asked for. */
const char *config_dbname(const struct config_database *db, const char *asked);
const struct config_user *config_user(const struct config *cfg, const char *name);
const struct config_peer *config_peer(const struct config *cfg, int id);

/* Is item in a list such as admin_users or ignore_startup_parameters? "*" in the list matches everything. */
bool config_list_has(const char *list, const char *item);

/* The rows, in the order of options.def; *n_r = OPTION_COUNT. */
const struct config_option *config_options(unsigned *n_r);
/* The row of that name or alias in that scope, or NULL. */
const struct config_option *config_option(const char *name, enum config_scope scope);
/* A global option's value as SHOW CONFIG prints it, e.g. seconds for durations; secrets are hidden. Always
 * terminated; text that does not fit is cut. */
void config_option_text(const struct config *cfg, const struct config_option *option, char *out, size_t n);

/* For what is found wrong with a global option after the config was made: -1 and "file:line: option: why", without file
 * and line when it is not written anywhere. */
int config_blame(const struct config *cfg, enum config_option_id id, const struct err *why, struct err *err);

/* The option's name in that scope, which may be another one; NULL = it cannot be written there. */
const char *config_option_written(const struct config_option *option, enum config_scope scope);

/* Writes docs/options.md, and pgweir.ini(5). */
void options_print(FILE *f);
void options_man(FILE *f);

#endif
