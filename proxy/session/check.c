/* The statements of a transaction one by one, and the answers of what is asked in front of them. */
#include "proxy/session/check_private.h"

#include "proxy/base/check.h"
#include "protocol/write.h"

#include <stdlib.h>

bool check_wanted(const struct session *s)
{
	return s->wishes.now.row_version_check && s->status != 'E' && !s->above_rc && s->read_committed &&
	       s->replication == NULL;
}

struct checking *check_of(struct session *s)
{
	if (s->checking == NULL) {
		s->checking = check_alloc(sizeof(*s->checking));
		s->checking->marks = marks_new();
		s->checking->open = MARKS_NONE;
	}
	return s->checking;
}

void check_end(struct session *s)
{
	if (s->checking == NULL)
		return;
	marks_free(&s->checking->marks);
	free(s->checking);
	s->checking = NULL;
}

/* --- what a statement does --- */

enum doing {
	DOING_NOTHING,
	DOING_READ,    /* one SELECT */
	DOING_UNKNOWN, /* may show anything */
	DOING_LOCKED,  /* what it shows or touches it has locked */
	DOING_BACK,    /* ROLLBACK TO */
};

static enum doing doing_one(const struct stmt_facts *f)
{
	switch (f->command) {
	case COMMAND_SELECT:
		if (!f->names_tables && (f->effects & (EFFECT_FUNCTIONS | EFFECT_TYPES)) == 0)
			return DOING_NOTHING;
		return f->locks_shown ? DOING_LOCKED : DOING_READ;
	case COMMAND_DML:
	case COMMAND_DO: return DOING_LOCKED;
	case COMMAND_TXN:
		return f->tag != NULL && strcmp(f->tag, "ROLLBACK") == 0 && f->name != NULL ? DOING_BACK
											    : DOING_NOTHING;
	case COMMAND_EXECUTE:
	case COMMAND_CURSOR:
	case COMMAND_OTHER: return DOING_UNKNOWN;
	case COMMAND_COPY: return (f->effects & EFFECT_WRITES) != 0 ? DOING_LOCKED : DOING_UNKNOWN;
	default: return DOING_NOTHING;
	}
}

/* Of a text with several the one that needs most care. */
static enum doing doing_of(const struct stmt *stmt)
{
	enum doing doing = DOING_NOTHING;

	if (stmt == NULL || stmt->facts->nstmts < 0)
		return DOING_UNKNOWN;
	for (int i = 0; i < stmt->facts->nstmts; i++) {
		enum doing one = doing_one(&stmt->facts->stmts[i]);

		if (stmt->facts->nstmts > 1 && one == DOING_READ)
			one = DOING_UNKNOWN;
		if (one == DOING_UNKNOWN || doing == DOING_NOTHING)
			doing = one;
	}
	return doing;
}

/* A long text may have anything in it. */
static bool goes_back(const struct stmt *stmt)
{
	for (int i = 0; stmt != NULL && i < stmt->facts->nstmts; i++)
		if (doing_one(&stmt->facts->stmts[i]) == DOING_BACK)
			return true;
	return stmt == NULL;
}

bool check_needs_whole(const struct session *s, const struct stmt *stmt)
{
	return check_wanted(s) && stmt != NULL &&
	       (doing_of(stmt) == DOING_READ || (stmt->facts->effects & EFFECT_WRITES) != 0);
}

/* Nothing of it is in a block, or it may not have a statement in front. */
static bool stands_alone(const struct session *s, const struct stmt *stmt)
{
	const struct facts *f = stmt != NULL ? stmt->facts : NULL;

	if (f != NULL && (f->effects & (EFFECT_NO_BLOCK | EFFECT_TXN_SNAPSHOT)) != 0)
		return true;
	return s->txn == TXN_NONE && s->backend->expects.visible == 0 && f != NULL && f->nstmts == 1 &&
	       !s->unsynced;
}

/* In front of a simple query PostgreSQL 18 needs it in a transaction of its own, outside of a block (fill.c). */
static bool send_snapshot(struct backend *b, bool apart, uint32_t place)
{
	return (!apart || backend_sys(b, SYS_BEGIN, NULL, 0, WHY_BEGIN, 0) == 0) &&
	       backend_sys_apart(b, SYS_SNAPSHOT, NULL, 0, WHY_READ, place) == 0 &&
	       (!apart || backend_sys(b, SYS_COMMIT, NULL, 0, WHY_BEGIN, 0) == 0);
}

/* The snapshot goes in front. */
static void note(struct session *s, struct stmt *stmt, const struct front_bind *bind, bool simple)
{
	bool apart = simple && s->txn != TXN_REAL && backend_pipelines_are_blocks(s->backend);
	enum doing doing = doing_of(stmt);
	struct checking *c;
	uint32_t place;

	if (doing == DOING_NOTHING || doing == DOING_BACK || stands_alone(s, stmt))
		return;
	c = check_of(s);
	if (doing == DOING_LOCKED && marks_locks(c->marks))
		return;
	place = marks_place(c->marks);
	if (!send_snapshot(s->backend, apart, place))
		s->backend->broken = true;
	if (doing == DOING_LOCKED) {
		marks_locked(c->marks, place);
		return;
	}
	c->open = place;
	c->open_rows = 0;
	c->nopen++;
	if (doing == DOING_READ)
		c->open_rows = check_mark(s, stmt, bind, place);
	else
		marks_all(c->marks, place);
}

void check_expect(struct session *s, enum expect_kind kind, uint32_t index)
{
	struct expect e = {.kind = (uint8_t)kind, .why = WHY_CHECK, .index = index};

	if (expect_push(&s->backend->expects, &e) != 0)
		s->backend->broken = true;
}

#define REFUSED "could not serialize access due to concurrent update"
#define DETAIL "A row that this transaction has read was changed by another one since (row_version_check)."
#define HINT "The transaction might succeed if retried."
#define UNABLE "The tables are not known while the change feed is not there (row_version_check)."

/* The server raises an error, so that its transaction fails as well; the client is told ours in its place (check_error). */
static void refuse(struct session *s)
{
	struct checking *c = s->checking;
	struct buf *out = conn_out(s->backend->conn);

	write_parse(out, span_str(""),
		    span_str("SELECT 'pgweir: row_version_check: a row has changed'::pg_catalog.int4"), NULL,
		    0);
	backend_unnamed(s->backend, UNNAMED_UNKNOWN);
	write_flush(out);
	conn_flush_later(s->backend->conn);
	check_expect(s, EXPECT_PARSE, 0);
	s->unsynced = s->flushed = true;
	s->replaying = false;
	c->state = CHECK_REFUSING;
	count(&s->house->host.counters, row_conflicts);
}

/* Are snapshots of reads still to come? */
static bool reads_open(const struct session *s)
{
	struct expects *q = &s->backend->expects;

	for (uint32_t i = 0; i < q->n; i++)
		if (expect_at(q, i)->why == WHY_READ)
			return true;
	return false;
}

static bool writes_rows(const struct stmt *stmt)
{
	for (int i = 0; stmt != NULL && i < stmt->facts->nstmts; i++)
		if (stmt->facts->stmts[i].command == COMMAND_DML)
			return true;
	return false;
}

/* true = the write waits for the answers. */
static bool begin(struct session *s, struct stmt *stmt, const struct front_bind *bind, bool simple)
{
	struct checking *c = s->checking;

	if (reads_open(s)) {
		hold_wait(s);
		return true;
	}
	c->conflict = c->unable = false;
	c->simple = simple;
	switch (check_ask(s, stmt, bind)) {
	case CHECK_ASKED_NOTHING: return false;
	case CHECK_ASKED_IN_VAIN:
		c->unable = true;
		refuse(s);
		return true;
	case CHECK_ASKED_ALL: break;
	}
	write_flush(conn_out(s->backend->conn));
	conn_flush_later(s->backend->conn);
	s->unsynced = s->flushed = true;
	c->state = CHECK_ASKED;
	count(&s->house->host.counters, row_checks);
	return true;
}

enum check check_statement(struct session *s, struct stmt *stmt, const struct front_bind *bind, bool simple)
{
	struct checking *c = s->checking;

	/* Also in a transaction that has failed. */
	if (c != NULL && marks_locks(c->marks) && goes_back(stmt))
		marks_unlocked(c->marks);
	if (c != NULL && c->state == CHECK_ANSWERED) {
		c->state = CHECK_NONE;
		if (c->conflict) {
			refuse(s);
			return CHECK_WAIT;
		}
		note(s, stmt, bind, simple);
		return CHECK_GO;
	}
	if (c != NULL && c->state != CHECK_NONE)
		return CHECK_WAIT;
	if (!check_wanted(s))
		return CHECK_GO;
	if (simple && s->txn != TXN_REAL && s->backend->expects.visible > 0 &&
	    backend_pipelines_are_blocks(s->backend)) {
		hold_wait(s); /* is there a block? */
		return CHECK_WAIT;
	}
	if (c != NULL && writes_rows(stmt) && begin(s, stmt, bind, simple))
		return CHECK_WAIT;
	note(s, stmt, bind, simple);
	return CHECK_GO;
}

/* --- answers --- */

static int64_t number_of(struct span text)
{
	int64_t number = 0;

	for (size_t i = 0; i < text.n && i < 18 && text.p[i] >= '0' && text.p[i] <= '9'; i++)
		number = number * 10 + (text.p[i] - '0');
	return number;
}

void check_row(struct session *s, const struct expect *head, const struct span v[3], int n)
{
	struct checking *c = s->checking;
	struct snapshot snapshot;

	if (c == NULL)
		return;
	if (head->why == WHY_READ) {
		if (n != 1 || snapshot_parse(v[0], &snapshot) != 0)
			snapshot = (struct snapshot){0}; /* everything has changed since */
		marks_answer(c->marks, head->index, &snapshot);
	} else if (head->index == CHECK_INDEX_LOOK) {
		c->conflict |= n != 2 || number_of(v[1]) > 0 || number_of(v[0]) < c->expected;
	}
}

void check_last(struct session *s, const struct expect *head)
{
	if (s->checking != NULL && head->kind == EXPECT_CLOSE && head->index == CHECK_INDEX_LAST)
		s->checking->state = CHECK_ANSWERED;
}

bool check_error(struct session *s, const struct expect *head)
{
	struct checking *c = s->checking;
	bool unable = c != NULL && c->unable, never = unable && s->served == NULL;

	if (c == NULL || head == NULL || head->why != WHY_CHECK || c->state != CHECK_REFUSING)
		return false;
	write_error(conn_out(s->client), 'E', "ERROR", never ? "55000" : "40001", REFUSED,
		    unable ? UNABLE : DETAIL, HINT);
	conn_flush_later(s->client);
	return true;
}

void check_skipped(struct session *s)
{
	struct checking *c = s->checking;
	uint32_t body_n;
	const char *why;
	char type;

	if (c == NULL || c->state == CHECK_NONE)
		return;
	c->state = CHECK_NONE;
	if (!c->simple)
		return; /* its Bind is skipped with the rest, up to the client's Sync */
	if (frame_peek(conn_input(s->client), (uint32_t)s->config->max_packet_size, &type, &body_n, &why) ==
	    FRAME_OK)
		conn_consume(s->client, FRAME_HEADER + (size_t)body_n);
	s->unsynced = false;
	backend_sync(s->backend, WHY_CLIENT);
}
