/* postgres://user:password@host:port/database?name=value&.. as libpq reads it, turned into settings. */
#include "config/config.h"

#include "config/build.h"
#include "config/connstr.h"
#include "config/text.h"
#include "config/users.h"
#include "proxy/base/check.h"

#include <stdlib.h>
#include <string.h>

#define WHO "URL" /* stands for the file in messages */

/* The parameters we have a place for, and the option that they set. */
static const struct parameter {
	const char *name;
	const char *section; /* NULL = a part of the URL itself */
	const char *key;
} parameters[] = {
	{"user", NULL, NULL},
	{"password", NULL, NULL},
	{"host", NULL, NULL},
	{"port", NULL, NULL},
	{"dbname", NULL, NULL},
	{"sslmode", "pgweir", "server_tls_sslmode"},
	{"sslrootcert", "pgweir", "server_tls_ca_file"},
	{"sslcert", "pgweir", "server_tls_cert_file"},
	{"sslkey", "pgweir", "server_tls_key_file"},
	{"connect_timeout", "pgweir", "server_connect_timeout"},
	{"application_name", "databases", "application_name"},
	{"client_encoding", "databases", "client_encoding"},
	{"target_session_attrs", "databases", "target_session_attrs"},
	{"load_balance_hosts", "databases", "load_balance_hosts"},
};

/* What else the URLs of drivers and hosting services say: about the client's own connection, so nothing that we could use. */
static const char *const others[] = {
	"channel_binding",
	"gssencmode",
	"keepalives",
	"keepalives_idle",
	"keepalives_interval",
	"keepalives_count",
	"tcp_user_timeout",
	"fallback_application_name",
	"options",
	"sslnegotiation",
	"schema",
	"pgbouncer",
	"connection_limit",
	"pool_timeout",
	"statement_cache_size",
	"sslaccept",
};

static bool is_other(const char *name)
{
	for (size_t i = 0; i < sizeof others / sizeof *others; i++)
		if (strcmp(others[i], name) == 0)
			return true;
	return false;
}

#define PARAMETER_COUNT (sizeof parameters / sizeof *parameters)

struct url {
	struct config *cfg;
	struct text_pool *pool;
	struct err *err;
	const char *value[PARAMETER_COUNT]; /* by position in parameters; NULL = not given */
};

enum { URL_USER, URL_PASSWORD, URL_HOST, URL_PORT, URL_DBNAME };

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* A part of the URL without its percent escapes, or NULL. */
static char *unescape(struct url *u, const char *s, size_t n)
{
	char *out = text_alloc(u->pool, n + 1), *to = out;

	for (size_t i = 0; i < n; i++) {
		int high, low;

		if (s[i] != '%') {
			*to++ = s[i];
			continue;
		}
		high = i + 2 < n ? hex(s[i + 1]) : -1;
		low = i + 2 < n ? hex(s[i + 2]) : -1;
		if (high < 0 || low < 0 || (high == 0 && low == 0)) {
			err_set(u->err, WHO ": broken %% escape");
			return NULL;
		}
		*to++ = (char)(high << 4 | low);
		i += 2;
	}
	return out;
}

/* Sets value[at] unless the part is empty. */
static int take(struct url *u, unsigned at, const char *s, size_t n)
{
	const char *value = unescape(u, s, n);

	if (value == NULL)
		return -1;
	if (*value != '\0')
		u->value[at] = value;
	return 0;
}

/* One host, or several with commas; a config has one port for all of them. */
static int parse_hosts(struct url *u, const char *s, const char *end)
{
	const char *hosts = "", *comma, *host_end, *port, *host;

	for (; s <= end; s = comma + 1) {
		bool bracket = s < end && *s == '[';

		comma = memchr(s, ',', (size_t)(end - s));
		if (comma == NULL)
			comma = end;
		host_end =
			bracket ? memchr(s, ']', (size_t)(comma - s)) : memchr(s, ':', (size_t)(comma - s));
		if (bracket && host_end == NULL)
			return err_set(u->err, WHO ": an IPv6 address does not end with ]");
		if (host_end == NULL)
			host_end = comma;
		port = host_end + bracket;
		if (port < comma && *port != ':')
			return err_set(u->err, WHO ": expected a : and the port behind ]");
		host = unescape(u, s + bracket, (size_t)(host_end - s) - bracket);
		if (host == NULL)
			return -1;
		if (*host != '\0')
			hosts = *hosts == '\0' ? host : text_printf(u->pool, "%s,%s", hosts, host);
		if (port + 1 < comma) {
			const char *text = text_dup(u->pool, port + 1, (size_t)(comma - port - 1));

			if (u->value[URL_PORT] != NULL && strcmp(u->value[URL_PORT], text) != 0)
				return err_set(u->err, WHO ": all hosts must have the same port");
			u->value[URL_PORT] = text;
		}
		if (comma == end)
			break;
	}
	if (*hosts != '\0')
		u->value[URL_HOST] = hosts;
	return 0;
}

static int parse_parameter(struct url *u, const char *s, const char *end)
{
	const char *names[PARAMETER_COUNT + 1] = {0}, *equals = memchr(s, '=', (size_t)(end - s)), *nearest;
	char *name;

	if (equals == NULL)
		return err_set(u->err, WHO ": expected name=value after the ?");
	name = unescape(u, s, (size_t)(equals - s));
	if (name == NULL)
		return -1;
	for (unsigned i = 0; i < PARAMETER_COUNT; i++) {
		names[i] = parameters[i].name;
		if (strcmp(names[i], name) == 0)
			return take(u, i, equals + 1, (size_t)(end - equals - 1));
	}
	if (is_other(name)) {
		build_notice(u->cfg, WHO ": %s is left out: it is the client's", name);
		return 0;
	}
	nearest = text_nearest(name, names);
	if (nearest == NULL)
		return err_set(u->err, WHO ": unknown parameter \"%s\"", name);
	return err_set(u->err, WHO ": unknown parameter \"%s\", did you mean \"%s\"?", name, nearest);
}

static int parse_query(struct url *u, const char *s)
{
	const char *end;

	for (; *s != '\0'; s = *end == '\0' ? end : end + 1) {
		end = s + strcspn(s, "&");
		if (parse_parameter(u, s, end) != 0)
			return -1;
	}
	return 0;
}

static int parse(struct url *u, const char *text)
{
	const char *s, *end, *at, *colon, *query;

	if (strncmp(text, "postgres://", 11) == 0)
		s = text + 11;
	else if (strncmp(text, "postgresql://", 13) == 0)
		s = text + 13;
	else
		return err_set(u->err, WHO ": must start with postgres:// or postgresql://");
	end = s + strcspn(s, "/?");
	at = memchr(s, '@', (size_t)(end - s));
	if (at != NULL) {
		colon = memchr(s, ':', (size_t)(at - s));
		if (take(u, URL_USER, s, (size_t)((colon ? colon : at) - s)) != 0)
			return -1;
		if (colon != NULL && take(u, URL_PASSWORD, colon + 1, (size_t)(at - colon - 1)) != 0)
			return -1;
		s = at + 1;
	}
	if (parse_hosts(u, s, end) != 0)
		return -1;
	query = end + strcspn(end, "?");
	if (*end == '/' && take(u, URL_DBNAME, end + 1, (size_t)(query - end - 1)) != 0)
		return -1;
	return *query == '?' ? parse_query(u, query + 1) : 0;
}

static void add(struct url *u, const char *section, const char *key, const char *value)
{
	ini_add(u->pool, &u->cfg->priv->doc,
		(struct ini_setting){.section = section, .key = key, .value = value, .file = WHO, .line = 1});
}

/* The settings that the URL stands for. */
static void write_settings(struct url *u)
{
	const char *entry = "", *const *v = u->value;

	add(u, "pgweir", "listen_addr", "127.0.0.1");
	add(u, "pgweir", "unix_socket_dir", "");
	add(u, "pgweir", "auth_type", "trust");
	add(u, "pgweir", "admin_users", "*");
	if (v[URL_HOST] == NULL)
		entry = "host=localhost";
	else
		entry = text_printf(u->pool, "host=%s", connstr_quote(u->pool, v[URL_HOST]));
	if (v[URL_PORT] != NULL)
		entry = text_printf(u->pool, "%s port=%s", entry, connstr_quote(u->pool, v[URL_PORT]));
	if (v[URL_USER] != NULL)
		entry = text_printf(u->pool, "%s feed_user=%s", entry, connstr_quote(u->pool, v[URL_USER]));
	if (v[URL_PASSWORD] != NULL)
		entry = text_printf(u->pool, "%s feed_password=%s", entry,
				    connstr_quote(u->pool, v[URL_PASSWORD]));
	for (unsigned i = 0; i < PARAMETER_COUNT; i++) {
		if (v[i] == NULL || parameters[i].section == NULL)
			continue;
		if (strcmp(parameters[i].section, "pgweir") == 0)
			add(u, "pgweir", parameters[i].key, v[i]);
		else
			entry = text_printf(u->pool, "%s %s=%s", entry, parameters[i].key,
					    connstr_quote(u->pool, v[i]));
	}
	add(u, "databases", "*", entry);
	if (v[URL_DBNAME] != NULL && strcmp(v[URL_DBNAME], "*") != 0)
		add(u, "databases", v[URL_DBNAME], entry);
}

int config_from_url(const char *url, struct config **cfg_r, struct err *err)
{
	struct config *cfg = build_new("", false);
	struct url u = {.cfg = cfg, .pool = cfg->priv->pool, .err = err};
	int line;

	if (text_bad_byte(url, strlen(url), &line) != strlen(url)) {
		err_set(err, WHO ": control character in the text");
		goto fail;
	}
	if (parse(&u, url) != 0)
		goto fail;
	write_settings(&u);
	cfg->from_url = true;
	if (u.value[URL_USER] != NULL)
		cfg->userlist = users_single(u.value[URL_USER],
					     u.value[URL_PASSWORD] != NULL ? u.value[URL_PASSWORD] : "");
	return build_finish(cfg, cfg_r, err);
fail:
	config_unref(cfg);
	return -1;
}
