#include "proxy/commands.h"

#include "proxy/base/check.h"
#include "proxy/feed_target.h"
#include "proxy/origin/doctor.h"
#include "proxy/origin/setup.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FAILED 2

static const char doctor_usage[] =
	"Usage: pgweir doctor [-q] CONFIG.ini|URL [DATABASE..]\n"
	"\n"
	"Looks at each database of the configuration the way its cache would, and says line by line what it finds\n"
	"and how to fix it. DATABASE: only these; needed for databases that only the * entry serves, unless it is\n"
	"the only entry.\n"
	"\n"
	"  -q, --quiet   only errors and warnings\n"
	"\n"
	"Exit status: 0 all is well (notes say what of the tables is not cached), 1 warnings, 2 errors: no cache.\n";

static const char setup_usage[] =
	"Usage: pgweir setup [options] CONFIG.ini|URL [DATABASE..]\n"
	"\n"
	"Prints the SQL that prepares the server for the databases of the configuration: the role of the change\n"
	"stream (feed_user) and the event trigger. Run it with psql as a superuser, or as the administrator of a\n"
	"managed service.\n"
	"\n"
	"  --apply             run it; with a URL as that user, with a CONFIG.ini as the one of --admin\n"
	"  --admin URL         who may create roles and event triggers there\n"
	"  --role NAME         the role's name; default: feed_user of CONFIG.ini, else pgweir\n"
	"  --no-trigger        without the event trigger: changes of rights are then noticed by polling\n"
	"  --publication       also the publication that feed_plugin = pgoutput reads\n"
	"\n"
	"A role that --apply makes gets feed_password, or $PGWEIR_FEED_PASSWORD. Exit status: 0 done, 2 failed.\n";

/* What both command lines have. */
struct order {
	struct config *cfg; /* owned */
	const char *source;
	bool url;
	char **databases; /* owned: names that clients use */
	unsigned ndatabases;
};

static void add_database(void *arg, const char *database)
{
	struct order *o = arg;

	o->databases = reallocarray(o->databases, o->ndatabases + 1, sizeof(*o->databases));
	check(o->databases != NULL);
	o->databases[o->ndatabases] = strdup(database);
	check(o->databases[o->ndatabases] != NULL);
	o->ndatabases++;
}

static void close_order(struct order *o)
{
	for (unsigned i = 0; i < o->ndatabases; i++)
		free(o->databases[i]);
	free(o->databases);
	config_unref(o->cfg);
}

/* The rest of the command line: where from, and which databases. */
static int open_order(struct order *o, int argc, char **argv, struct err *err)
{
	o->source = argv[0];
	o->url = strncmp(o->source, "postgres://", 11) == 0 || strncmp(o->source, "postgresql://", 13) == 0;
	if ((o->url ? config_from_url : config_load)(o->source, &o->cfg, err) != 0)
		return -1;
	for (int i = 1; i < argc; i++)
		add_database(o, argv[i]);
	for (unsigned i = 0; argc == 1 && i < o->cfg->database_count; i++)
		if (!o->cfg->databases[i]->fallback)
			add_database(o, o->cfg->databases[i]->name);
	return 0;
}

/* --- doctor --- */

struct report {
	const char *database;
	bool quiet;
};

static void print_finding(void *arg, const struct doctor_finding *finding)
{
	static const char *const levels[] = {"ok", "note", "warning", "error"};
	const struct report *report = arg;

	if (report->quiet && finding->level < DOCTOR_WARNING)
		return;
	printf("%s: %s: %s", report->database, levels[finding->level], finding->text);
	if (finding->fix[0] != '\0')
		printf("; fix: %s", finding->fix);
	putchar('\n');
}

static void say(struct doctor *d, enum doctor_level level, const char *text, const char *fix)
{
	struct doctor_finding finding = {.level = level, .text = text, .fix = fix};

	if (level > d->worst)
		d->worst = level;
	d->say(d->arg, &finding);
}

static void examine(struct doctor *d, struct config *cfg, const char *database)
{
	struct feed_target target;
	const char *why = feed_target(cfg, database, &target);
	struct report *report = d->arg;

	report->database = database;
	if (why == NULL)
		doctor_examine(d, &target.set);
	else if (target.policy.coherence == COHERENCE_OFF || cfg->cache_size == 0)
		say(d, DOCTOR_NOTE, "no cache: it is switched off", "");
	else
		say(d, DOCTOR_ERROR, why,
		    config_database(cfg, database) == NULL
			    ? "name a database of the configuration"
			    : "see feed_user and feed_password in the manual of options");
}

/* Only the * entry: all that the server has. */
static int all_of_server(struct order *o, struct err *err)
{
	struct feed_target target;
	const char *why = feed_target(o->cfg, "postgres", &target);

	if (why != NULL)
		return err_set(err, "%s", why);
	return doctor_databases(&target.set, add_database, o, err);
}

static int run_doctor(int argc, char **argv)
{
	static const struct option longs[] = {
		{"quiet", no_argument, NULL, 'q'}, {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
	struct report report = {0};
	struct doctor doctor = {.say = print_finding, .arg = &report};
	struct order order = {0};
	struct err err;
	int c;

	while ((c = getopt_long(argc, argv, "qh", longs, NULL)) != -1) {
		if (c == 'h')
			fputs(doctor_usage, stdout);
		else if (c != 'q')
			fputs(doctor_usage, stderr);
		if (c != 'q')
			return c == 'h' ? 0 : FAILED;
		report.quiet = true;
	}
	if (optind >= argc) {
		fputs(doctor_usage, stderr);
		return FAILED;
	}
	if (open_order(&order, argc - optind, argv + optind, &err) != 0 ||
	    (order.ndatabases == 0 && all_of_server(&order, &err) != 0)) {
		fprintf(stderr, "pgweir: %s\n", err.text);
		close_order(&order);
		return FAILED;
	}
	for (unsigned i = 0; i < order.ndatabases; i++)
		examine(&doctor, order.cfg, order.databases[i]);
	close_order(&order);
	return doctor.worst == DOCTOR_ERROR ? FAILED : doctor.worst == DOCTOR_WARNING ? 1 : 0;
}

/* --- setup --- */

struct setup_args {
	bool apply, no_trigger, publication;
	const char *admin, *role;
};

static int parse_setup(int argc, char **argv, struct setup_args *args)
{
	static const struct option longs[] = {{"apply", no_argument, NULL, 'a'},
					      {"admin", required_argument, NULL, 'u'},
					      {"role", required_argument, NULL, 'r'},
					      {"no-trigger", no_argument, NULL, 't'},
					      {"publication", no_argument, NULL, 'p'},
					      {"help", no_argument, NULL, 'h'},
					      {NULL, 0, NULL, 0}};
	int c;

	while ((c = getopt_long(argc, argv, "h", longs, NULL)) != -1) {
		switch (c) {
		case 'a': args->apply = true; break;
		case 'u': args->admin = optarg; break;
		case 'r': args->role = optarg; break;
		case 't': args->no_trigger = true; break;
		case 'p': args->publication = true; break;
		case 'h': fputs(setup_usage, stdout); exit(0);
		default: return -1;
		}
	}
	return optind < argc ? 0 : -1;
}

static void print_step(void *arg, const char *step, const char *trouble)
{
	(void)arg;
	if (trouble == NULL)
		printf("%s: done\n", step);
	else
		printf("%s: left out: %s\n", step, trouble);
}

static struct setup_wish wish_of(const struct order *o, const struct setup_args *args)
{
	struct setup_wish wish = {.role = args->role, .trigger = !args->no_trigger};
	struct policy policy;

	policy_of(o->cfg, o->databases[0], NULL, &policy);
	if (wish.role == NULL)
		wish.role = o->url || policy.feed_user[0] == '\0' ? "pgweir" : policy.feed_user;
	if (!o->url && policy.feed_password[0] != '\0' && strcmp(wish.role, policy.feed_user) == 0)
		wish.password = policy.feed_password;
	if (wish.password == NULL)
		wish.password = getenv("PGWEIR_FEED_PASSWORD");
	if (args->publication)
		wish.publication = policy.feed_publication;
	return wish;
}

static int setup(struct order *o, const struct setup_args *args, struct err *err)
{
	const char *admin = args->admin != NULL ? args->admin : o->url ? o->source : NULL, *why;
	const char **names;
	struct setup_wish wish;
	int rc = 0;

	if (o->ndatabases == 0)
		return err_set(err, "name the databases: the configuration has only the * entry");
	if (args->apply && admin == NULL)
		return err_set(err, "--apply needs --admin URL: who may create roles there");
	wish = wish_of(o, args);
	why = setup_refuses(&wish);
	if (why != NULL)
		return err_set(err, "%s", why);
	names = check_alloc(o->ndatabases * sizeof(*names));
	for (unsigned i = 0; rc == 0 && i < o->ndatabases; i++) {
		const struct config_database *db = config_database(o->cfg, o->databases[i]);

		if (db == NULL)
			rc = err_set(err, "no such database: %s", o->databases[i]);
		else
			names[i] = config_dbname(db, o->databases[i]);
	}
	if (rc == 0 && args->apply) {
		rc = setup_apply(&wish, admin, names, o->ndatabases, print_step, NULL, err);
	} else if (rc == 0) {
		setup_print_role(stdout, &wish);
		for (unsigned i = 0; i < o->ndatabases; i++)
			setup_print_database(stdout, &wish, names[i]);
	}
	free(names);
	return rc;
}

static int run_setup(int argc, char **argv)
{
	struct setup_args args = {0};
	struct order order = {0};
	struct err err;
	int rc;

	if (parse_setup(argc, argv, &args) != 0) {
		fputs(setup_usage, stderr);
		return FAILED;
	}
	rc = open_order(&order, argc - optind, argv + optind, &err);
	if (rc == 0)
		rc = setup(&order, &args, &err);
	if (rc != 0)
		fprintf(stderr, "pgweir: %s\n", err.text);
	close_order(&order);
	return rc == 0 ? 0 : FAILED;
}

int commands_run(int argc, char **argv)
{
	if (strcmp(argv[0], "doctor") == 0)
		return run_doctor(argc, argv);
	if (strcmp(argv[0], "setup") == 0)
		return run_setup(argc, argv);
	return -1;
}
