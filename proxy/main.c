/* pgweir: reads the command line, loads the configuration, runs the app. */
#include "proxy/app.h"
#include "proxy/commands.h"
#include "proxy/identity.h"
#include "proxy/inspect.h"
#include "proxy/prepare.h"

#include "proxy/base/check.h"
#include "proxy/base/log.h"

#include <errno.h>
#include <getopt.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static const char usage[] =
	"Usage: pgweir [options] CONFIG.ini\n"
	"       pgweir [options] postgres://user:password@host:port/database\n"
	"       pgweir setup | doctor --help\n"
	"\n"
	"  -c, --check-config   read the configuration, say what is wrong with it, and exit\n"
	"  -v, --verbose        log at level debug\n"
	"  -V, --version        print the version and exit\n"
	"  -h, --help           print this and exit\n"
	"\n"
	"Signals: HUP reloads the configuration; TERM and INT end clients with their\n"
	"transactions, a second one ends them at once; QUIT ends at once.\n";

struct args {
	bool check, verbose;
	const char *source;
};

static int parse_args(int argc, char **argv, struct args *args)
{
	static const struct option longs[] = {{"check-config", no_argument, NULL, 'c'},
					      {"verbose", no_argument, NULL, 'v'},
					      {"version", no_argument, NULL, 'V'},
					      {"help", no_argument, NULL, 'h'},
					      {NULL, 0, NULL, 0}};
	int c;

	while ((c = getopt_long(argc, argv, "cvVh", longs, NULL)) != -1) {
		switch (c) {
		case 'c': args->check = true; break;
		case 'v': args->verbose = true; break;
		case 'V': puts("pgweir " PGWEIR_VERSION); exit(0);
		case 'h': fputs(usage, stdout); exit(0);
		default: return -1;
		}
	}
	if (optind != argc - 1)
		return -1;
	args->source = argv[optind];
	return 0;
}

static bool is_url(const char *text)
{
	return strncmp(text, "postgres://", 11) == 0 || strncmp(text, "postgresql://", 13) == 0;
}

/* Every client and every backend is a descriptor. */
static void raise_fd_limit(void)
{
	struct rlimit lim;

	if (getrlimit(RLIMIT_NOFILE, &lim) != 0 || lim.rlim_cur == lim.rlim_max)
		return;
	lim.rlim_cur = lim.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &lim) != 0)
		log_warn(NULL, "the limit of open files stays as it is", F_INT("limit", lim.rlim_cur));
}

/* With an arena for each thread, what one worker has cached and another frees leaves holes that only the first one fills: resident
 * memory outgrew cache_size by a fourth. Hits allocate nothing, and small blocks come from each thread's own bins. */
static void keep_memory_together(void)
{
#ifdef __GLIBC__
	mallopt(M_ARENA_MAX, 1);
#endif
}

/* One that is another user's is left from a process that died. */
static int write_pidfile(const struct config *cfg, struct err *err)
{
	FILE *f;
	struct err why;
	bool written;

	if (cfg->pidfile[0] == '\0')
		return 0;
	f = fopen(cfg->pidfile, "w");
	if (f == NULL && errno == EACCES && unlink(cfg->pidfile) == 0)
		f = fopen(cfg->pidfile, "w");
	if (f != NULL) {
		written = fprintf(f, "%ld\n", (long)getpid()) > 0;
		if (fclose(f) == 0 && written)
			return 0;
	}
	err_set(&why, "cannot write pid file %s: %s", cfg->pidfile, strerror(errno));
	return config_blame(cfg, OPTION_pidfile, &why, err);
}

/* The log file is the user's, who opens it again at each reload. */
static int start_log(const struct config *cfg, const struct identity *id, bool verbose, struct err *err)
{
	struct err why;
	int fd, rc;

	if (identity_borrow(id, &why) != 0)
		return config_blame(cfg, OPTION_user, &why, err);
	rc = prepare_log(cfg, &fd, err);
	identity_return(id);
	if (rc == 0)
		log_use(fd, prepare_log_level(cfg, verbose), cfg->log_format == LOG_FORMAT_JSON);
	return rc;
}

static int make_app(struct config *cfg, bool verbose, struct app **app_r, struct err *err)
{
	struct identity id;
	struct err why;

	if (identity_find(cfg->user, &id, &why) != 0)
		return config_blame(cfg, OPTION_user, &why, err);
	if (start_log(cfg, &id, verbose, err) != 0)
		return -1;
	raise_fd_limit();
	*app_r = app_new(cfg, verbose, err);
	if (*app_r == NULL)
		return -1;
	if (identity_become(&id, &why) != 0)
		return config_blame(cfg, OPTION_user, &why, err);
	return write_pidfile(cfg, err);
}

/* Unless another process has taken over and written its own. */
static void remove_pidfile(const char *path)
{
	FILE *f = path[0] != '\0' ? fopen(path, "r") : NULL;
	long pid = 0;

	if (f == NULL)
		return;
	if (fscanf(f, "%ld", &pid) == 1 && pid == (long)getpid())
		unlink(path);
	fclose(f);
}

static int run(struct config *cfg, bool verbose)
{
	struct err err = {0};
	struct app *app = NULL;
	int status = 1;

	signal(SIGPIPE, SIG_IGN);
	keep_memory_together();
	if (make_app(cfg, verbose, &app, &err) == 0)
		status = app_run(app);
	else
		fprintf(stderr, "pgweir: %s\n", err.text);
	app_free(&app);
	if (status == 0)
		remove_pidfile(cfg->pidfile);
	log_close();
	return status;
}

static void say_finding(void *arg, bool bad, const char *text)
{
	(void)arg;
	fprintf(bad ? stderr : stdout, "%s: %s\n", bad ? "pgweir" : "notice", text);
}

static int check_config(const struct config *cfg, const char *source)
{
	for (unsigned i = 0; i < cfg->notice_count; i++)
		say_finding(NULL, false, cfg->notices[i]);
	if (inspect(cfg, say_finding, NULL) != 0)
		return 1;
	printf("%s: the configuration is good\n", source);
	return 0;
}

int main(int argc, char **argv)
{
	struct args args = {0};
	struct config *cfg = NULL;
	struct err err;
	int status = argc > 1 ? commands_run(argc - 1, argv + 1) : -1;

	if (status >= 0)
		return status;
	if (parse_args(argc, argv, &args) != 0) {
		fputs(usage, stderr);
		return 2;
	}
	if ((is_url(args.source) ? config_from_url(args.source, &cfg, &err)
				 : config_load(args.source, &cfg, &err)) != 0) {
		fprintf(stderr, "pgweir: %s\n", err.text);
		return 1;
	}
	status = args.check ? check_config(cfg, args.source) : run(cfg, args.verbose);
	config_unref(cfg);
	return status;
}
