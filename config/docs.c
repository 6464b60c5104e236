/* docs/options.md, written from options.def. */
#include "config/config.h"

#include <string.h>

static const char intro[] =
	"# Options\n"
	"\n"
	"Written by `ninja options.md` from `config/options.def`; do not edit.\n"
	"\n"
	"The file is an ini file in PgBouncer's dialect with the sections `[pgweir]` (or\n"
	"`[pgbouncer]`), `[databases]`, `[users]` and `[peers]`; a pgbouncer.ini works as it is.\n"
	"`%include FILE` reads another file in its place, seen from the working directory, or else\n"
	"from the including file's. Lines that start with `;` or `#` are comments; there are no\n"
	"comments behind a value. An entry of the last three sections is\n"
	"`name = key=value key='quoted value' ..`; a quote within quotes is doubled; a name with\n"
	"unusual characters goes into double quotes. The entry `*` of `[databases]` stands for every\n"
	"database without an entry of its own. What `[users]` says wins over `[databases]`, and that\n"
	"over `[pgweir]`.\n"
	"\n"
	"Durations: a plain number is seconds; `us`, `ms`, `s`, `min`, `h`, `d` may follow. Sizes: a\n"
	"plain number is bytes; `kB`, `MB`, `GB`, `TB` may follow. *Change* says whether a reload\n"
	"(SIGHUP, `RELOAD`) is enough; *ignored* keys are accepted with one notice each, so that an\n"
	"old file loads.\n"
	"\n"
	"## Secrets\n"
	"\n"
	"`${env:NAME}` in a value stands for that environment variable and `${file:PATH}` for the one\n"
	"line of that file (beside the ini file, when PATH is relative), e.g.\n"
	"`feed_password = ${file:/run/secrets/feed}`. A variable or file that is missing is an error.\n"
	"A reload reads them again. `auth_file` is a file of its own.\n"
	"\n"
	"## What differs from PgBouncer\n"
	"\n"
	"- `pool_mode` is `transaction` by default, for sessions keep their state in it.\n"
	"- Durations and sizes may have units, and some options may be written for a database or a\n"
	"  user too.\n"
	"- No startup parameter is refused; `ignore_startup_parameters` names those to drop.\n"
	"- An `auth_file` that cannot be read is an error, not a warning; a reload is all or nothing.\n"
	"\n"
	"## Start from a URL\n"
	"\n"
	"`pgweir postgres://user:password@host:port/database?sslmode=require` needs no file. It\n"
	"forwards every database to that server and listens on 127.0.0.1:6432 only, with\n"
	"`auth_type = trust` and without a unix socket. When the client's user is the URL's, the\n"
	"URL's password is used for the server; other users log in there without a password. So\n"
	"whoever can reach the loopback interface has the URL's rights, and those of the console:\n"
	"fine for trying it out, not for a shared machine. Parameters: `sslmode`, `sslrootcert`,\n"
	"`sslcert`, `sslkey`, `connect_timeout`, `application_name`, `client_encoding`,\n"
	"`target_session_attrs`, `load_balance_hosts`, and `user`, `password`, `host`, `port`, `dbname`. What else\n"
	"drivers put there is left out, with a notice, when it is one of `channel_binding`, `connection_limit`,\n"
	"`fallback_application_name`, `gssencmode`, `keepalives`, `keepalives_count`, `keepalives_idle`, `keepalives_interval`,\n"
	"`options`, `pgbouncer`, `pool_timeout`, `schema`, `sslaccept`, `sslnegotiation`, `statement_cache_size`,\n"
	"`tcp_user_timeout`. Any other (`sslcrl`, `hostaddr`, `prepareThreshold`, ..) is an error.\n"
	"\n"
	"## [peers]\n"
	"\n"
	"`peer_id = host=.. port=.. pool_size=..` for each other process behind the same address;\n"
	"cancel requests that belong to a peer are passed on to it.\n";

static void print_values(FILE *f, const struct config_option *o)
{
	static const char *const kinds[] = {
		[CONFIG_STRING] = "text", [CONFIG_SECRET] = "text (hidden)",
		[CONFIG_INT] = "number",  [CONFIG_MODE] = "octal",
		[CONFIG_SIZE] = "size",	  [CONFIG_DURATION] = "duration",
		[CONFIG_BOOL] = "0, 1",
	};

	if (o->kind != CONFIG_ENUM) {
		fputs(kinds[o->kind], f);
		if (*o->max != '\0')
			fprintf(f, ", %s to %s", o->min, o->max);
		return;
	}
	for (unsigned i = 0; o->words[i] != NULL; i++)
		fprintf(f, "%s%s", i ? ", " : "", o->words[i]);
}

/* Ask by every name that leads to a row. */
const char *config_option_written(const struct config_option *o, enum config_scope scope)
{
	static const char *const others[] = {
#define ALIAS(other, name, scope) #other,
#define RENAME(other, name, scope) #other,
#include "config/options.def"
	};

	if (config_option(o->name, scope) == o)
		return o->name;
	for (size_t i = 0; i < sizeof others / sizeof *others; i++)
		if (config_option(others[i], scope) == o)
			return others[i];
	return NULL;
}

static void print_row(FILE *f, enum config_option_id id)
{
	static const char *const sections[] = {"pgweir", "databases", "users"};
	static const char *const lives[] = {
		[CONFIG_LIVE] = "reload", [CONFIG_RESTART] = "restart", [CONFIG_IGNORED] = "ignored"};
	unsigned n;
	const struct config_option *o = &config_options(&n)[id];
	const char *separator = "";
	const char *name = o->scope & CONFIG_GLOBAL ? o->name : config_option_written(o, CONFIG_DATABASE);

	fprintf(f, "| `%s` | ", name);
	if (*o->def != '\0')
		fprintf(f, "`%s`", o->def);
	fputs(" | ", f);
	print_values(f, o);
	fputs(" | ", f);
	for (unsigned i = 0; i < 3; i++) {
		const char *here = o->scope & 1u << i ? config_option_written(o, 1u << i) : NULL;

		if (here == NULL)
			continue;
		fprintf(f, "%s%s", separator, sections[i]);
		if (strcmp(here, name) != 0)
			fprintf(f, " (`%s`)", here);
		separator = ", ";
	}
	fprintf(f, " | %s | %s |\n", lives[o->life], o->help);
}

static void print_group(FILE *f, const char *title)
{
	fprintf(f,
		"\n## %s\n\n| Option | Default | Values | Section | Change | |\n|---|---|---|---|---|---|\n",
		title);
}

void options_print(FILE *f)
{
	fputs(intro, f);
#define GROUP(title) print_group(f, title);
#define OPT(type, name, def, min, max, scope, life, help) print_row(f, OPTION_##name);
#include "config/options.def"
}
