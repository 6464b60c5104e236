#include "proxy/session/roster.h"

#include "proxy/base/clock.h"
#include "proxy/session/session_private.h"

#include <stdio.h>

static const char *const state_names[NSESSION_STATES] = {
#define S(id, step, limit, what) #id,
#include "proxy/session/states.def"
#undef S
};

static const char *const pin_names[NPINS] = {
#define PIN(id, name) name,
#include "proxy/session/pins.def"
#undef PIN
};

const char *pin_name(unsigned pin)
{
	return pin < NPINS ? pin_names[pin] : NULL;
}

static const char *state_word(const struct session *s)
{
	if (s->state < SESSION_READY)
		return s->state == SESSION_WELCOME && s->lending ? "waiting" : "login";
	if (s->state == SESSION_QUEUED)
		return "waiting";
	/* PgBouncer calls a client without a link that has nothing to do idle. */
	return s->backend == NULL && s->state == SESSION_READY && s->txn == TXN_NONE ? "idle" : "active";
}

static void fill_row(struct session *s, uint64_t now, bool deep, struct socket_row *row)
{
	const char *app = settings_get(&s->params, "application_name");
	bool waits = s->state == SESSION_QUEUED || (s->state == SESSION_WELCOME && s->lending);

	snprintf(row->user, sizeof row->user, "%.63s", s->user != NULL ? s->user : "(nouser)");
	snprintf(row->database, sizeof row->database, "%.63s", s->database != NULL ? s->database : "(nodb)");
	row->replication = s->replication == NULL		     ? "none"
			   : strcmp(s->replication, "database") == 0 ? "logical"
								     : "physical";
	row->state = state_word(s);
	row->age_us = now - s->born_us;
	row->asked_us = s->request_us != 0 && s->request_us <= now ? now - s->request_us : UINT64_MAX;
	row->wait_us = waits && s->lend.since_us <= now ? now - s->lend.since_us : 0;
	row->id = s->id;
	row->link = s->backend != NULL ? s->backend->id : 0;
	snprintf(row->application_name, sizeof row->application_name, "%.63s", app != NULL ? app : "");
	row->prepared = stmts_count(&s->stmts);
	row->pins = s->pins;
	row->doing = state_names[s->state];
	row->transaction = s->status;
	row->pinned_us = s->since_us <= now ? now - s->since_us : 0;
	row->cached = s->served != NULL;
	if (s->client != NULL)
		socket_row_conn(row, s->client, deep);
}

void roster_clients(struct house *h, bool deep, struct socket_rows *list)
{
	uint64_t now = clock_us();

	ring_each (it, &h->sessions) {
		struct session *s = ring_item(it, struct session, node);
		struct socket_row *row = socket_rows_add(list);

		if (row == NULL)
			return;
		fill_row(s, now, deep, row);
	}
}

unsigned roster_kill(struct house *h, const char *database, uint64_t id, const char *why)
{
	unsigned n = 0;

	ring_each_safe (it, &h->sessions) {
		struct session *s = ring_item(it, struct session, node);

		if ((id != 0 && s->id != id) ||
		    (database != NULL && (s->database == NULL || strcmp(s->database, database) != 0)))
			continue;
		n++;
		session_fatal(s, "57P01", why, NULL);
	}
	return n;
}

void roster_suspend(struct house *h, bool on)
{
	h->suspended = on;
	if (on)
		return;
	ring_each_safe (it, &h->sessions)
		session_run(ring_item(it, struct session, node));
}

unsigned roster_busy(struct house *h, bool close)
{
	unsigned n = 0;

	ring_each_safe (it, &h->sessions) {
		struct session *s = ring_item(it, struct session, node);

		if (s->state != SESSION_BUSY && s->state != SESSION_PROOF &&
		    (s->client == NULL || conn_pending(s->client) == 0))
			continue;
		n++;
		if (close)
			session_fatal(s, "57P01", "suspend_timeout", NULL);
	}
	return n;
}
