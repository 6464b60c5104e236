#include "proxy/admin/console_private.h"

#include "proxy/base/check.h"
#include "proxy/base/log.h"
#include "proxy/session/cancel.h"

#include <stdlib.h>

struct log_who client_who(const struct client *c)
{
	return (struct log_who){.kind = "client", .id = c->id, .database = c->database, .user = c->user};
}

static struct config *config_now(const struct console *c)
{
	return c->parts.control.config(c->parts.control.arg);
}

/* --- clients --- */

static void free_client(void *arg)
{
	struct client *c = arg;

	free(c->database);
	free(c->user);
	free(c);
}

void client_close(struct client *c, const char *why)
{
	struct log_who who = client_who(c);

	if (c->closed)
		return;
	c->closed = true;
	if (config_now(c->console)->log_disconnections)
		log_info(&who, "client disconnected", F_STR("reason", why));
	if (c->run != NULL && c->portal == NULL) {
		run_free(c->run);
		free(c->run);
	}
	c->run = NULL;
	named_clear(c);
	client_free_query(c);
	cancels_remove(c->console->parts.cancels, c->number);
	conn_finish(&c->conn, CONN_LINGER_US);
	ring_remove(&c->node);
	c->console->nclients--;
	loop_retire(c->console->parts.loop, free_client, c);
}

static void on_input(void *owner)
{
	client_step(owner);
}

static void on_closed(void *owner, const struct err *err)
{
	(void)err;
	client_close(owner, "client closed the connection");
}

static const struct conn_ops client_ops = {
	.on_input = on_input, .on_output = on_input, .on_closed = on_closed};

/* --- arrivals --- */

enum may { MAY_NOTHING, MAY_LOOK, MAY_ALL };

static enum may rights_of(const struct console *c, const struct console_guest *g)
{
	const struct config *cfg = config_now(c);

	if (g->own || config_list_has(cfg->admin_users, g->user))
		return MAY_ALL;
	if (config_list_has(cfg->stats_users, g->user))
		return MAY_LOOK;
	return MAY_NOTHING;
}

static struct client *client_new(struct console *c, struct console_guest *g)
{
	struct client *client = check_alloc(sizeof *client);

	client->console = c;
	client->conn = g->conn;
	client->database = g->database;
	client->user = g->user;
	client->version = g->version;
	client->id = g->id;
	client->transaction = 'I';
	g->conn = NULL;
	g->database = NULL;
	g->user = NULL;
	ring_add(&c->clients, &client->node);
	c->nclients++;
	conn_attach(client->conn, c->parts.loop, &client_ops, client);
	conn_input_max(client->conn, TEXT_MAX + 16);
	return client;
}

static void arrived(struct mail *mail, void *ctx)
{
	struct console_guest *g = ring_item(mail, struct console_guest, mail);
	struct console *c = g->taker;
	enum may may;
	struct client *client;

	(void)ctx;
	if (c->closing) {
		guest_free(&g);
		return;
	}
	may = rights_of(c, g);
	client = client_new(c, g);
	guest_free(&g);
	if (may == MAY_NOTHING) {
		struct log_who who = client_who(client);

		log_warn(&who, "login refused", F_STR("reason", "neither in admin_users nor in stats_users"));
		client_fatal(client, "42501", "not allowed: the console is for admin_users and stats_users");
	} else if (c->nclients > CLIENTS_MAX) {
		client_fatal(client, "53300", "too many clients of the console");
	} else {
		client->admin = may == MAY_ALL;
		client_welcome(client);
		client_step(client);
	}
}

void console_take(struct console *c, struct console_guest *guest)
{
	guest->taker = c;
	guest->mail.run = arrived;
	loop_post(c->parts.loop, &guest->mail);
}

/* --- the whole --- */

static void turn(void *arg)
{
	struct console *c = arg;

	averages_turn(c->averages);
	timer_set(c->parts.loop, &c->turn, config_now(c)->stats_period);
}

struct console *console_new(const struct console_parts *parts)
{
	struct console *c = check_alloc(sizeof *c);

	c->parts = *parts;
	ring_init(&c->clients);
	c->averages = averages_new(parts->pools);
	timer_init(&c->turn, turn, c);
	timer_set(parts->loop, &c->turn, config_now(c)->stats_period);
	return c;
}

void console_close(struct console *c)
{
	c->closing = true;
	timer_free(&c->turn);
	ring_each_safe (it, &c->clients)
		client_fatal(ring_item(it, struct client, node), "57P01", "the proxy is shutting down");
}

void console_free(struct console **cp)
{
	struct console *c = *cp;

	*cp = NULL;
	if (c == NULL)
		return;
	averages_free(&c->averages);
	free(c);
}
