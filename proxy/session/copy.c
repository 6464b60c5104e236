/* Syncs of a client that copies in. PostgreSQL ignores those that it reads as part of the COPY, and answers those that it finds behind one
 * that has failed. They all go to the server, in their places; how many it has answered shows when it answers something else. */
#include "proxy/session/session_private.h"

#include "protocol/write.h"

/* Might it read CopyData? */
void copy_note(struct session *s, const struct stmt *stmt)
{
	s->copies |= stmt == NULL || stmt->facts->nstmts < 0 ||
		     (stmt->facts->commands & COMMAND_BIT(COMMAND_COPY)) != 0;
}

/* A Sync goes out while the server copies in. */
int copy_sync(struct session *s)
{
	struct expects *q = &s->backend->expects;
	struct expect e = {.kind = EXPECT_SYNC, .why = WHY_CLIENT, .doubtful = true, .index = 1};
	struct expect *last = expect_at(q, q->n - 1);

	s->copy = COPY_SYNCED;
	if (!last->doubtful)
		return expect_push(q, &e);
	last->index++; /* there may be more of them than replies that can be waited for */
	return 0;
}

void copy_begins(struct session *s)
{
	struct backend *b = s->backend;
	uint32_t doubtful;
	bool done;

	doubtful = expect_doubt_syncs(&b->expects, &done);
	b->copying_in = !done;
	s->copy_open = true;
	s->copy = doubtful > 0 ? COPY_SYNCED : COPY_CERTAIN;
	/* The Sync that was sent behind Execute ends nothing; the client sends another. */
	if (doubtful > 0 && doubtful == b->expects.syncs && expect_head(&b->expects)->kind == EXPECT_EXECUTE)
		s->unsynced = s->ran = true;
}

void copy_ends(struct session *s)
{
	s->copy_open = false;
	expect_copy_done(&s->backend->expects);
	if (s->copy == COPY_SYNCED)
		s->copy = COPY_CERTAIN;
}

void copy_failed(struct session *s)
{
	s->copy_open = false;
	s->backend->copying_in = false;
	if (s->copy == COPY_SYNCED)
		s->copy = COPY_FAILED;
}

/* Nothing of the client's is behind the doubtful ones (copy_holds). The server gets a Sync, which a failed Execute may need, and a Close,
 * whose answer tells which ReadyForQuery was the last. Ours is the first of them, and the others are the client's: which is which cannot be
 * seen. */
static bool ask(struct session *s)
{
	struct backend *b = s->backend;
	struct expects *q = &b->expects;
	struct expect e, close = {.kind = EXPECT_CLOSE, .why = WHY_COPY};
	uint32_t i = 0;

	while (i < q->n && !expect_at(q, i)->doubtful)
		i++;
	s->copy = i < q->n ? COPY_ASKED : COPY_CERTAIN;
	if (s->copy == COPY_CERTAIN)
		return false; /* all are answered already */
	e = *expect_at(q, i);
	expect_hide(q, i, WHY_COPY);
	expect_at(q, i)->doubtful = false;
	write_sync(conn_out(b->conn));
	write_close(conn_out(b->conn), 'S', span_str(HOLD_NO_SUCH));
	if (expect_push(q, &e) != 0 || expect_push(q, &close) != 0 || backend_sync(b, WHY_COPY) != 0)
		b->broken = true;
	return true;
}

bool copy_holds(struct session *s)
{
	switch (s->copy) {
	case COPY_SENT: return true;
	case COPY_SYNCED:
		if (s->backend->copying_in)
			return false;
		if (conn_input(s->client).n > 0)
			hold_wait(s);
		return true;
	case COPY_FAILED: return ask(s);
	case COPY_ASKED: return true;
	default: return false;
	}
}

/* Our last Sync is answered. */
void copy_asked(struct session *s)
{
	if (expect_head(&s->backend->expects) != NULL)
		return; /* the first one */
	s->copy = COPY_CERTAIN;
	if (!s->unsynced)
		return;
	/* The server would have skipped all up to a Sync that is still to come from the client. */
	forward_synced(s);
	s->skipping = true;
	txn_parted(s, s->backend->status);
}
