/* The probe's question and answer without libpq, whose copies of each answer cost more than the answer. libpq makes the connection
 * (names, passwords, TLS) and prepares the statement; where the bytes are encrypted it asks as well. */
#include "proxy/origin/fresh_private.h"
#include "protocol/back.h"
#include "protocol/frame.h"
#include "protocol/lsn.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#define WIRE_READ 1024u
#define WIRE_MAX (16u * 1024 * 1024) /* far above what the longest snapshot takes */

/* Bind of FRESH_PROBE_NAME to the unnamed portal, Execute, Sync. */
static const uint8_t question[] = "B\0\0\0\x11\0" FRESH_PROBE_NAME "\0\0\0\0\0\0\0"
				  "E\0\0\0\x09\0\0\0\0\0"
				  "S\0\0\0\x04";
_Static_assert(sizeof(FRESH_PROBE_NAME) == 6, "the length of the Bind counts it");

bool fresh_wire_possible(PGconn *conn)
{
	return !PQsslInUse(conn) && !PQgssEncInUse(conn);
}

int fresh_wire_ask(struct fresh *f, struct err *err)
{
	ssize_t n = send(PQsocket(f->conn), question, sizeof(question) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);

	/* Nothing else is ever under way, so there is room; if not, something is wrong. */
	if (n != (ssize_t)sizeof(question) - 1)
		return err_set(err, "cannot send: %s", n < 0 ? strerror(errno) : "no room");
	f->expected = '2';
	return 0;
}

static int take_row(struct fresh *f, struct span body, struct err *err)
{
	struct probe *probe = &f->asking->probe;
	struct span v[3];
	size_t at = 2;
	bool whole = back_count(body) == 3;

	for (unsigned i = 0; i < 3 && whole; i++)
		whole = back_value_next(body, &at, &v[i]) == 0;
	if (!whole || !lsn_parse(v[0], &probe->insert) || !lsn_parse(v[1], &probe->flush) ||
	    snapshot_parse(v[2], &probe->snapshot) != 0)
		return err_set(err, "probe: unexpected answer");
	return 0;
}

static int refused(struct span body, struct err *err)
{
	struct back_error e = {0};
	const char *why;

	if (back_error_decode(body, &e, &why) != 0)
		e.message = span_str(why);
	return err_set(err, "probe: %.*s", (int)(e.message.n < 200 ? e.message.n : 200),
		       (const char *)e.message.p);
}

/* One row, and nothing but that, in the order of the protocol. */
static int take_message(struct fresh *f, const struct frame *frame, struct err *err)
{
	switch (frame->type) {
	case 'N':
	case 'S':
	case 'A': return 0;
	case 'E': return refused(frame->body, err);
	default: break;
	}
	if (f->link != LINK_ASKING || f->asking == NULL || frame->type != f->expected)
		return err_set(err, "probe: unexpected message");
	switch (frame->type) {
	case '2': f->expected = 'D'; return 0;
	case 'D': f->expected = 'C'; return take_row(f, frame->body, err);
	case 'C': f->expected = 'Z'; return 0;
	default: f->expected = '\0'; return 0;
	}
}

/* 1 = the answer is complete. */
static int take_messages(struct fresh *f, struct err *err)
{
	enum frame_status status;
	bool complete = false;
	struct frame frame;
	const char *why = "";
	size_t at = 0, used;

	while ((status = frame_next(span_skip(buf_span(&f->in), at), WIRE_MAX, &frame, &used, &why)) ==
	       FRAME_OK) {
		if (take_message(f, &frame, err) != 0)
			return -1;
		complete |= frame.type == 'Z';
		at += used;
	}
	if (status == FRAME_BAD)
		return err_set(err, "probe: %s", why);
	buf_drop(&f->in, at);
	return complete;
}

int fresh_wire_read(struct fresh *f, bool *complete_r, struct err *err)
{
	uint8_t *room;
	ssize_t n;
	int taken;

	*complete_r = false;
	do {
		room = buf_reserve(&f->in, WIRE_READ);
		if (room == NULL)
			return err_set(err, "probe: the answer is too long");
		n = recv(PQsocket(f->conn), room, WIRE_READ, MSG_DONTWAIT);
		if (n == 0)
			return err_set(err, "the server closed the connection");
		if (n < 0)
			return errno == EAGAIN || errno == EINTR ? 0 : err_set(err, "%s", strerror(errno));
		f->in.len += (size_t)n;
		taken = take_messages(f, err);
		if (taken < 0)
			return -1;
		*complete_r |= taken > 0;
	} while ((size_t)n == WIRE_READ);
	return 0;
}
