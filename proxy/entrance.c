#include "proxy/entrance.h"

#include "proxy/backend/target.h"
#include "proxy/base/check.h"
#include "proxy/identity.h"
#include "proxy/manager.h"
#include "proxy/net/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LISTENERS_MAX WORKER_LISTENERS

struct entrance {
	struct listener *listeners[LISTENERS_MAX];
	unsigned n;
	struct worker *const *workers; /* borrowed */
	unsigned nworkers;
	unsigned ntakers; /* the first ones */
	bool shut;	  /* the takers are told to take nobody any more */
};

static int blame(const struct config *c, enum config_option_id id, struct err *err, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

static int blame(const struct config *c, enum config_option_id id, struct err *err, const char *fmt, ...)
{
	struct err why;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why.text, sizeof why.text, fmt, ap);
	va_end(ap);
	return config_blame(c, id, &why, err);
}

static int add(struct entrance *e, struct listener *li, struct err *err)
{
	if (li == NULL)
		return -1;
	check(e->n < LISTENERS_MAX);
	e->listeners[e->n++] = li;
	for (unsigned i = 0; i < e->ntakers; i++)
		if (worker_open(e->workers[i], li, e->workers, e->nworkers, err) != 0)
			return -1;
	return 0;
}

/* The user that we are about to become has to be able to remove it; unix_socket_group may use it. Whoever may write to the
 * directory could have put a link in its place. */
static int give_socket(const struct config *c, struct err *err)
{
	const struct group *group = NULL;
	struct identity id;
	struct stat st;
	char path[512];
	int fd, rc;

	if (c->unix_socket_group[0] != '\0') {
		group = getgrnam(c->unix_socket_group);
		if (group == NULL)
			return blame(c, OPTION_unix_socket_group, err, "there is no group %s",
				     c->unix_socket_group);
	}
	if (identity_find(c->user, &id, err) != 0)
		return -1;
	if (c->unix_socket_dir[0] == '@' || (group == NULL && !id.other))
		return 0;
	snprintf(path, sizeof path, "%s/.s.PGSQL.%d", c->unix_socket_dir, c->listen_port);
	fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	rc = fd >= 0 && fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode)
		     ? fchownat(fd, "", id.other ? id.uid : (uid_t)-1,
				group != NULL ? group->gr_gid : (gid_t)-1, AT_EMPTY_PATH)
		     : -1;
	if (rc != 0)
		blame(c, group != NULL ? OPTION_unix_socket_group : OPTION_user, err,
		      "cannot give %s to %s: %s", path, group != NULL ? c->unix_socket_group : c->user,
		      strerror(errno));
	if (fd >= 0)
		close(fd);
	return rc;
}

/* The service manager's sockets take the place of our own. */
static int adopt_all(struct entrance *e, const struct listener_settings *set, int n, struct err *err)
{
	if (n > LISTENERS_MAX)
		return err_set(err, "too many sockets were passed: %d", n);
	for (int i = 0; i < n; i++)
		if (add(e, listener_adopt(MANAGER_FIRST_FD + i, set, err), err) != 0)
			return -1;
	return 0;
}

static int listen_tcp(struct entrance *e, const struct config *c, const struct listener_settings *set,
		      struct err *err)
{
	char *list = strdup(c->listen_addr), *save = NULL;
	int rc = 0;

	check(list != NULL);
	for (char *a = strtok_r(list, ", ", &save); a != NULL && rc == 0; a = strtok_r(NULL, ", ", &save)) {
		struct err why;

		if (e->n + 1 >= LISTENERS_MAX)
			err_set(&why, "too many addresses");
		else if (add(e, listener_tcp(a, c->listen_port, set, &why), &why) == 0)
			continue;
		rc = config_blame(c, OPTION_listen_addr, &why, err);
	}
	free(list);
	return rc;
}

static int listen_all(struct entrance *e, const struct config *c, struct err *err)
{
	int passed = manager_sockets();
	struct listener_settings set = {.backlog = c->listen_backlog,
					.reuseport = c->so_reuseport,
					.tcp = target_tcp(c),
					.unix_mode = c->unix_socket_mode};
	struct err why;

	if (passed > 0)
		return adopt_all(e, &set, passed, err);
	if (listen_tcp(e, c, &set, err) != 0)
		return -1;
	if (c->unix_socket_dir[0] != '\0') {
		if (add(e, listener_unix(c->unix_socket_dir, c->listen_port, &set, &why), &why) != 0)
			return config_blame(c, OPTION_unix_socket_dir, &why, err);
		if (give_socket(c, err) != 0)
			return -1;
	}
	return e->n > 0 ? 0 : err_set(err, "neither listen_addr nor unix_socket_dir is set");
}

struct entrance *entrance_new(const struct config *cfg, struct worker *const *workers, unsigned nworkers,
			      struct err *err)
{
	struct entrance *e = check_alloc(sizeof *e);

	e->workers = workers;
	e->nworkers = nworkers;
	e->ntakers = nworkers < ENTRANCE_TAKERS ? nworkers : ENTRANCE_TAKERS;
	if (listen_all(e, cfg, err) != 0)
		entrance_free(&e);
	return e;
}

void entrance_tune(struct entrance *e, const struct config *cfg)
{
	struct tcp_settings tcp = target_tcp(cfg);

	for (unsigned i = 0; i < e->n; i++)
		listener_tune(e->listeners[i], &tcp);
}

static void shut(struct entrance *e)
{
	for (unsigned i = 0; i < e->ntakers && !e->shut; i++)
		worker_shut(e->workers[i]);
	e->shut = true;
}

void entrance_leave(struct entrance *e)
{
	for (unsigned i = 0; i < e->n; i++)
		listener_leave(e->listeners[i]);
	/* A service manager passes all of them or none. Whoever comes next takes the clients from the line. */
	if (listener_is_shared(e->listeners[0]))
		shut(e);
}

static void let_in(void *arg, int fd, bool is_unix)
{
	struct entrance *e = arg;

	worker_client(worker_emptiest(e->workers, e->nworkers), fd, is_unix ? DOOR_UNIX : DOOR_TCP);
}

bool entrance_close(struct entrance **ep)
{
	struct entrance *e = *ep;

	if (e == NULL)
		return true;
	shut(e);
	for (unsigned i = 0; i < e->ntakers; i++)
		if (!worker_is_shut(e->workers[i]))
			return false;
	/* Closing a socket resets whoever is in line, and a client may have come since the last worker looked. */
	for (unsigned i = 0; i < e->n; i++)
		if (!listener_is_shared(e->listeners[i]))
			acceptor_rest(e->listeners[i], let_in, e);
	entrance_free(ep);
	return true;
}

void entrance_free(struct entrance **ep)
{
	struct entrance *e = *ep;

	*ep = NULL;
	if (e == NULL)
		return;
	while (e->n > 0)
		listener_free(&e->listeners[--e->n]);
	free(e);
}
