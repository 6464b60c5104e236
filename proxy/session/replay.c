/* "cached plan must not change result type": a statement of the client was prepared on this backend before its tables changed. When
 * nothing else depends on it - the first batch of a transaction, with a Describe that tells the client the new columns - the statement
 * is made anew and the batch runs again, unseen. A client that goes by an older description gets PostgreSQL's error. */
#include "proxy/session/session_private.h"

#include "proxy/base/check.h"
#include "protocol/back.h"
#include "protocol/write.h"

#include <stdlib.h>

struct replay {
	bool described;
	struct buf bytes;   /* of the client */
	uint64_t batch;	    /* expect.h */
	uint64_t number;    /* of the statement that is out of date, 0 = the unnamed one */
	struct stmt *begin; /* counted: the deferred BEGIN that went in front */
};

/* Bind, Describe, Execute and Sync only. */
static bool suits(const struct batch *batch, bool *described_r)
{
	bool bound = false;

	*described_r = false;
	if (!batch->whole)
		return false;
	for (unsigned i = 0; i + 1 < batch->n; i++)
		switch (batch->op[i].type) {
		case 'B':
			if (bound)
				return false;
			bound = true;
			break;
		case 'D': *described_r = true; break;
		case 'E': break;
		default: return false;
		}
	return bound;
}

static struct replay *replay_of(struct session *s)
{
	if (s->replay == NULL) {
		s->replay = check_alloc(sizeof *s->replay);
		buf_init(&s->replay->bytes, BATCH_BYTES + 64 * 1024);
	}
	return s->replay;
}

void replay_keep(struct session *s, const struct batch *batch)
{
	struct replay *r;
	bool described;

	s->replaying = (s->status == 'I' || s->txn == TXN_VIRTUAL) && suits(batch, &described);
	if (!s->replaying)
		return;
	r = replay_of(s);
	r->described = described;
	buf_clear(&r->bytes);
	buf_add_span(&r->bytes, span_of(conn_input(s->client).p, batch->op[batch->n - 1].end));
	s->replaying = !r->bytes.failed;
}

void replay_sent(struct session *s)
{
	if (s->replaying)
		s->replay->batch = s->backend->expects.batches_sent;
}

static void forget_begin(struct session *s)
{
	if (s->replay == NULL || s->replay->begin == NULL)
		return;
	stmt_unref(s->replay->begin);
	s->replay->begin = NULL;
}

void replay_begin_sent(struct session *s, struct stmt *begin)
{
	forget_begin(s);
	if (s->replaying)
		s->replay->begin = stmt_ref(begin);
}

void replay_free(struct session *s)
{
	forget_begin(s);
	if (s->replay != NULL)
		buf_free(&s->replay->bytes);
	free(s->replay);
	s->replay = NULL;
}

bool replay_described(const struct session *s)
{
	return s->replaying && s->replay->described;
}

bool replay_possible(const struct session *s, const struct expect *head)
{
	return s->replaying && head != NULL && head->why == WHY_CLIENT &&
	       (head->kind == EXPECT_BIND || head->kind == EXPECT_DESCRIBE) &&
	       s->backend->expects.batches_sent == s->replay->batch + 1 && s->client_left == 0;
}

void replay_prepare(struct session *s)
{
	struct expects *q = &s->backend->expects;

	/* What the server skips is nobody's business any more, and its ReadyForQuery is ours. */
	for (uint32_t i = 0; i < q->n; i++)
		expect_hide(q, i, WHY_REPLAY);
	s->replaying = false;
	s->replay->number = expect_head(q)->stmt;
}

void replay_go(struct session *s)
{
	struct backend *b = s->backend;
	char name[PREPARED_NAME_MAX];
	struct expect e = {.kind = EXPECT_CLOSE, .why = WHY_EVICT, .stmt = s->replay->number};

	if (b->status != 'I') {
		backend_query(b, "ROLLBACK", WHY_REPLAY_ON);
		txn_virtual_again(s, s->replay->begin);
	}
	if (e.stmt != 0) {
		write_close(conn_out(b->conn), 'S', prepared_name(e.stmt, name));
		if (expect_push(&b->expects, &e) != 0)
			b->broken = true;
		prepared_closing(&b->prepared, e.stmt);
	}
	b->unnamed = UNNAMED_UNKNOWN;
	backend_sync(b, WHY_REPLAY_ON);
	if (conn_unread(s->client, buf_span(&s->replay->bytes)) != 0) {
		session_fatal(s, "53200", "out of memory", NULL);
		return;
	}
	if (s->txn == TXN_VIRTUAL)
		txn_materialise(s);
	count(&s->house->host.counters, replays);
	forget_begin(s);
}
