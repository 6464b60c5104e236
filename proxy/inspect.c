#include "proxy/inspect.h"

#include "proxy/base/check.h"
#include "proxy/identity.h"
#include "proxy/manager.h"
#include "proxy/prepare.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

struct inspection {
	const struct config *cfg;
	void (*say)(void *arg, bool bad, const char *text);
	void *arg;
	unsigned bad;
};

static void say_bad(struct inspection *in, const struct err *err)
{
	in->say(in->arg, true, err->text);
	in->bad++;
}

static void say(struct inspection *in, bool bad, enum config_option_id id, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

static void say(struct inspection *in, bool bad, enum config_option_id id, const char *fmt, ...)
{
	struct err why, err;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why.text, sizeof why.text, fmt, ap);
	va_end(ap);
	config_blame(in->cfg, id, &why, &err);
	if (bad)
		say_bad(in, &err);
	else
		in->say(in->arg, false, err.text);
}

static void look_at_tls(struct inspection *in)
{
	static int (*const sides[])(const struct config *cfg, struct tls **tls_r, struct err *err) = {
		prepare_client_tls, prepare_server_tls, prepare_stats_tls};
	struct tls *tls;
	struct err err;

	for (unsigned i = 0; i < sizeof sides / sizeof sides[0]; i++) {
		/* Without its port nobody looks at what the stats port would need. */
		if (sides[i] == prepare_stats_tls && in->cfg->stats_port == 0)
			continue;
		if (sides[i](in->cfg, &tls, &err) == 0)
			tls_unref(tls);
		else
			say_bad(in, &err);
	}
}

static void look_at_address(struct inspection *in, enum config_option_id id, const char *host, int port)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *list = NULL;
	int rc = strcmp(host, "*") == 0 ? 0 : getaddrinfo(host, "0", &hints, &list);

	if (rc != 0)
		say(in, true, id, "cannot listen on %s:%d: %s", host, port, gai_strerror(rc));
	if (list != NULL)
		freeaddrinfo(list);
}

/* Directories that a service manager makes for the time that the service runs. */
static bool comes_with_the_service(const char *path)
{
	return strncmp(path, "/run/", 5) == 0 || strncmp(path, "/var/run/", 9) == 0;
}

static void look_at_socket_dir(struct inspection *in)
{
	const char *dir = in->cfg->unix_socket_dir;
	struct sockaddr_un addr;
	struct stat st;
	int n = snprintf(NULL, 0, "%s/.s.PGSQL.%d", dir, in->cfg->listen_port);

	if (n < 0 || (size_t)n >= sizeof addr.sun_path)
		say(in, true, OPTION_unix_socket_dir, "%s is too long for a socket's path", dir);
	if (*dir == '@')
		return;
	if (stat(dir, &st) != 0) {
		if (errno == ENOENT && comes_with_the_service(dir))
			say(in, false, OPTION_unix_socket_dir, "%s is not there yet", dir);
		else
			say(in, true, OPTION_unix_socket_dir, "%s: %s", dir, strerror(errno));
	} else if (!S_ISDIR(st.st_mode)) {
		say(in, true, OPTION_unix_socket_dir, "%s is not a directory", dir);
	} else if (faccessat(AT_FDCWD, dir, W_OK | X_OK, AT_EACCESS) != 0) {
		say(in, true, OPTION_unix_socket_dir, "%s: %s", dir, strerror(errno));
	}
	if (in->cfg->unix_socket_group[0] != '\0' && getgrnam(in->cfg->unix_socket_group) == NULL)
		say(in, true, OPTION_unix_socket_group, "there is no group %s", in->cfg->unix_socket_group);
}

/* Of sockets that a service manager passes none of this counts. */
static void look_at_entrance(struct inspection *in)
{
	const struct config *cfg = in->cfg;
	struct err err;
	char *list, *save = NULL;

	if (manager_sockets() > 0)
		return;
	list = strdup(cfg->listen_addr);
	check(list != NULL);
	for (char *a = strtok_r(list, ", ", &save); a != NULL; a = strtok_r(NULL, ", ", &save))
		look_at_address(in, OPTION_listen_addr, a, cfg->listen_port);
	free(list);
	if (cfg->unix_socket_dir[0] != '\0')
		look_at_socket_dir(in);
	if (strspn(cfg->listen_addr, ", ") == strlen(cfg->listen_addr) && cfg->unix_socket_dir[0] == '\0') {
		err_set(&err, "neither listen_addr nor unix_socket_dir is set");
		say_bad(in, &err);
	}
}

/* The directory of a file. */
static bool may_make_in_dir_of(const char *path)
{
	char *dir = strdup(path), *slash;
	bool may;

	check(dir != NULL);
	slash = strrchr(dir, '/');
	if (slash != NULL)
		slash[slash == dir] = '\0';
	may = faccessat(AT_FDCWD, slash != NULL ? dir : ".", W_OK | X_OK, AT_EACCESS) == 0;
	free(dir);
	return may;
}

static void look_at_file(struct inspection *in, enum config_option_id id, const char *path, const char *what)
{
	struct stat st;
	bool may;

	if (*path == '\0')
		return;
	may = faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) == 0;
	if (may && stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
		errno = EISDIR;
		may = false;
	} else if (!may && (errno == ENOENT || id == OPTION_pidfile)) { /* an old pid file is replaced */
		may = may_make_in_dir_of(path);
	}
	if (!may && errno == ENOENT && comes_with_the_service(path))
		say(in, false, id, "the directory of %s is not there yet", path);
	else if (!may)
		say(in, true, id, "cannot write %s %s: %s", what, path, strerror(errno));
}

static void look_at_files(struct inspection *in)
{
	const struct config *cfg = in->cfg;
	struct identity id;
	struct err why;

	if (identity_find(cfg->user, &id, &why) != 0) {
		say(in, true, OPTION_user, "%s", why.text);
		return;
	}
	/* Nobody but root can start it, and look as that user. */
	if (id.other && id.self != 0)
		return;
	if (identity_borrow(&id, &why) != 0) {
		say(in, true, OPTION_user, "%s", why.text);
		return;
	}
	look_at_file(in, OPTION_logfile, cfg->logfile, "log file");
	look_at_file(in, OPTION_pidfile, cfg->pidfile, "pid file");
	identity_return(&id);
}

unsigned inspect(const struct config *cfg, void (*say_it)(void *arg, bool bad, const char *text), void *arg)
{
	struct inspection in = {.cfg = cfg, .say = say_it, .arg = arg};

	look_at_tls(&in);
	look_at_entrance(&in);
	if (cfg->stats_port != 0)
		look_at_address(&in, OPTION_stats_addr, cfg->stats_addr, cfg->stats_port);
	look_at_files(&in);
	return in.bad;
}
