/* pgweir.ini(5), written from options.def. */
#include "config/config.h"

#include <string.h>

static const char intro[] =
	".TH PGWEIR.INI 5 \"\" \"pgweir " PGWEIR_VERSION "\" \"pgweir\"\n"
	".SH NAME\n"
	"pgweir.ini \\- configuration of pgweir\n"
	".SH DESCRIPTION\n"
	"An ini file in PgBouncer's dialect; a pgbouncer.ini works as it is.\n"
	"Lines that start with ; or # are comments; there are no comments behind a value.\n"
	".B %include\n"
	".I FILE\n"
	"reads another file in its place.\n"
	"Durations: a plain number is seconds; us, ms, s, min, h, d may follow.\n"
	"Sizes: a plain number is bytes; kB, MB, GB, TB may follow.\n"
	".PP\n"
	"${env:NAME} in a value stands for that environment variable, ${file:PATH} for the one line of that file.\n"
	".PP\n"
	"A reload (SIGHUP, RELOAD) takes everything or nothing.\n"
	".SH SECTIONS\n"
	".TP\n"
	".B [pgweir]\n"
	"(or [pgbouncer]) what holds for all, one\n"
	".IR name \" = \" value\n"
	"a line.\n"
	".TP\n"
	".B [databases]\n"
	".IR name \" = \" key = value \" ..\"\n"
	"for each database that clients may ask for; the entry * stands for all others.\n"
	"Values with blanks go into single quotes.\n"
	".TP\n"
	".B [users]\n"
	"the same for users. What it says wins over [databases], and that over [pgweir].\n"
	".TP\n"
	".B [peers]\n"
	".IR peer_id \" = host=\" .. \" port=\" .. \" pool_size=\" ..\n"
	"for each other process behind the same address, so that cancel requests reach the right one.\n";

static const char outro[] = ".SH SEE ALSO\n"
			    ".BR pgweir (1)\n";

/* Roff takes a backslash, and a dot or quote at the start of a line, for its own. */
static void put(FILE *f, const char *text)
{
	for (const char *c = text; *c != '\0'; c++) {
		if (*c == '\\')
			fputs("\\e", f);
		else if (*c == '-')
			fputs("\\-", f);
		else if ((*c == '.' || *c == '\'') && c == text)
			fprintf(f, "\\&%c", *c);
		else
			fputc(*c, f);
	}
}

static void print_values(FILE *f, const struct config_option *o)
{
	static const char *const kinds[] = {
		[CONFIG_STRING] = "text", [CONFIG_SECRET] = "text", [CONFIG_INT] = "number",
		[CONFIG_MODE] = "octal",  [CONFIG_SIZE] = "size",   [CONFIG_DURATION] = "duration",
		[CONFIG_BOOL] = "0 or 1", [CONFIG_ENUM] = "",
	};

	put(f, kinds[o->kind]);
	for (unsigned i = 0; o->kind == CONFIG_ENUM && o->words[i] != NULL; i++) {
		if (i > 0)
			fputs(", ", f);
		put(f, o->words[i]);
	}
}

static void print_option(FILE *f, enum config_option_id id)
{
	static const char *const sections[] = {"[pgweir]", "[databases]", "[users]"};
	unsigned n;
	const struct config_option *o = &config_options(&n)[id];
	const char *separator = "";

	if (o->life == CONFIG_IGNORED)
		return;
	fputs(".TP\n.B ", f);
	put(f, o->scope & CONFIG_GLOBAL ? o->name : config_option_written(o, CONFIG_DATABASE));
	fputs("\n", f);
	put(f, o->help);
	fputs("\n.br\n", f);
	print_values(f, o);
	if (*o->def != '\0') {
		fputs("; default: ", f);
		put(f, o->def);
	}
	fputs("; in ", f);
	for (unsigned i = 0; i < 3; i++) {
		const char *here = o->scope & 1u << i ? config_option_written(o, 1u << i) : NULL;

		if (here == NULL)
			continue;
		fprintf(f, "%s%s", separator, sections[i]);
		separator = ", ";
		if (strcmp(here, o->name) != 0 && o->scope & CONFIG_GLOBAL) {
			fputs(" as ", f);
			put(f, here);
		}
	}
	fputs(o->life == CONFIG_RESTART ? "; needs a restart\n" : "\n", f);
}

/* The keys that are accepted and ignored, in one paragraph. */
static void print_ignored(FILE *f)
{
	unsigned n;
	const struct config_option *rows = config_options(&n);
	const char *separator = "";

	fputs(".SH ACCEPTED AND IGNORED\nSo that an old file loads, each with one notice:\n", f);
	for (unsigned i = 0; i < n; i++) {
		if (rows[i].life != CONFIG_IGNORED)
			continue;
		fputs(separator, f);
		put(f, rows[i].name);
		separator = ",\n";
	}
	fputs(".\n", f);
}

static void print_group(FILE *f, const char *title)
{
	fputs(".SS \"", f);
	put(f, title);
	fputs("\"\n", f);
}

void options_man(FILE *f)
{
	fputs(intro, f);
	fputs(".SH OPTIONS\n", f);
#define GROUP(title) print_group(f, title);
#define OPT(type, name, def, min, max, scope, life, help) print_option(f, OPTION_##name);
#include "config/options.def"
	print_ignored(f);
	fputs(outro, f);
}
