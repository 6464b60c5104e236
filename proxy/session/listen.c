#include "proxy/session/listen_private.h"

#include "proxy/base/utf8.h"
#include "protocol/datum.h"
#include "protocol/write.h"

#include <strings.h>

static const char ask_sql[] = "SELECT 'channel', c FROM pg_catalog.pg_listening_channels() AS c";

struct sub *listen_find(const struct listening *li, struct span name)
{
	struct sub *sub;

	HASH_FIND(hh, li->subs, name.p, name.n, sub);
	return sub;
}

/* The shared connection of the session's database. */
static struct notify *notify_of(struct session *s)
{
	struct house *h = s->house;
	struct hearing *at;

	for (at = h->hearings; at != NULL; at = at->next)
		if (strcmp(at->database, s->database) == 0)
			return at->notify;
	at = check_alloc(sizeof *at);
	at->database = strdup(s->database);
	check(at->database != NULL);
	at->notify = notify_new(&h->host, &hear_ops);
	at->next = h->hearings;
	h->hearings = at;
	return at->notify;
}

void listen_close_house(struct house *h)
{
	while (h->hearings != NULL) {
		struct hearing *at = h->hearings;

		h->hearings = at->next;
		notify_free(&at->notify);
		free(at->database);
		free(at);
	}
}

void listen_rest_house(struct house *h)
{
	for (struct hearing *at = h->hearings; at != NULL; at = at->next)
		notify_rest(at->notify);
}

static bool multiplexes(const struct session *s)
{
	const struct config_database *db = config_database(s->config, s->database);

	return s->replication == NULL && s->certain && s->same_encoding && db != NULL &&
	       db->host_count == 1 && s->policy->pool_mode != POOL_MODE_SESSION;
}

/* One name that the server refuses would fail the command of all that share it. */
static bool fit_to_share(const struct session *s, struct span name)
{
	const char *encoding = settings_get(&s->params, "server_encoding");

	if (name.n == 0 || name.n > DATUM_NAME_MAX)
		return false;
	return utf8_is_ascii(name) || (encoding != NULL && strcmp(encoding, "UTF8") == 0 && utf8_valid(name));
}

/* --- subs --- */

static void sub_new(struct listening *li, struct span name)
{
	struct sub *sub = check_alloc(sizeof *sub + name.n + 1);

	sub->of = li;
	sub->n = name.n;
	memcpy(sub->name, name.p, name.n);
	HASH_ADD_KEYPTR(hh, li->subs, sub->name, sub->n, sub);
	li->nnamed++;
}

static void sub_free(struct listening *li, struct sub *sub)
{
	notify_leave(li->notify, &sub->listener);
	if (sub->state == SUB_NAMED)
		li->nnamed--;
	if (sub->state == SUB_SETTLED && --li->nsettled == 0)
		count_add(&li->s->house->host.counters, COUNTER_listeners, -1);
	HASH_DEL(li->subs, sub);
	free(sub);
}

static void sub_settle(struct listening *li, struct sub *sub)
{
	if (sub->state != SUB_JOINED)
		return;
	sub->state = SUB_SETTLED;
	if (li->nsettled++ == 0)
		count_add(&li->s->house->host.counters, COUNTER_listeners, 1);
}

/* --- texts --- */

static bool mentions_channels(struct span text)
{
	static const char word[] = "pg_listening_channels";
	size_t n = sizeof word - 1;

	for (size_t i = 0; i + n <= text.n; i++)
		if (strncasecmp((const char *)text.p + i, word, n) == 0)
			return true;
	return false;
}

static bool not_known(const struct session *s, struct stmt *stmt)
{
	return stmt->facts->nstmts < 0 || !s->certain;
}

static bool changes_channels(struct session *s, struct stmt *stmt)
{
	return not_known(s, stmt) ||
	       (stmt->facts->effects & (EFFECT_LISTEN | EFFECT_DISCARD | EFFECT_TAINT)) != 0 ||
	       txn_runs_hidden_code(s, stmt);
}

static bool has_command(const struct stmt *stmt, enum command a, enum command b)
{
	for (int i = 0; i < stmt->facts->nstmts; i++)
		if (stmt->facts->stmts[i].command == a || stmt->facts->stmts[i].command == b)
			return true;
	return false;
}

/* Does it matter to that statement, or to what may come in its transaction, what the backend listens to? */
static bool depends_on_channels(struct session *s, struct stmt *stmt)
{
	return changes_channels(s, stmt) || (stmt->facts->effects & EFFECT_PREPARED) != 0 ||
	       has_command(stmt, COMMAND_BEGIN, COMMAND_TXN) || mentions_channels(stmt->text);
}

static bool may_notify(const struct session *s, char type, struct stmt *stmt)
{
	const uint32_t silent = EFFECT_SETTING | EFFECT_SEQUENCE | EFFECT_LOCKS | EFFECT_PORTAL;

	if (stmt == NULL)
		return type == 'Q' || type == 'F';
	return not_known(s, stmt) || s->hooks || (stmt->facts->effects & ~silent) != 0;
}

/* Can what is about to be forwarded end the transaction? */
static bool may_commit(const struct session *s, char type, struct stmt *stmt)
{
	bool in_block = s->txn == TXN_REAL && s->status == 'T' && s->backend->expects.syncs == 0;

	switch (type) {
	case 'Q':
		return !in_block || stmt == NULL || not_known(s, stmt) ||
		       has_command(stmt, COMMAND_COMMIT, COMMAND_TXN);
	case 'B':
		return stmt != NULL &&
		       (not_known(s, stmt) || has_command(stmt, COMMAND_COMMIT, COMMAND_TXN) ||
			(!in_block && (stmt->facts->effects & EFFECT_TAINT) != 0));
	case 'S':
	case 'F': return !in_block;
	default: return false;
	}
}

/* --- before a message is forwarded --- */

static void start(struct session *s)
{
	struct listening *li = check_alloc(sizeof *li);

	li->s = s;
	li->notify = notify_of(s);
	ring_init(&li->queue);
	ring_init(&li->shown);
	s->listen = li;
}

static void note(struct session *s, struct listening *li, char type, struct stmt *stmt)
{
	if (stmt == NULL) {
		li->unsettled |= type == 'Q' || type == 'F';
		return;
	}
	li->unsettled |= changes_channels(s, stmt);
	if (li->refused || !multiplexes(s))
		return;
	for (int i = 0; i < stmt->facts->nstmts; i++) {
		const struct stmt_facts *f = &stmt->facts->stmts[i];
		struct span name;

		if (f->command != COMMAND_LISTEN || f->name == NULL)
			continue;
		name = span_str(f->name);
		if (listen_find(li, name) == NULL && fit_to_share(s, name))
			sub_new(li, name);
	}
}

/* Without the shared connection: what this transaction listens to stays on its backend. */
static void refuse(struct listening *li)
{
	struct sub *sub, *next;

	li->refused = true;
	HASH_ITER (hh, li->subs, sub, next)
		if (sub->state != SUB_SETTLED && sub->listener.turn >= li->go.turn)
			sub_free(li, sub);
}

static void may_go(struct notify_wait *w, bool heard, bool listening)
{
	struct listening *li = (struct listening *)(void *)((char *)w - offsetof(struct listening, go));

	li->go_waits = false;
	if (li->joining && !listening)
		refuse(li);
	li->joining = false;
	li->own_known |= heard;
	session_run(li->s);
}

static bool ask(struct session *s, struct notify_wait *w, void (*fn)(struct notify_wait *, bool, bool))
{
	struct house *h = s->house;
	struct err err;
	struct pool *pool =
		pools_get_listening(h->pools, s->config, h->server_tls, s->database, s->user, &err);

	w->fn = fn;
	return pool != NULL && notify_ask(s->listen->notify, pool, w);
}

static bool join(struct session *s, struct listening *li)
{
	struct sub *sub, *next;

	HASH_ITER (hh, li->subs, sub, next)
		if (sub->state == SUB_NAMED) {
			notify_join(li->notify, &sub->listener, span_of((const uint8_t *)sub->name, sub->n),
				    sub);
			sub->state = SUB_JOINED;
			li->nnamed--;
		}
	li->go_waits = ask(s, &li->go, may_go);
	li->joining = li->go_waits;
	if (!li->go_waits) {
		li->go.turn = 0;
		refuse(li);
	}
	return li->go_waits;
}

bool listen_must_wait(struct session *s, char type, struct stmt *stmt)
{
	struct listening *li = s->listen;

	if (li == NULL) {
		if (stmt == NULL || (stmt->facts->effects & EFFECT_LISTEN) == 0 ||
		    !has_command(stmt, COMMAND_LISTEN, COMMAND_LISTEN))
			return false;
		start(s);
		li = s->listen;
	}
	if (li->go_waits)
		return true;
	note(s, li, type, stmt);
	if (li->nnamed > 0 && may_commit(s, type, stmt))
		return join(s, li);
	if (li->nsettled > 0 && !li->own_known && may_notify(s, type, stmt))
		li->go_waits = ask(s, &li->go, may_go);
	return li->go_waits;
}

bool listen_waits(const struct session *s)
{
	return s->listen != NULL && s->listen->go_waits;
}

bool listen_alone(const struct session *s, char type)
{
	const struct listening *li = s->listen;

	return li != NULL && li->nsettled > 0 && !li->on_backend && !s->unsynced && s->txn != TXN_REAL &&
	       s->backend->expects.visible > 0 && strchr("QPBDECF", type) != NULL;
}

/* --- the channels on the backend --- */

/* Does anything in the request in the input depend on the channels? */
static bool input_depends(struct session *s)
{
	struct batch batch;
	const char *why;

	if (s->txn == TXN_VIRTUAL ||
	    batch_scan(conn_input(s->client), (uint32_t)s->config->max_packet_size, &batch, &why) !=
		    BATCH_OK ||
	    !batch.whole)
		return true;
	for (unsigned i = 0; i < batch.n; i++) {
		struct span text, portal, name;
		struct stmt *stmt = NULL;
		struct front_parse p;
		size_t used;
		bool depends = false;

		switch (batch.op[i].type) {
		case 'Q':
			if (front_query_decode(batch.op[i].body, &text, &why) == 0)
				stmt = memo_get(s->house->memo, text, span_of(NULL, 0));
			break;
		case 'P':
			if (front_parse_decode(batch.op[i].body, &p, &why) == 0)
				stmt = memo_get(s->house->memo, p.query, p.param_oids);
			break;
		case 'B':
			if (front_bind_names(batch.op[i].body, &portal, &name, &used, &why) == 0)
				stmt = stmts_find(&s->stmts, name);
			if (stmt != NULL)
				stmt_ref(stmt);
			break;
		case 'F': depends = true; break;
		default: break;
		}
		if (stmt != NULL) {
			depends |= depends_on_channels(s, stmt);
			stmt_unref(stmt);
		}
		if (depends)
			return true;
	}
	return false;
}

static void put_channels(struct session *s, struct listening *li)
{
	struct buf text;
	struct sub *sub, *next;

	buf_init(&text, 64u * 1024u * 1024u);
	HASH_ITER (hh, li->subs, sub, next) {
		if (sub->state != SUB_SETTLED)
			continue;
		buf_add(&text, "LISTEN \"", 8);
		for (size_t i = 0; i < sub->n; i++) {
			if (sub->name[i] == '"')
				buf_add_u8(&text, '"');
			buf_add_u8(&text, (uint8_t)sub->name[i]);
		}
		buf_add(&text, "\";", 2);
	}
	buf_add_u8(&text, 0);
	if (text.failed || backend_query(s->backend, (const char *)text.p, WHY_LISTEN) != 0)
		s->backend->broken = true;
	buf_free(&text);
	li->on_backend = true;
}

void listen_link(struct session *s)
{
	struct listening *li = s->listen;
	struct backend *b = s->backend;

	if (li == NULL || s->welcome_learning)
		return;
	li->own_known &= b->id == li->backend_id && b->loans - li->backend_loans <= 1;
	li->backend_id = b->id;
	li->backend_loans = b->loans;
	if (li->nsettled > 0 && !li->on_backend && input_depends(s))
		put_channels(s, li);
}

/* --- ReadyForQuery --- */

static void ready_heard(struct notify_wait *w, bool heard, bool listening)
{
	struct listening *li = (struct listening *)(void *)((char *)w - offsetof(struct listening, ready));
	struct session *s = li->s;

	(void)heard; /* if not, the session is closed in a moment */
	(void)listening;
	li->ready_waits = false;
	li->ready_heard = true;
	if (s->backend != NULL)
		conn_resume(s->backend->conn);
}

bool listen_holds(struct session *s, char type, struct span body)
{
	struct listening *li = s->listen;
	struct expect *head;

	if (li == NULL || type != 'Z' || (li->unsettled ? ring_empty(&li->shown) : li->nsettled == 0) ||
	    body.n != 1 || body.p[0] != 'I')
		return false;
	head = expect_head(&s->backend->expects);
	if (head == NULL || head->why != WHY_CLIENT)
		return false;
	if (li->ready_heard) {
		li->ready_heard = false;
		return false;
	}
	if (!li->ready_waits)
		li->ready_waits = ask(s, &li->ready, ready_heard);
	if (li->ready_waits)
		conn_pause(s->backend->conn);
	return li->ready_waits;
}

/* --- after the transaction --- */

bool listen_settle(struct session *s)
{
	struct listening *li = s->listen;
	struct backend *b = s->backend;

	if (li == NULL) {
		if ((s->pins & (1u << PIN_LISTEN)) == 0)
			s->effects &= ~(uint32_t)EFFECT_LISTEN; /* UNLISTEN of one who has never listened */
		return false;
	}
	if (li->looked) {
		li->looked = false;
		return false;
	}
	/* Hidden code (txn.c) may have listened too. */
	li->unsettled |= (s->effects & (EFFECT_TAINT | EFFECT_LISTEN | EFFECT_DISCARD)) != 0;
	if (!li->unsettled && (!li->on_backend || li->kept))
		return false;
	if (li->subs == NULL && !li->on_backend && !multiplexes(s)) {
		li->unsettled = false;
		return false; /* the session's backend is its own, or the probe pins it */
	}
	if (b->cancel != NULL) {
		s->quiet_waits = true; /* it could hit our question */
		return true;
	}
	li->settling = li->unsettled ? SETTLING_ASKED : SETTLING_OFF;
	s->unanswered = false;
	s->attempts = 0;
	li->any_seen = false;
	li->kept = false;
	s->asked++;
	if (backend_query(b, li->unsettled ? ask_sql : "UNLISTEN *", WHY_LISTEN) != 0)
		b->broken = true;
	return true;
}

void listen_settle_again(struct session *s)
{
	s->unanswered = false;
	s->attempts++;
	if (backend_query(s->backend, s->listen->settling == SETTLING_ASKED ? ask_sql : "UNLISTEN *",
			  WHY_LISTEN) != 0)
		s->backend->broken = true;
}

void listen_row(struct session *s, struct span channel)
{
	struct listening *li = s->listen;
	struct sub *sub = listen_find(li, channel);

	if (li->settling != SETTLING_ASKED)
		return;
	li->any_seen = true;
	if (sub == NULL || sub->state == SUB_NAMED)
		li->kept = true; /* the shared connection does not have it */
	else
		sub->seen = true;
}

static void settle_done(struct session *s, struct listening *li)
{
	li->settling = SETTLING_NOT;
	li->looked = true;
	s->asked = 0;
	if (li->kept || (s->pins & (1u << PIN_LISTEN)) != 0)
		s->effects |= EFFECT_LISTEN; /* the probe pins, or takes the pin away */
	else
		s->effects &= ~(uint32_t)EFFECT_LISTEN;
}

/* What the backend has named is what the session listens to, if the backend knew of all. */
static void take_channels(struct listening *li)
{
	bool exact = li->on_backend || li->nsettled == 0;
	struct sub *sub, *next;

	HASH_ITER (hh, li->subs, sub, next) {
		if (sub->seen)
			sub_settle(li, sub);
		else if (exact || sub->state != SUB_SETTLED)
			sub_free(li, sub);
		else
			continue;
	}
	for (sub = li->subs; sub != NULL; sub = sub->hh.next)
		sub->seen = false;
	li->unsettled = false;
	li->refused = false;
	hear_forget(li, false);
	li->on_backend = exact && (li->on_backend || li->any_seen);
}

void listen_settled(struct session *s)
{
	struct listening *li = s->listen;

	if (li == NULL || li->settling == SETTLING_NOT)
		return; /* the channels have been put onto the backend */
	if (li->settling == SETTLING_OFF) {
		li->on_backend = false;
		settle_done(s, li);
		return;
	}
	take_channels(li);
	if (li->kept || !li->any_seen) {
		li->on_backend &= li->kept;
		settle_done(s, li);
		return;
	}
	li->settling = SETTLING_OFF;
	if (backend_query(s->backend, "UNLISTEN *", WHY_LISTEN) != 0)
		s->backend->broken = true;
}

bool listen_left_traces(const struct session *s)
{
	return s->listen != NULL && (s->listen->on_backend || s->listen->unsettled);
}

void listen_close(struct session *s)
{
	struct listening *li = s->listen;
	struct sub *sub, *next;

	if (li == NULL)
		return;
	notify_ask_no_more(&li->go);
	notify_ask_no_more(&li->ready);
	HASH_ITER (hh, li->subs, sub, next)
		sub_free(li, sub);
	hear_forget(li, true);
	s->listen = NULL;
	free(li);
}
