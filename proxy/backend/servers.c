#include "proxy/backend/servers.h"

#include "proxy/backend/pool_private.h"
#include "proxy/base/clock.h"
#include "proxy/base/log.h"
#include "proxy/net/resolve.h"

#include <string.h>

#define LOOK_AGAIN_US 1000000u

void servers_begin(struct backend *b)
{
	const struct config_database *db = b->target->db;

	b->servers_tried = 0;
	if (db->host_count < 2)
		b->server_at = 0;
	else if (db->target_session_attrs != SERVER_ROLE_ANY)
		b->server_at = atomic_load(&b->target->server_at) % db->host_count;
	else if (db->load_balance_hosts == HOST_ORDER_ROUND_ROBIN)
		b->server_at = (unsigned)(b->id % db->host_count);
	else
		b->server_at = 0;
}

const char *servers_host(const struct backend *b)
{
	const char *host = b->target->db->hosts[b->server_at];

	return host[0] != '\0' ? host : b->target->config->unix_socket_dir;
}

/* It was not to be had, or is just starting or ending. A wrong password would be wrong everywhere. */
static bool elsewhere_may_help(const struct err *err)
{
	return strncmp(err->sqlstate, "08", 2) == 0 || strncmp(err->sqlstate, "57P", 3) == 0 ||
	       err->sqlstate[0] == '\0';
}

bool servers_next(struct backend *b, const struct err *err)
{
	unsigned n = b->target->db->host_count;

	if (++b->servers_tried >= n || !elsewhere_may_help(err))
		return false;
	b->server_at = (b->server_at + 1) % n;
	return true;
}

static bool in_recovery(const struct backend *b)
{
	const char *server = settings_get(&b->defaults, "server");
	size_t n = server != NULL ? strlen(server) : 0;

	return n > 0 && server[n - 1] == '1';
}

static bool read_only(const struct backend *b)
{
	const char *value = settings_get(&b->defaults, "read_only");

	return in_recovery(b) || (value != NULL && strcmp(value, "on") == 0);
}

int servers_accept(struct backend *b, struct err *err)
{
	const char *wanted = NULL;

	switch (b->target->db->target_session_attrs) {
	case SERVER_ROLE_ANY: break;
	case SERVER_ROLE_READ_WRITE: wanted = read_only(b) ? "read-write" : NULL; break;
	case SERVER_ROLE_READ_ONLY: wanted = read_only(b) ? NULL : "read-only"; break;
	case SERVER_ROLE_PRIMARY: wanted = in_recovery(b) ? "primary" : NULL; break;
	case SERVER_ROLE_STANDBY: wanted = in_recovery(b) ? NULL : "standby"; break;
	}
	if (wanted != NULL)
		return err_state(err, "08001", "the server %s is not %s (target_session_attrs)",
				 servers_host(b), wanted);
	atomic_store(&b->target->server_at, b->server_at);
	return 0;
}

void servers_read_only(struct backend *b)
{
	struct log_who who = {.kind = "server", .id = b->id, .database = pool_database(b->pool)};
	struct pool *p = b->pool;
	uint64_t now = clock_us();
	bool look;

	if (!in_recovery(b) && b->target->db->target_session_attrs != SERVER_ROLE_READ_WRITE)
		return; /* the client's own READ ONLY */
	if (in_recovery(b) && (b->target->db->target_session_attrs == SERVER_ROLE_READ_ONLY ||
			       b->target->db->target_session_attrs == SERVER_ROLE_STANDBY))
		return;
	pthread_mutex_lock(&p->lock);
	look = now - p->looked_us >= LOOK_AGAIN_US;
	if (look) {
		p->looked_us = now;
		p->generation++;
	}
	pthread_mutex_unlock(&p->lock);
	if (!look)
		return;
	log_info(&who, "the server is read-only: looking for another one");
	resolve_forget();
}
