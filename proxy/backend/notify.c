#include "proxy/backend/notify.h"

#include "proxy/base/check.h"
#include "proxy/base/clock.h"
#include "proxy/base/log.h"
#include "proxy/base/map.h"
#include "protocol/back.h"
#include "protocol/frame.h"
#include "protocol/write.h"

#define TICK_US 1000000u
#define LEND_PATIENCE_US 3000000u    /* longer nobody waits for the connection; the sessions do without */
#define ANSWER_PATIENCE_US 30000000u /* a server that does not answer so long is lost */
#define IDLE_US 10000000u	     /* without channels it goes back so soon */
#define COMMAND_MAX (256u * 1024u * 1024u)

/* First thing on the connection: notifications as the server stores them, and no limit of a role may end it. */
static const char setup_sql[] =
	"SELECT pg_catalog.set_config('application_name', 'pgweir listens', false), "
	"pg_catalog.set_config('client_encoding', pg_catalog.current_setting('server_encoding'), false), "
	"(SELECT pg_catalog.count(pg_catalog.set_config(name, '0', false)) FROM pg_catalog.pg_settings "
	"WHERE name IN ('statement_timeout', 'lock_timeout', 'idle_session_timeout'))";

enum channel_state {
	CHANNEL_NEW,	/* the server does not know of it */
	CHANNEL_SENT,	/* its LISTEN is under way */
	CHANNEL_ON,	/* the server has accepted it */
	CHANNEL_LEAVING /* its UNLISTEN is under way */
};

struct notify_channel {
	struct ring listeners;
	struct ring dirty; /* in n->dirty while a command has to be sent for it */
	enum channel_state state;
	UT_hash_handle hh;
	size_t n;
	char name[];
};

enum notify_state {
	NOTIFY_OFF,
	NOTIFY_LENDING, /* waits for its backend */
	NOTIFY_UP,
};

struct notify {
	struct host *host;
	const struct notify_ops *ops;
	enum notify_state state;
	struct pool *pool; /* borrowed: of the backend, or of the wait for it */
	struct lend lend;
	struct backend *backend; /* on loan as long as somebody listens */
	uint64_t since_us;	 /* LENDING: asked; UP: command sent */
	uint64_t idle_us;	 /* since when nobody has listened, 0 = somebody does */
	bool asleep;		 /* freed while a backend was on its way */
	bool failed;		 /* the command under way has failed */
	struct err last_words;	 /* the server's FATAL, before it closes */
	uint64_t sent, done;	 /* numbers of commands */
	struct ring dirty;	 /* channels to LISTEN or UNLISTEN */
	struct ring sending;	 /* those in the command under way */
	struct ring waits;
	struct notify_channel *channels;
	unsigned nchannels;
	struct later send;
	struct timer tick;
};

/* --- events --- */

struct span notify_event_channel(const struct notify_event *e)
{
	return span_of(e->body, e->nchannel);
}

struct notify_event *notify_event_ref(struct notify_event *e)
{
	e->refs++;
	return e;
}

void notify_event_unref(struct notify_event *e)
{
	if (--e->refs == 0)
		free(e);
}

static struct notify_event *event_of(const struct back_notify *b)
{
	size_t n = b->channel.n + 1 + b->payload.n + 1;
	struct notify_event *e = calloc(1, sizeof *e + n);

	if (e == NULL)
		return NULL;
	e->refs = 1;
	e->pid = b->pid;
	e->nchannel = (uint32_t)b->channel.n;
	e->n = (uint32_t)n;
	memcpy(e->body, b->channel.p, b->channel.n);
	memcpy(e->body + b->channel.n + 1, b->payload.p, b->payload.n);
	return e;
}

/* --- channels --- */

static struct notify_channel *find(struct notify *n, struct span name)
{
	struct notify_channel *c;

	HASH_FIND(hh, n->channels, name.p, name.n, c);
	return c;
}

static struct notify_channel *channel_new(struct notify *n, struct span name)
{
	struct notify_channel *c = check_alloc(sizeof *c + name.n + 1);

	ring_init(&c->listeners);
	ring_init(&c->dirty);
	c->n = name.n;
	memcpy(c->name, name.p, name.n);
	HASH_ADD_KEYPTR(hh, n->channels, c->name, c->n, c);
	n->nchannels++;
	count_add(&n->host->counters, COUNTER_listen_channels, 1);
	return c;
}

static void channel_free(struct notify *n, struct notify_channel *c)
{
	ring_remove(&c->dirty);
	HASH_DEL(n->channels, c);
	n->nchannels--;
	count_add(&n->host->counters, COUNTER_listen_channels, -1);
	free(c);
}

/* What is to be done for it now that nothing of it is under way? */
static void channel_look(struct notify *n, struct notify_channel *c)
{
	bool wanted = !ring_empty(&c->listeners);

	if (c->state == CHANNEL_NEW && !wanted) {
		channel_free(n, c);
		return;
	}
	ring_remove(&c->dirty);
	if ((c->state == CHANNEL_NEW) == wanted) {
		ring_add(&n->dirty, &c->dirty);
		loop_later(n->host->loop, &n->send);
	}
}

void notify_join(struct notify *n, struct notify_listener *l, struct span name, void *user)
{
	struct notify_channel *c = find(n, name);

	check(l->channel == NULL);
	if (c == NULL)
		c = channel_new(n, name);
	l->channel = c;
	l->user = user;
	l->turn = n->sent + 1;
	n->idle_us = 0;
	ring_add(&c->listeners, &l->node);
	if (c->state == CHANNEL_NEW || c->state == CHANNEL_ON)
		channel_look(n, c);
}

void notify_leave(struct notify *n, struct notify_listener *l)
{
	struct notify_channel *c = l->channel;

	if (c == NULL)
		return;
	ring_remove(&l->node);
	l->channel = NULL;
	if (ring_empty(&c->listeners) && (c->state == CHANNEL_NEW || c->state == CHANNEL_ON))
		channel_look(n, c);
}

/* --- waits --- */

static void answer_waits(struct notify *n, uint64_t upto, bool heard, bool listening)
{
	struct ring due, *it;

	ring_init(&due);
	ring_each_safe (at, &n->waits) {
		if (ring_item(at, struct notify_wait, node)->turn > upto)
			continue;
		ring_remove(at);
		ring_add(&due, at);
	}
	while ((it = ring_first(&due)) != NULL) {
		struct notify_wait *w = ring_item(it, struct notify_wait, node);

		ring_remove(it);
		w->fn(w, heard, listening);
	}
}

void notify_ask_no_more(struct notify_wait *w)
{
	if (w->node.next != NULL)
		ring_remove(&w->node);
}

/* --- the connection --- */

static struct log_who who(const struct notify *n)
{
	return (struct log_who){
		.kind = "listener", .database = pool_database(n->pool), .user = pool_user(n->pool)};
}

static void let_go(struct notify *n)
{
	struct backend *b = n->backend;

	n->backend = NULL;
	n->state = NOTIFY_OFF;
	b->dirty = true;
	backend_give_back(b, true);
}

/* One who has heard something so far; those who have joined a moment ago have missed nothing. */
static struct notify_listener *one_who_hears(struct notify *n)
{
	for (struct notify_channel *c = n->channels; c != NULL; c = c->hh.next)
		ring_each (it, &c->listeners) {
			struct notify_listener *l = ring_item(it, struct notify_listener, node);

			if (l->turn <= n->done)
				return l;
		}
	return NULL;
}

/* All channels are forgotten by the server. */
static void lost(struct notify *n, const struct err *err)
{
	struct log_who w = who(n);
	struct notify_channel *c, *next;
	struct notify_listener *l;

	log_warn(&w, "the connection that hears notifications is lost", F_STR("reason", err->text),
		 F_INT("channels", n->nchannels));
	count(&n->host->counters, listen_losses);
	n->state = NOTIFY_OFF;
	n->backend = NULL;
	n->done = n->sent;
	while (!ring_empty(&n->sending))
		ring_remove(ring_first(&n->sending));
	HASH_ITER (hh, n->channels, c, next) {
		c->state = CHANNEL_NEW;
		channel_look(n, c);
	}
	answer_waits(n, UINT64_MAX, false, false);
	while ((l = one_who_hears(n)) != NULL)
		n->ops->lost(l->user, err);
}

static void lose(struct notify *n, const char *sqlstate, const char *text)
{
	struct err err;

	err_state(&err, sqlstate, "%s", text);
	n->backend->broken = true;
	let_go(n);
	lost(n, &err);
}

static void add_quoted(struct buf *text, const char *verb, const struct notify_channel *c)
{
	buf_add(text, verb, strlen(verb));
	buf_add_u8(text, '"');
	for (size_t i = 0; i < c->n; i++) {
		if (c->name[i] == '"')
			buf_add_u8(text, '"');
		buf_add_u8(text, (uint8_t)c->name[i]);
	}
	buf_add_u8(text, '"');
	buf_add_u8(text, ';');
}

/* The next command: what channels have come and gone, or nothing but a question that will be answered in its turn. */
static void send_next(struct notify *n)
{
	struct buf text;
	struct ring *it;

	buf_init(&text, COMMAND_MAX);
	while ((it = ring_first(&n->dirty)) != NULL) {
		struct notify_channel *c = ring_item(it, struct notify_channel, dirty);
		bool on = c->state == CHANNEL_NEW;

		add_quoted(&text, on ? "LISTEN " : "UNLISTEN ", c);
		c->state = on ? CHANNEL_SENT : CHANNEL_LEAVING;
		ring_remove(it);
		ring_add(&n->sending, it);
	}
	buf_add_u8(&text, 0);
	n->sent++;
	n->failed = false;
	n->since_us = clock_us();
	if (text.failed)
		lose(n, "53200", "out of memory");
	else
		backend_query(n->backend, (const char *)text.p, WHY_LISTEN);
	buf_free(&text);
}

/* End of a round: one command for all that has been asked in it. */
static void send_later(struct later *later)
{
	struct notify *n = (struct notify *)(void *)((char *)later - offsetof(struct notify, send));

	if (n->state == NOTIFY_UP && n->sent == n->done && expect_head(&n->backend->expects) == NULL &&
	    (!ring_empty(&n->dirty) || !ring_empty(&n->waits)))
		send_next(n);
}

/* ReadyForQuery. */
static void answered(struct notify *n)
{
	bool failed = n->failed;
	struct ring *it, fell;

	if (n->done < n->sent) {
		ring_init(&fell);
		while ((it = ring_first(&n->sending)) != NULL) {
			struct notify_channel *c = ring_item(it, struct notify_channel, dirty);

			ring_remove(it);
			if ((c->state == CHANNEL_SENT) != failed)
				c->state = CHANNEL_ON;
			else
				c->state = CHANNEL_NEW;
			ring_add(&fell, it);
		}
		n->done++;
		answer_waits(n, n->done, true, !failed);
		while ((it = ring_first(&fell)) != NULL) {
			ring_remove(it);
			channel_look(n, ring_item(it, struct notify_channel, dirty));
		}
	}
	loop_later(n->host->loop, &n->send);
}

static void heard(struct notify *n, struct span body)
{
	struct back_notify b;
	struct notify_event *e;
	struct notify_channel *c;
	const char *why;

	if (back_notify_decode(body, &b, &why) != 0) {
		lose(n, "08P01", why);
		return;
	}
	count(&n->host->counters, notifications_heard);
	c = find(n, b.channel);
	if (c == NULL)
		return;
	e = event_of(&b);
	if (e == NULL) {
		lose(n, "53200", "out of memory");
		return;
	}
	ring_each_safe (it, &c->listeners) {
		struct notify_listener *l = ring_item(it, struct notify_listener, node);

		if (l->turn <= n->done)
			n->ops->heard(l->user, e);
	}
	notify_event_unref(e);
}

/* An error: the command's, or the end of the connection. */
static void refused(struct notify *n, struct span body)
{
	struct back_error e = {0};
	struct log_who w = who(n);
	char state[6] = "08006";
	const char *why;

	if (back_error_decode(body, &e, &why) != 0)
		return;
	log_warn(&w, "the server refuses to listen", F_SPAN("reason", e.message));
	if (!span_eq(e.severity, span_str("FATAL")) && !span_eq(e.severity, span_str("PANIC")))
		return;
	if (e.sqlstate.n == 5)
		memcpy(state, e.sqlstate.p, 5);
	err_state(&n->last_words, state, "%.*s", (int)e.message.n, (const char *)e.message.p);
}

static void message(struct notify *n, const struct frame *f)
{
	struct backend *b = n->backend;
	enum reply_step step = backend_reply(b, f->type);
	const char *why;

	switch (f->type) {
	case 'A': heard(n, f->body); return;
	case 'S': backend_note_param(b, f->body); return;
	case 'N': return;
	case 'E':
		n->failed = true;
		refused(n, f->body);
		break;
	default: break;
	}
	if (step == REPLY_BAD) {
		lose(n, "08P01", "the server sent an unexpected message");
		return;
	}
	if (f->type == 'Z')
		back_ready_decode(f->body, &b->status, &why);
	backend_reply_done(b, f->type, step, NULL, NULL);
	if (f->type == 'Z')
		answered(n);
}

static void on_input(void *user)
{
	struct notify *n = user;
	struct frame f;
	size_t used;
	const char *why;

	while (n->backend != NULL) {
		struct backend *b = n->backend;

		switch (frame_next(conn_input(b->conn), BACKEND_INPUT_MAX - FRAME_HEADER, &f, &used, &why)) {
		case FRAME_MORE: return;
		case FRAME_BAD: lose(n, "08P01", why); return;
		case FRAME_OK: break;
		}
		message(n, &f);
		if (n->backend != b)
			return;
		conn_consume(b->conn, used);
	}
}

static void on_output(void *user)
{
	(void)user;
}

static void on_closed(void *user, const struct err *err)
{
	struct notify *n = user;
	struct err why = n->last_words.text[0] != '\0' ? n->last_words : *err;

	lost(n, &why);
}

static const struct backend_user_ops backend_ops = {
	.on_input = on_input, .on_output = on_output, .on_closed = on_closed};

static void up(struct notify *n, struct backend *b)
{
	n->state = NOTIFY_UP;
	n->backend = b;
	n->last_words = (struct err){0};
	n->since_us = clock_us();
	n->idle_us = n->nchannels == 0 && ring_empty(&n->waits) ? n->since_us : 0;
	backend_lent(b, &backend_ops, n);
	backend_query(b, setup_sql, WHY_LISTEN); /* its ReadyForQuery lets the first command go */
}

static void lent(struct lend *lend, struct backend *b, const struct err *err)
{
	struct notify *n = (struct notify *)(void *)((char *)lend - offsetof(struct notify, lend));
	struct log_who w;

	if (n->asleep) {
		if (b != NULL) {
			backend_lent(b, &backend_ops, n);
			backend_give_back(b, true);
		}
		free(n);
		return;
	}
	if (b != NULL) {
		up(n, b);
		return;
	}
	w = who(n);
	log_warn(&w, "no connection to hear notifications", F_STR("reason", err->text));
	n->state = NOTIFY_OFF;
	answer_waits(n, UINT64_MAX, false, false);
}

static void want_backend(struct notify *n, struct pool *pool)
{
	struct backend *b;

	n->pool = pool;
	n->state = NOTIFY_LENDING;
	n->since_us = clock_us();
	n->lend = (struct lend){.fn = lent};
	timer_set(n->host->loop, &n->tick, TICK_US);
	b = pool_lend(pool, n->host, &n->lend);
	if (b != NULL)
		up(n, b);
}

bool notify_ask(struct notify *n, struct pool *pool, struct notify_wait *w)
{
	if (n->state == NOTIFY_OFF)
		want_backend(n, pool);
	else if (n->state == NOTIFY_LENDING && clock_us() - n->since_us > LEND_PATIENCE_US)
		return false;
	w->turn = n->sent + 1;
	ring_init(&w->node);
	ring_add(&n->waits, &w->node);
	loop_later(n->host->loop, &n->send);
	return true;
}

static bool is_quiet(const struct notify *n)
{
	return n->nchannels == 0 && ring_empty(&n->waits) && expect_head(&n->backend->expects) == NULL;
}

void notify_rest(struct notify *n)
{
	if (n->state == NOTIFY_UP && is_quiet(n))
		let_go(n);
}

/* Once a second: has it waited too long, is it needed, is it where the configuration says? */
static void tick(void *arg)
{
	struct notify *n = arg;
	uint64_t now = clock_us();

	if (n->state == NOTIFY_OFF)
		return;
	timer_set(n->host->loop, &n->tick, TICK_US);
	if (n->state == NOTIFY_LENDING) {
		if (now - n->since_us > LEND_PATIENCE_US)
			answer_waits(n, UINT64_MAX, false, false);
		return;
	}
	if (pool_moved(n->pool, n->backend)) {
		lose(n, "57P01", "the configuration names another server for the database");
		return;
	}
	if (expect_head(&n->backend->expects) != NULL && now - n->since_us > ANSWER_PATIENCE_US) {
		lose(n, "08006", "the server does not answer");
		return;
	}
	if (!is_quiet(n))
		n->idle_us = 0;
	else if (n->idle_us == 0)
		n->idle_us = now;
	else if (now - n->idle_us > IDLE_US)
		let_go(n);
}

struct notify *notify_new(struct host *host, const struct notify_ops *ops)
{
	struct notify *n = check_alloc(sizeof *n);

	n->host = host;
	n->ops = ops;
	ring_init(&n->dirty);
	ring_init(&n->sending);
	ring_init(&n->waits);
	later_init(&n->send, send_later);
	timer_init(&n->tick, tick, n);
	return n;
}

void notify_free(struct notify **np)
{
	struct notify *n = *np;
	struct notify_channel *c, *next;

	if (n == NULL)
		return;
	*np = NULL;
	timer_free(&n->tick);
	later_cancel(&n->send);
	HASH_ITER (hh, n->channels, c, next) {
		check(ring_empty(&c->listeners));
		channel_free(n, c);
	}
	check(ring_empty(&n->waits));
	if (n->backend != NULL)
		let_go(n);
	if (n->state == NOTIFY_LENDING && !pool_lend_cancel(n->pool, &n->lend)) {
		n->asleep = true; /* the loan frees it */
		return;
	}
	free(n);
}
