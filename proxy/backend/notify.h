/* notify.h - the server connection over which one worker hears the notifications of one database.
 * Source  PostgreSQL manual, LISTEN, NOTIFY and "Asynchronous Operations": a notification is signalled to the listening
 *         connections before its commit is acknowledged, and sent before the next ReadyForQuery.
 * Shape   channels with their listeners over one backend. One command is under way at a time; what is asked for
 *         meanwhile shares the next one, so whoever has asked has, when it is answered, heard all that was committed
 *         before he asked.
 * Owner   the worker's house. Listeners and waits live in their sessions.
 * Thread  the worker's.
 * Errors  a wait that cannot be answered says so; a lost connection is told to every listener. */
#ifndef PROXY_BACKEND_NOTIFY_H
#define PROXY_BACKEND_NOTIFY_H

#include "proxy/backend/pool.h"

struct notify;
struct notify_channel;

/* One notification, shared by the queues of all that listen. */
struct notify_event {
	unsigned refs;
	uint32_t pid; /* of the server process that sent it */
	uint32_t nchannel;
	uint32_t n;	/* bytes of body */
	uint8_t body[]; /* channel NUL payload NUL, as in NotificationResponse */
};

struct notify_listener {
	struct ring node;		/* in its channel */
	struct notify_channel *channel; /* borrowed; NULL = listens to nothing */
	uint64_t turn;			/* hears from the answer of that command on */
	void *user;
};

struct notify_wait {
	struct ring node;
	uint64_t turn;
	/* Runs in the loop, never from inside notify_ask. heard = everything committed before notify_ask has been heard;
	 * listening = and the channels joined before it are listened to. */
	void (*fn)(struct notify_wait *wait, bool heard, bool listening);
};

struct notify_ops {
	void (*heard)(void *user, struct notify_event *event); /* keep it with notify_event_ref */
	/* The connection is gone and with it perhaps notifications. Has to leave all its channels. */
	void (*lost)(void *user, const struct err *err);
};

struct notify *notify_new(struct host *host, const struct notify_ops *ops);
void notify_free(struct notify **n); /* nobody may listen any more */
/* Gives the connection back now, when nobody listens. */
void notify_rest(struct notify *n);

/* From the next answer on the listener hears that channel; ask to know when. */
void notify_join(struct notify *n, struct notify_listener *l, struct span channel, void *user);
void notify_leave(struct notify *n, struct notify_listener *l); /* harmless when it listens to nothing */
/* false = the connection cannot be had now. `pool` (pools_get_listening) is used when there is none yet. */
bool notify_ask(struct notify *n, struct pool *pool, struct notify_wait *wait);
void notify_ask_no_more(struct notify_wait *wait); /* harmless when nothing was asked */

struct span notify_event_channel(const struct notify_event *e);
struct notify_event *notify_event_ref(struct notify_event *e);
void notify_event_unref(struct notify_event *e);

#endif
