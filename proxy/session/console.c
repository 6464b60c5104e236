/* Clients of the console: logged in like all others, then handed over. */
#include "proxy/session/console.h"

#include "proxy/session/session_private.h"

#include "proxy/base/check.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define HANDING_ROUNDS 3 /* a few hundred bytes into an empty socket: one is enough */

bool console_name(const char *database)
{
	return strcmp(database, "pgweir") == 0 || strcmp(database, "pgbouncer") == 0;
}

void guest_free(struct console_guest **gp)
{
	struct console_guest *g = *gp;

	*gp = NULL;
	if (g == NULL)
		return;
	if (g->conn != NULL)
		conn_free(&g->conn);
	free(g->database);
	free(g->user);
	free(g);
}

/* As in PgBouncer: whoever runs the process may always look into it. */
static bool is_own(const struct session *s)
{
	struct ucred cred;
	socklen_t n = sizeof cred;

	return s->door == DOOR_UNIX && console_name(s->user) &&
	       getsockopt(conn_fd(s->client), SOL_SOCKET, SO_PEERCRED, &cred, &n) == 0 &&
	       cred.uid == geteuid();
}

void console_begin(struct session *s)
{
	s->console = s->house->console != NULL && s->replication == NULL && console_name(s->database);
	s->own = s->console && is_own(s);
}

/* At the end of a round: what the login has to say goes out first. */
void console_handing(struct later *later)
{
	struct arrival *a = ring_item(later, struct arrival, handing);
	struct session *s = a->session;
	struct console_guest *guest;

	if (conn_pending(s->client) > 0 && a->handing_rounds++ >= HANDING_ROUNDS) {
		session_close(s, "the end of its login could not be sent");
		return;
	}
	if (conn_pending(s->client) > 0) {
		loop_later(s->house->host.loop, &a->handing);
		return;
	}
	account_traffic(s);
	guest = check_alloc(sizeof *guest);
	guest->conn = s->client;
	guest->database = s->database;
	guest->user = s->user;
	guest->version = s->version;
	guest->id = s->id;
	guest->own = s->own;
	conn_detach(s->client);
	s->client = NULL;
	s->database = NULL;
	s->user = NULL;
	s->house->console(s->house->app, guest);
	session_close(s, "handed over to the console");
}

void console_hand_over(struct session *s)
{
	session_enter(s, SESSION_HANDING);
	loop_later(s->house->host.loop, &s->arrival->handing);
}
