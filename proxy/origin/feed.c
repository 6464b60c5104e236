#include "proxy/origin/feed.h"
#include "proxy/base/check.h"
#include "proxy/base/clock.h"
#include "protocol/replication.h"

#include <poll.h>
#include <stdio.h>
#include <sys/random.h>
#include <time.h>

#define END_US 4000000u /* less than vacate.c waits */

/* Empty transactions are wanted: they are how DDL shows without event triggers. */
const struct feed_decoder feed_test_decoding = {
	.plugin = "test_decoding",
	.options = "\"include-xids\" 'on', \"include-timestamp\" 'off', \"skip-empty-xacts\" 'off'",
	.record = apply_decoding,
};

/* Messages are how the event trigger tells of DDL, and how a flushing message shows that it is one. */
const struct feed_decoder feed_pgoutput = {
	.plugin = "pgoutput",
	.options = "\"proto_version\" '1', \"messages\" 'true', \"publication_names\" ",
	.published = true,
	.record = apply_pgoutput,
};

void feed_init(struct feed *f, const struct feed_decoder *decoder, const char *publication)
{
	*f = (struct feed){.decoder = decoder, .publication = publication};
	buf_init(&f->status, 256);
}

void feed_close(struct feed *f)
{
	PQfinish(f->conn);
	f->conn = NULL;
	f->streams = false;
	buf_free(&f->status);
	buf_init(&f->status, 256);
}

/* The stream, to its end; what still comes is thrown away. */
static int end_stream(struct feed *f, const struct link_wait *wait, struct err *err)
{
	char *bytes = NULL;
	int n, unsent;

	if (PQputCopyEnd(f->conn, NULL) <= 0)
		return link_failed(f->conn, "cannot end the stream", err);
	for (;;) {
		unsent = PQflush(f->conn);
		if (unsent < 0 || (n = PQgetCopyData(f->conn, &bytes, 1)) < -1)
			return link_failed(f->conn, "cannot end the stream", err);
		if (n == -1)
			return 0;
		if (n > 0) {
			PQfreemem(bytes);
			continue;
		}
		if (link_poll(f->conn, (short)(POLLIN | (unsent > 0 ? POLLOUT : 0)), wait, err) != 0)
			return -1;
		if (!PQconsumeInput(f->conn))
			return link_failed(f->conn, "cannot end the stream", err);
	}
}

void feed_end(struct feed *f)
{
	struct link_wait wait = {.wake_fd = -1, .until_us = clock_us() + END_US};
	PGresult *result = NULL;
	struct err ignored;
	char sql[80];

	if (f->conn == NULL || (f->streams && end_stream(f, &wait, &ignored) != 0))
		return;
	/* The end of the stream, or of the making of the slot. */
	if (PQtransactionStatus(f->conn) == PQTRANS_ACTIVE &&
	    link_collect(f->conn, &wait, &result, &ignored) == 0)
		PQclear(result);
	snprintf(sql, sizeof(sql), "DROP_REPLICATION_SLOT \"%s\"", f->slot);
	if (link_query(f->conn, sql, &wait, &result, &ignored) == 0)
		PQclear(result);
}

/* A statement that waits for open writers does not notice that its client is gone; it has to be told. */
static void cancel(PGconn *conn)
{
	struct link_wait wait = {.wake_fd = -1, .until_us = clock_us() + 1000000};
	PGcancel *handle = PQgetCancel(conn);
	char text[256];

	if (handle == NULL)
		return;
	if (PQcancel(handle, text, sizeof(text))) {
		struct err ignored;

		(void)link_poll(conn, POLLIN, &wait, &ignored);
	}
	PQfreeCancel(handle);
}

/* Before 15 pgoutput goes on leaving a partition out that is attached to a published table while it runs. */
int feed_fits(const struct feed *f, const PGconn *conn, struct err *err)
{
	return !f->decoder->published || PQserverVersion(conn) >= 150000
		       ? 0
		       : err_set(err, "feed_plugin = pgoutput needs PostgreSQL 15 or later");
}

int feed_slot_ask(struct feed *f, PGconn *conn, struct err *err)
{
	bool parens = PQserverVersion(conn) >= 150000;
	unsigned char random[8];
	char sql[160];

	check(f->conn == NULL);
	f->conn = conn;
	f->feedback_us = 0;
	f->reply_now = false;
	if (getrandom(random, sizeof(random), 0) != sizeof(random))
		return err_set(err, "no random bytes for the slot's name");
	snprintf(f->slot, sizeof(f->slot), "pgweir_%02x%02x%02x%02x%02x%02x%02x%02x", random[0], random[1],
		 random[2], random[3], random[4], random[5], random[6], random[7]);
	snprintf(sql, sizeof(sql), "CREATE_REPLICATION_SLOT \"%s\" TEMPORARY LOGICAL %s %s", f->slot,
		 f->decoder->plugin, parens ? "(SNAPSHOT 'nothing')" : "NOEXPORT_SNAPSHOT");
	return PQsendQuery(conn, sql) ? 0 : link_failed(conn, "cannot send", err);
}

int feed_slot_wait(struct feed *f, const struct link_wait *wait, struct err *err)
{
	PGresult *result;

	if (link_collect(f->conn, wait, &result, err) == 0) {
		PQclear(result);
		return 0;
	}
	if (PQtransactionStatus(f->conn) != PQTRANS_ACTIVE)
		return -1;
	if (wait->until_us != 0 && clock_us() >= wait->until_us)
		return 1;
	cancel(f->conn);
	return -1;
}

/* A list of one identifier, as a string: both have their quotes. */
static void add_publication(struct buf *b, const char *name)
{
	buf_add_span(b, span_str("'\""));
	for (; *name != '\0'; name++) {
		if (*name == '"' || *name == '\'')
			buf_add_u8(b, (uint8_t)*name);
		buf_add_u8(b, (uint8_t)*name);
	}
	buf_add_span(b, span_str("\"'"));
}

int feed_start(struct feed *f, const struct link_wait *wait, struct err *err)
{
	ExecStatusType status;
	PGresult *result = NULL;
	struct buf sql;
	int rc;

	buf_init(&sql, 4096);
	buf_add_span(&sql, span_str("START_REPLICATION SLOT \""));
	buf_add_span(&sql, span_str(f->slot));
	buf_add_span(&sql, span_str("\" LOGICAL 0/0 ("));
	buf_add_span(&sql, span_str(f->decoder->options));
	if (f->decoder->published)
		add_publication(&sql, f->publication);
	buf_add_cstr(&sql, ")");
	rc = sql.failed ? err_set(err, "the publication's name is too long")
			: link_query(f->conn, (const char *)sql.p, wait, &result, err);
	buf_free(&sql);
	if (rc != 0)
		return -1;
	status = PQresultStatus(result);
	PQclear(result);
	if (status != PGRES_COPY_BOTH)
		return err_set(err, "the server did not start to stream");
	f->streams = true;
	return 0;
}

int feed_read(struct feed *f, struct err *err)
{
	if (!PQconsumeInput(f->conn))
		return link_failed(f->conn, "stream lost", err);
	return 0;
}

/* The stream is over: the reason is in the result behind it. */
static int ended(struct feed *f, struct err *err)
{
	PGresult *result = PQgetResult(f->conn);

	if (result != NULL && PQresultStatus(result) == PGRES_FATAL_ERROR)
		link_refused(result, "stream ended", err);
	else
		link_failed(f->conn, "stream ended", err);
	PQclear(result);
	return -1;
}

static int message(struct feed *f, struct apply *apply, struct span payload, enum feed_event *event_r,
		   uint64_t *lsn_r, struct err *err)
{
	enum apply_event event = APPLY_NONE;
	struct replication_message m;
	const char *why;

	if (replication_decode(payload, &m, &why) != 0)
		return err_set(err, "message of the stream not understood: %s", why);
	if (m.kind == REPLICATION_KEEPALIVE) {
		f->reply_now |= m.reply_requested;
		*event_r = FEED_KEEPALIVE;
		*lsn_r = apply->open ? 0 : m.end;
		return 0;
	}
	if (f->decoder->record(apply, m.payload, &event, err) != 0)
		return -1;
	*event_r = event == APPLY_COMMIT ? FEED_COMMIT : event == APPLY_SUSPECT ? FEED_SUSPECT : FEED_MESSAGE;
	/* test_decoding writes a COMMIT at the end of its record; pgoutput's says itself where that is. */
	*lsn_r = event == APPLY_COMMIT && apply->end != 0 ? apply->end : m.start;
	return 0;
}

int feed_next(struct feed *f, struct apply *apply, enum feed_event *event_r, uint64_t *lsn_r, struct err *err)
{
	char *bytes = NULL;
	int n = PQgetCopyData(f->conn, &bytes, 1);
	int rc;

	if (n == 0) {
		*event_r = FEED_NOTHING;
		return 0;
	}
	if (n == -1)
		return ended(f, err);
	if (n < 0)
		return link_failed(f->conn, "stream lost", err);
	rc = message(f, apply, span_of(bytes, (size_t)n), event_r, lsn_r, err);
	PQfreemem(bytes);
	return rc;
}

static int64_t server_time_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return ((int64_t)now.tv_sec - REPLICATION_EPOCH_S) * 1000000 + now.tv_nsec / 1000;
}

int feed_feedback(struct feed *f, uint64_t pos, uint64_t now_us, bool *unsent_r, struct err *err)
{
	int unsent;

	if (f->reply_now || now_us - f->feedback_us >= FEED_FEEDBACK_US) {
		buf_clear(&f->status);
		replication_status(&f->status, pos, pos, pos, server_time_us(), false);
		switch (PQputCopyData(f->conn, (const char *)f->status.p, (int)f->status.len)) {
		case 1:
			f->reply_now = false;
			f->feedback_us = now_us;
			break;
		case 0: break; /* no room: again when the socket takes more */
		default: return link_failed(f->conn, "stream lost", err);
		}
	}
	unsent = PQflush(f->conn);
	if (unsent < 0)
		return link_failed(f->conn, "stream lost", err);
	*unsent_r = unsent > 0;
	return 0;
}
