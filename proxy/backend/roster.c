#include "proxy/backend/roster.h"

#include "proxy/backend/pool.h"
#include "proxy/backend/target.h"
#include "proxy/base/clock.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>

void socket_rows_free(struct socket_rows *list)
{
	free(list->rows);
	list->rows = NULL;
	list->n = list->room = 0;
}

struct socket_row *socket_rows_add(struct socket_rows *list)
{
	struct socket_row *more;
	size_t room = list->room == 0 ? 64 : list->room * 2;

	if (list->n == list->room) {
		more = list->n < list->max ? realloc(list->rows, room * sizeof *more) : NULL;
		if (more == NULL) {
			list->cut = true;
			return NULL;
		}
		list->rows = more;
		list->room = room;
	}
	memset(&list->rows[list->n], 0, sizeof *list->rows);
	return &list->rows[list->n++];
}

static void set_addr(const struct sockaddr_storage *from, char addr[ROSTER_ADDR], int *port_r)
{
	switch (from->ss_family) {
	case AF_INET:
		inet_ntop(AF_INET, &((const struct sockaddr_in *)from)->sin_addr, addr, ROSTER_ADDR);
		*port_r = ntohs(((const struct sockaddr_in *)from)->sin_port);
		break;
	case AF_INET6:
		inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)from)->sin6_addr, addr, ROSTER_ADDR);
		*port_r = ntohs(((const struct sockaddr_in6 *)from)->sin6_port);
		break;
	case AF_UNIX: snprintf(addr, ROSTER_ADDR, "unix"); break;
	default: break;
	}
}

static void set_addrs(struct socket_row *row, int fd)
{
	struct sockaddr_storage s = {0};
	socklen_t n = sizeof s;
	struct ucred cred;
	socklen_t ncred = sizeof cred;

	if (getpeername(fd, (struct sockaddr *)&s, &n) == 0)
		set_addr(&s, row->addr, &row->port);
	if (s.ss_family == AF_UNIX && getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &ncred) == 0)
		row->remote_pid = (uint32_t)cred.pid;
	n = sizeof s;
	if (getsockname(fd, (struct sockaddr *)&s, &n) == 0)
		set_addr(&s, row->local_addr, &row->local_port);
}

void socket_row_conn(struct socket_row *row, const struct conn *c, bool deep)
{
	SSL *ssl = conn_ssl(c);

	row->unread = conn_input(c).n;
	row->unsent = conn_pending(c);
	if (!deep)
		return;
	set_addrs(row, conn_fd(c));
	if (ssl != NULL)
		snprintf(row->tls, sizeof row->tls, "%s/%s", SSL_get_version(ssl), SSL_get_cipher_name(ssl));
}

static const char *state_word(const struct backend *b)
{
	switch (b->state) {
	case BACKEND_RESOLVING:
	case BACKEND_CONNECTING:
	case BACKEND_ASKING_TLS:
	case BACKEND_TLS:
	case BACKEND_LOGIN:
	case BACKEND_SETUP: return "new";
	case BACKEND_IDLE: return "idle";
	case BACKEND_SETTLING: return b->cancel != NULL ? "being_canceled" : "tested";
	default: return "active";
	}
}

static void set_app(struct socket_row *row, const struct settings *params)
{
	const char *app = settings_get(params, "application_name");

	snprintf(row->application_name, sizeof row->application_name, "%.63s", app != NULL ? app : "");
}

void roster_servers(struct host *host, bool deep, struct socket_rows *list)
{
	uint64_t now = clock_us();

	ring_each (it, &host->backends) {
		const struct backend *b = ring_item(it, struct backend, all);
		struct socket_row *row;

		if (b->state == BACKEND_DEAD)
			continue;
		row = socket_rows_add(list);
		if (row == NULL)
			return;
		row->server = true;
		snprintf(row->user, sizeof row->user, "%.63s", pool_user(b->pool));
		snprintf(row->database, sizeof row->database, "%.63s", pool_database(b->pool));
		row->replication = b->target->replication[0] == '\0'		     ? "none"
				   : strcmp(b->target->replication, "database") == 0 ? "logical"
										     : "physical";
		row->state = state_word(b);
		row->age_us = now - b->born_us;
		row->asked_us = b->lent_us != 0 ? now - b->lent_us : UINT64_MAX;
		/* One that all who LISTEN share is on loan as long as anybody listens. */
		row->close_needed = !pool_listening(b->pool) && (pool_generation(b->pool) != b->generation ||
								 b->broken || pool_paused(b->pool));
		row->id = b->id;
		row->remote_pid = b->pid;
		row->prepared = b->prepared.n;
		row->canceling = b->cancel != NULL;
		set_app(row, &b->params);
		if (b->conn != NULL)
			socket_row_conn(row, b->conn, deep);
		if (b->pid != 0)
			row->remote_pid = b->pid;
	}
}
