/* Notifications on their way to the client: now when it is idle, else queued until its transaction has ended. */
#include "proxy/session/listen_private.h"

#include "protocol/back.h"
#include "protocol/write.h"

#include <stdio.h>

struct heard {
	struct ring node;
	struct notify_event *event; /* counted */
	uint32_t pid;		    /* as the client is told it */
};

/* The same, as the session's backend has said it. */
struct shown {
	struct ring node;
	uint32_t pid;
	uint32_t n;
	uint8_t body[]; /* as in notify_event */
};

static bool idle(const struct session *s)
{
	return s->state == SESSION_READY && s->txn == TXN_NONE && s->status == 'I';
}

static bool is_ascii(const struct notify_event *e)
{
	for (uint32_t i = 0; i < e->n; i++)
		if (e->body[i] >= 0x80)
			return false;
	return true;
}

/* Drivers know their own notifications by the process id of their BackendKeyData. Nobody else's may look like that. */
static uint32_t pid_for(const struct session *s, uint32_t pid, bool own)
{
	if (own && s->number != 0)
		return s->number;
	return pid == s->number ? pid ^ 0x40000000u : pid;
}

static void deliver(struct session *s, const struct notify_event *e, uint32_t pid)
{
	struct span channel = notify_event_channel(e);
	struct span payload = span_of(e->body + channel.n + 1, e->n - channel.n - 2);

	write_notification(conn_out(s->client), pid, channel, payload);
	conn_flush_later(s->client);
	count(&s->house->host.counters, notifications_delivered);
}

/* false = the session is closed. */
static bool may_deliver(struct session *s, const struct notify_event *e)
{
	if (s->same_encoding || is_ascii(e))
		return true;
	session_fatal(s, "0A000", "a notification cannot be converted to this client_encoding",
		      "LISTEN after SET client_encoding, not before.");
	return false;
}

/* Memory for one that has to wait; NULL = the session is closed. */
static void *reserve(struct session *s, size_t size, size_t bytes)
{
	struct listening *li = s->listen;
	void *p = li->queued + bytes > s->policy->notify_queue_size ? NULL : calloc(1, size);

	if (p != NULL) {
		li->queued += bytes;
		return p;
	}
	count(&s->house->host.counters, listen_overflows);
	session_fatal(s, "53400", "too many notifications wait for this client (notify_queue_size)",
		      "Read notifications sooner, and keep transactions of listening sessions short.");
	return NULL;
}

static void keep(struct session *s, struct notify_event *e, uint32_t pid)
{
	struct listening *li = s->listen;
	struct heard *h = reserve(s, sizeof *h, sizeof *h + e->n);

	if (h == NULL)
		return;
	h->event = notify_event_ref(e);
	h->pid = pid;
	ring_add(&li->queue, &h->node);
}

/* `body`: channel NUL payload NUL. */
static void keep_shown(struct session *s, uint32_t pid, struct span body)
{
	struct shown *one = reserve(s, sizeof *one + body.n, sizeof *one + body.n);

	if (one == NULL)
		return;
	one->pid = pid;
	one->n = (uint32_t)body.n;
	memcpy(one->body, body.p, body.n);
	ring_add(&s->listen->shown, &one->node);
}

static void on_heard(void *user, struct notify_event *e)
{
	struct listening *li = ((struct sub *)user)->of;
	struct session *s = li->s;
	bool own = s->backend != NULL && li->own_known && s->backend->pid == e->pid;
	uint32_t pid = pid_for(s, e->pid, own);

	if (!may_deliver(s, e))
		return;
	if (idle(s) && ring_empty(&li->queue) && !li->unsettled && !conn_full(s->client))
		deliver(s, e, pid);
	else
		keep(s, e, pid);
}

static void on_lost(void *user, const struct err *err)
{
	struct session *s = ((struct sub *)user)->of->s;
	char text[600];

	snprintf(text, sizeof text, "notifications may have been lost: %s", err->text);
	session_fatal(s, err->sqlstate[0] != '\0' ? err->sqlstate : "08006", text, NULL);
}

const struct notify_ops hear_ops = {.heard = on_heard, .lost = on_lost};

static void drop(struct listening *li, struct heard *h)
{
	li->queued -= sizeof *h + h->event->n;
	ring_remove(&h->node);
	notify_event_unref(h->event);
	free(h);
}

static void drop_shown(struct listening *li, struct shown *one)
{
	li->queued -= sizeof *one + one->n;
	ring_remove(&one->node);
	free(one);
}

void hear_forget(struct listening *li, bool all)
{
	ring_each_safe (it, &li->shown)
		drop_shown(li, ring_item(it, struct shown, node));
	ring_each_safe (it, &li->queue) {
		struct heard *h = ring_item(it, struct heard, node);

		if (all || listen_find(li, notify_event_channel(h->event)) == NULL)
			drop(li, h);
	}
}

static bool same(const struct shown *one, const struct notify_event *e)
{
	return one->pid == e->pid && one->n == e->n && memcmp(one->body, e->body, e->n) == 0;
}

/* What the transaction listens to is not known yet, but its backend has had every notification that PostgreSQL would put in front of this
 * ReadyForQuery, in the same order. One of the session's own between them, that it has not had, was sent while the session did not listen;
 * those behind them may be of the next transaction. */
static void flush_shown(struct session *s, struct listening *li)
{
	struct ring *first;

	ring_each_safe (it, &li->queue) {
		struct heard *h = ring_item(it, struct heard, node);
		struct shown *one;

		first = ring_first(&li->shown);
		if (first == NULL)
			return;
		one = ring_item(first, struct shown, node);
		if (same(one, h->event)) {
			drop_shown(li, one);
			if (!conn_full(s->client)) {
				deliver(s, h->event, h->pid);
				drop(li, h);
			}
		} else if (li->own_known && h->event->pid == s->backend->pid) {
			drop(li, h);
		}
	}
	while ((first = ring_first(&li->shown)) != NULL)
		drop_shown(li, ring_item(first, struct shown, node));
}

void listen_flush(struct session *s)
{
	struct listening *li = s->listen;
	struct ring *it;

	if (li == NULL)
		return;
	if (li->unsettled) {
		flush_shown(s, li);
		return;
	}
	while ((it = ring_first(&li->queue)) != NULL && !conn_full(s->client)) {
		struct heard *h = ring_item(it, struct heard, node);

		deliver(s, h->event, h->pid);
		drop(li, h);
	}
}

void listen_flush_idle(struct session *s)
{
	if (s->listen != NULL && idle(s))
		listen_flush(s);
}

bool listen_relay(struct session *s, struct span body)
{
	struct back_notify b;
	struct sub *sub;
	const char *why;

	if (back_notify_decode(body, &b, &why) != 0)
		return false;
	sub = s->listen != NULL ? listen_find(s->listen, b.channel) : NULL;
	if (sub != NULL && sub->state != SUB_NAMED) { /* the shared connection hears it too */
		if (s->listen->unsettled)
			keep_shown(s, b.pid, span_skip(body, 4));
		return true;
	}
	if (s->number == 0 || (b.pid != s->backend->pid && b.pid != s->number))
		return false;
	write_notification(conn_out(s->client), pid_for(s, b.pid, b.pid == s->backend->pid), b.channel,
			   b.payload);
	conn_flush_later(s->client);
	return true;
}
