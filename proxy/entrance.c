#include "proxy/entrance.h"

#include "proxy/backend/target.h"
#include "proxy/base/check.h"
#include "proxy/manager.h"
#include "proxy/net/listener.h"

#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

/* unix_socket_group owns the socket. */
static int give_socket(const struct config *c, struct err *err)
{
	const struct group *group;
	char path[512];

	if (c->unix_socket_group[0] == '\0' || c->unix_socket_dir[0] == '@')
		return 0;
	group = getgrnam(c->unix_socket_group);
	snprintf(path, sizeof path, "%s/.s.PGSQL.%d", c->unix_socket_dir, c->listen_port);
	if (group == NULL || chown(path, (uid_t)-1, group->gr_gid) != 0)
		return err_set(err, "cannot give %s to unix_socket_group %s", path, c->unix_socket_group);
	return 0;
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
		if (e->n + 1 >= LISTENERS_MAX)
			rc = err_set(err, "too many addresses in listen_addr");
		else
			rc = add(e, listener_tcp(a, c->listen_port, set, err), err);
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

	if (passed > 0)
		return adopt_all(e, &set, passed, err);
	if (listen_tcp(e, c, &set, err) != 0)
		return -1;
	if (c->unix_socket_dir[0] != '\0' &&
	    (add(e, listener_unix(c->unix_socket_dir, c->listen_port, &set, err), err) != 0 ||
	     give_socket(c, err) != 0))
		return -1;
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
