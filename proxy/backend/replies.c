/* The order of replies: which request a message of the server answers. */
#include "proxy/backend/backend.h"

#include "protocol/back.h"

#include <stdlib.h>

int backend_note_param(struct backend *b, struct span body)
{
	struct back_param p;
	const char *why;

	if (back_param_decode(body, &p, &why) != 0)
		return -1;
	return settings_set(&b->params, p.name, &p.value) < 0 ? -1 : 0;
}

int backend_version(const struct backend *b)
{
	const char *version = settings_get(&b->params, "server_version");

	return version != NULL ? atoi(version) : 0;
}

bool backend_pipelines_are_blocks(const struct backend *b)
{
	return backend_version(b) >= 18;
}

/* Does `type` end the reply to an extended-protocol request of that kind? */
static enum reply_step extended(enum expect_kind kind, char type)
{
	switch (kind) {
	case EXPECT_PARSE: return type == '1' ? REPLY_LAST : REPLY_BAD;
	case EXPECT_BIND: return type == '2' ? REPLY_LAST : REPLY_BAD;
	case EXPECT_CLOSE: return type == '3' ? REPLY_LAST : REPLY_BAD;
	case EXPECT_DESCRIBE:
		return type == 't' ? REPLY_PART : type == 'T' || type == 'n' ? REPLY_LAST : REPLY_BAD;
	case EXPECT_EXECUTE:
		switch (type) {
		case 'C':
		case 'I':
		case 's': return REPLY_LAST;
		case 'D':
		case 'G':
		case 'H':
		case 'W':
		case 'd':
		case 'c': return REPLY_PART;
		default: return REPLY_BAD;
		}
	default: return REPLY_BAD;
	}
}

/* The head may never be answered: what answers another one says so. */
static enum reply_step doubtful(struct backend *b, char type)
{
	struct expect *head = expect_head(&b->expects);

	if (type != 'Z') {
		expect_drop_doubtful(&b->expects);
		return backend_reply(b, type);
	}
	return --head->index > 0 ? REPLY_PART : REPLY_LAST;
}

enum reply_step backend_reply(struct backend *b, char type)
{
	struct expect *head = expect_head(&b->expects);

	switch (type) {
	case 'N':
	case 'S':
	case 'A': return REPLY_ASYNC;
	case 'E': return REPLY_ERROR; /* also without a request: the server says why it goes */
	default: break;
	}
	if (head == NULL)
		return REPLY_BAD;
	switch (head->kind) {
	case EXPECT_SYNC:
		if (head->doubtful)
			return doubtful(b, type);
		return type == 'Z' ? REPLY_LAST : REPLY_BAD;
	case EXPECT_QUERY:
	case EXPECT_FUNCTION: return type == 'Z' ? REPLY_LAST : REPLY_PART;
	default: return extended((enum expect_kind)head->kind, type);
	}
}

static void undo_skipped(struct backend *b, const struct expect *e)
{
	if (e->kind == EXPECT_CLOSE && e->why == WHY_EVICT && e->index > 0)
		b->sys_doubtful |= 1u << (e->index - 1);
	else if (e->kind == EXPECT_CLOSE && e->why == WHY_EVICT)
		prepared_confirmed(&b->prepared,
				   e->stmt); /* the Close was skipped: the server still has it */
	if (e->why == WHY_SEQUENCE)
		b->seq_owner = UINT64_MAX; /* not discarded after all */
	if (e->kind == EXPECT_QUERY || (e->kind == EXPECT_CLOSE && e->why == WHY_PARSE))
		b->unnamed = UNNAMED_UNKNOWN; /* it was not dropped after all */
	if (e->kind != EXPECT_PARSE)
		return;
	if (e->index > 0) {
		/* The Close in front of it may have been skipped too. */
		b->sys_prepared &= ~(1u << (e->index - 1));
		b->sys_doubtful |= 1u << (e->index - 1);
	} else if (e->stmt == 0)
		b->unnamed = UNNAMED_UNKNOWN; /* skipped: the old one; failed: none */
	if (e->stmt != 0)
		prepared_forget(&b->prepared, e->stmt);
}

void backend_reply_done(struct backend *b, char type, enum reply_step step,
			void (*dropped)(void *arg, const struct expect *item), void *arg)
{
	struct expect *head = expect_head(&b->expects);

	if (head == NULL)
		return;
	if (step == REPLY_LAST) {
		backend_answered(b);
		return;
	}
	if (step != REPLY_ERROR || type != 'E' || expect_ends_with_ready(head))
		return;
	/* An error in the extended protocol: the server skips to the next Sync; a simple query on the way is skipped
	 * too, without a ReadyForQuery of its own. */
	while ((head = expect_head(&b->expects)) != NULL && head->kind != EXPECT_SYNC) {
		undo_skipped(b, head);
		if (dropped != NULL)
			dropped(arg, head);
		expect_pop(&b->expects);
	}
	if (head == NULL)
		b->ignoring = true;
}
