#include "proxy/session/check.h"

#include "proxy/session/marks.h"
#include "proxy/session/session_private.h"

#include "proxy/base/check.h"
#include "protocol/back.h"
#include "protocol/datum.h"
#include "protocol/write.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define PARAMS_ROOM (SERVE_PARAMS_MAX + LITERALS_MAX)
#define ROWS_MAX 256u
#define CHECK_PARTS 64u
#define XIP_MAX 2000u /* a longer list is left out: then more is in doubt */
#define SQL_MAX 65536u
#define INT8_OID 20u
#define INT8_ARRAY_OID 1016u
#define PORTAL "pgweir_check"

enum state { STATE_NONE, STATE_ASKED, STATE_ANSWERED, STATE_REFUSING };

/* expect.index of the hidden statements. */
enum { INDEX_LOCK = 1, INDEX_LOOK = 2, INDEX_LAST = 3 };

struct checking {
	struct marks *marks; /* owned */
	enum state state;
	bool simple;	  /* the write in work is a simple query */
	bool removed;	  /* the transaction may have taken rows away itself */
	bool conflict;	  /* a row has changed */
	int64_t expected; /* rows that were shown, of the part in work; 0 = nobody knows */
	bool unable;	  /* it cannot be told */
	uint32_t part;	  /* of the text, in work */
	uint32_t open;	  /* place of the only read that is not answered, else MARKS_NONE */
	unsigned nopen;
	unsigned open_rows; /* that it names */
};

bool check_wanted(const struct session *s)
{
	return s->wishes.now.row_version_check && s->status != 'E' && !s->above_rc && s->read_committed &&
	       s->replication == NULL;
}

static struct checking *checking_of(struct session *s)
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

/* Do names mean what the catalog and the session's own settings say? */
static bool names_certain(struct session *s)
{
	const uint32_t other = EFFECT_TEMP | EFFECT_RESET_ALL | EFFECT_ROLE | EFFECT_TAINT | EFFECT_DDL;

	return (s->pins & ~(1u << PIN_SEQUENCE)) == 0 && (s->effects & other) == 0 && s->asked == 0 &&
	       settings_get(&s->touched, "search_path") == NULL;
}

/* --- reads --- */

/* What the statement reads is marked. How many rows it names, if all are of one table; 0 = not known. */
static unsigned mark(struct session *s, struct stmt *stmt, const struct front_bind *bind, uint32_t place)
{
	struct marks *m = s->checking->marks;
	struct reads_param params[PARAMS_ROOM];
	struct reads_session rs;
	const struct catalog *catalog = NULL;
	struct reads *reads = NULL;
	uint64_t keys[ROWS_MAX], epoch;
	unsigned n, total = 0, i = 0;
	uint32_t relid;
	int nparams = serve_params(s, stmt, bind, params);
	enum reads_rows rows;

	if (s->served != NULL)
		catalog = served_catalog(s->served, &epoch);
	if (catalog != NULL && names_certain(s) && key_reads(s, &rs))
		reads = memo_reads(stmt, catalog, &rs);
	if (reads != NULL && reads_reason(reads) == REASON_NO_TABLE)
		return 0;
	if (reads == NULL || nparams < 0 || reads_reason(reads) != REASON_NONE) {
		marks_all(m, place);
		return 0;
	}
	for (; (rows = reads_rows(reads, i, params, (uint16_t)nparams, &relid, keys, ROWS_MAX, &n)) !=
	       READS_END;
	     i++) {
		const struct catalog_relation *rel = catalog_find_oid(catalog, relid);

		total += n;
		if (rel == NULL || rel->nancestors > 0)
			marks_all(m, place); /* it may be written by its parent's name */
		else if (rows == READS_ANY)
			marks_relation(m, relid, place);
		else
			for (unsigned k = 0; k < n; k++)
				marks_row(m, relid, keys[k], place);
	}
	return i == 1 && rows == READS_END ? total : 0;
}

static unsigned rows_in(struct span tag)
{
	unsigned rows = 0;

	if (tag.n < 8 || memcmp(tag.p, "SELECT ", 7) != 0)
		return 0;
	for (size_t i = 7; i < tag.n && tag.p[i] >= '0' && tag.p[i] <= '9' && rows < ROWS_MAX; i++)
		rows = rows * 10 + (tag.p[i] - '0');
	return rows;
}

void check_tag(struct session *s, struct span tag)
{
	struct checking *c = s->checking;

	if (c == NULL || c->nopen == 0)
		return;
	if (c->nopen == 1 && c->open_rows > 0 && rows_in(tag) == c->open_rows)
		marks_shown(c->marks, c->open);
	c->nopen = 0;
}

/* The tag of a whole answer. */
static struct span tag_of(struct span answer)
{
	struct span tag = {0};
	struct frame f;
	const char *why;
	size_t used;

	while (answer.n > 0 && frame_next(answer, UINT32_MAX / 2, &f, &used, &why) == FRAME_OK) {
		if (f.type == 'C' && back_complete_decode(f.body, &tag, &why) != 0)
			tag = (struct span){0};
		answer = span_skip(answer, used);
	}
	return tag;
}

void check_served(struct session *s, struct stmt *stmt, const struct front_bind *bind, struct span answer)
{
	static const struct snapshot none;
	const struct snapshot *proven = fresh_snapshot(s->served->fresh);
	struct checking *c;
	uint32_t place;
	unsigned rows;

	if (s->txn == TXN_NONE || !check_wanted(s))
		return;
	c = checking_of(s);
	/* The entry is alive after that proof, so it shows all that was completed in it. */
	place = marks_place_now(c->marks, proven != NULL ? proven : &none);
	rows = mark(s, stmt, bind, place);
	if (rows > 0 && rows_in(tag_of(answer)) == rows)
		marks_shown(c->marks, place);
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
		if (!f->names_tables && (f->effects & EFFECT_FUNCTIONS) == 0)
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

/* The snapshot goes in front. */
static void note(struct session *s, struct stmt *stmt, const struct front_bind *bind)
{
	enum doing doing = doing_of(stmt);
	struct checking *c;
	uint32_t place;

	if (doing == DOING_NOTHING || doing == DOING_BACK || stands_alone(s, stmt))
		return;
	c = checking_of(s);
	if (doing == DOING_LOCKED && marks_locks(c->marks))
		return;
	place = marks_place(c->marks);
	if (backend_sys_apart(s->backend, SYS_SNAPSHOT, NULL, 0, WHY_READ, place) != 0)
		s->backend->broken = true;
	if (doing == DOING_LOCKED) {
		marks_locked(c->marks, place);
		return;
	}
	c->open = place;
	c->open_rows = 0;
	c->nopen++;
	if (doing == DOING_READ)
		c->open_rows = mark(s, stmt, bind, place);
	else
		marks_all(c->marks, place);
}

/* --- asking --- */

static int push(struct session *s, enum expect_kind kind, uint32_t index)
{
	struct expect e = {.kind = (uint8_t)kind, .why = WHY_CHECK, .index = index};

	return expect_push(&s->backend->expects, &e);
}

struct value {
	bool binary, null;
	uint32_t type;
	struct span bytes;
};

static void write_bind_values(struct buf *out, const struct value *values, unsigned n)
{
	size_t mark_at = write_begin(out, 'B');

	buf_add_cstr(out, PORTAL);
	buf_add_cstr(out, "");
	buf_add_u16(out, (uint16_t)n);
	for (unsigned i = 0; i < n; i++)
		buf_add_u16(out, values[i].binary);
	buf_add_u16(out, (uint16_t)n);
	for (unsigned i = 0; i < n; i++) {
		buf_add_u32(out, values[i].null ? UINT32_MAX : (uint32_t)values[i].bytes.n);
		if (!values[i].null)
			buf_add_span(out, values[i].bytes);
	}
	buf_add_u16(out, 0);
	write_end(out, mark_at);
}

/* One hidden statement. The client's unnamed one has to be parsed again, which is done where it is needed. */
static void send_hidden(struct session *s, struct span sql, const struct value *values, unsigned n,
			uint32_t index, uint32_t last)
{
	struct backend *b = s->backend;
	struct buf *out = conn_out(b->conn);
	uint32_t oids[TARGET_VALUES_MAX + 3];

	for (unsigned i = 0; i < n; i++)
		oids[i] = values[i].type;
	write_parse(out, span_str(""), sql, oids, (uint16_t)n);
	backend_unnamed(b, UNNAMED_UNKNOWN);
	write_bind_values(out, values, n);
	write_execute(out, span_str(PORTAL), 0);
	write_close(out, 'P', span_str(PORTAL));
	if (push(s, EXPECT_PARSE, 0) != 0 || push(s, EXPECT_BIND, 0) != 0 ||
	    push(s, EXPECT_EXECUTE, index) != 0 || push(s, EXPECT_CLOSE, last) != 0)
		b->broken = true;
}

static struct value value_of(const struct target_value *t, const struct reads_param *params, int nparams)
{
	struct value v = {.type = t->type, .binary = t->binary, .bytes = t->bytes};
	bool integer = t->type == DATUM_INT2 || t->type == DATUM_INT4 || t->type == DATUM_INT8;

	if (t->param == 0)
		return v;
	if ((int)t->param > nparams) {
		v.null = true;
		return v;
	}
	v.null = params[t->param - 1].null;
	v.binary = params[t->param - 1].binary;
	v.bytes = params[t->param - 1].value;
	if (integer && v.binary) /* the width that the client has sent */
		v.type = v.bytes.n == 2 ? DATUM_INT2 : v.bytes.n == 4 ? DATUM_INT4 : DATUM_INT8;
	else if (integer)
		v.type = DATUM_INT8; /* may be beyond the column's own */
	return v;
}

/* What of the row tells whether it is as it was at the snapshot. Its xmin is completed there: nobody has changed it since. A transaction
 * that the snapshot does not show completed has; but it may be a subtransaction, which snapshots do not list: then it counts only if
 * one that was running, older than it, has committed since. What is still in progress and yet to be seen is our own. All of this on
 * 64-bit numbers: the row's is taken as the nearest below the next one, which for a row that is frozen is at most too young. */
static const char look_begin[] =
	"SELECT pg_catalog.count(*), pg_catalog.count(*) FILTER (WHERE NOT (CASE WHEN x.f < $%u THEN true"
	" WHEN pg_catalog.pg_xact_status(x.f::pg_catalog.text::pg_catalog.xid8) = 'in progress' THEN true"
	" WHEN x.f >= $%u OR x.f = ANY ($%u) THEN false ELSE NOT EXISTS (SELECT FROM pg_catalog.unnest($%u) t"
	" WHERE t < x.f AND coalesce(pg_catalog.pg_xact_status(t::pg_catalog.text::pg_catalog.xid8), 'committed') = 'committed')"
	" END)) FROM (SELECT h.n - ((h.n - r.xmin::pg_catalog.text::pg_catalog.int8) & 4294967295) AS f FROM (SELECT"
	" pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::pg_catalog.text::pg_catalog.int8 AS n) h, ";

struct asking {
	struct session *s;
	struct target *target;
	uint32_t part;
	const struct reads_param *params;
	int nparams;
	bool removes;
};

/* The snapshot as three texts; a list that is too long is left out, and xmax brought down to xmin. */
static void snapshot_values(const struct snapshot *snap, struct buf *text, struct value values[3])
{
	bool listed = snap->nxip <= XIP_MAX;
	size_t at[4] = {0};
	char number[32];

	for (int i = 0; i < 3; i++) {
		if (i < 2) {
			snprintf(number, sizeof number, "%" PRIu64,
				 i == 1 && listed ? snap->xmax : snap->xmin);
			buf_add_span(text, span_str(number));
		} else {
			buf_add_u8(text, '{');
			for (uint32_t k = 0; listed && k < snap->nxip; k++) {
				snprintf(number, sizeof number, "%s%" PRIu64, k > 0 ? "," : "", snap->xip[k]);
				buf_add_span(text, span_str(number));
			}
			buf_add_u8(text, '}');
		}
		at[i + 1] = text->len;
	}
	for (int i = 0; i < 3; i++)
		values[i] = (struct value){.type = i < 2 ? INT8_OID : INT8_ARRAY_OID,
					   .bytes = span_of(text->p + at[i], at[i + 1] - at[i])};
}

/* Lock, then look: a new statement sees what the lock has waited for. */
static bool ask(struct asking *a, const struct snapshot *snap, bool last)
{
	struct target_value wanted[TARGET_VALUES_MAX];
	struct value values[TARGET_VALUES_MAX + 3];
	struct buf from, sql, text;
	char begin[1024];
	unsigned n = 0;
	bool ok;

	buf_init(&from, SQL_MAX);
	buf_init(&sql, 2 * SQL_MAX);
	buf_init(&text, SQL_MAX);
	ok = target_from(a->target, a->part, 1, &from, wanted, &n);
	for (unsigned i = 0; ok && i < n; i++)
		values[i] = value_of(&wanted[i], a->params, a->nparams);
	if (ok) {
		snapshot_values(snap, &text, &values[n]);
		buf_add_span(&sql, span_str("SELECT 1 FROM "));
		buf_add_span(&sql, buf_span(&from));
		buf_add_span(&sql, span_str(a->removes ? " FOR UPDATE" : " FOR NO KEY UPDATE"));
		ok = !sql.failed && !text.failed;
	}
	if (ok) {
		send_hidden(a->s, buf_span(&sql), values, n, INDEX_LOCK, 0);
		snprintf(begin, sizeof begin, look_begin, n + 1, n + 2, n + 3, n + 3);
		buf_clear(&sql);
		buf_add_span(&sql, span_str(begin));
		buf_add_span(&sql, buf_span(&from));
		buf_add_span(&sql, span_str(") x"));
		ok = !sql.failed;
	}
	if (ok)
		send_hidden(a->s, buf_span(&sql), values, n + 3, INDEX_LOOK, last ? INDEX_LAST : 0);
	buf_free(&from);
	buf_free(&sql);
	buf_free(&text);
	return ok;
}

/* The snapshot that the rows of a part have to be as old as; NULL = they were not read. *expected_r: rows that were shown. */
static const struct snapshot *oldest(struct asking *a, const struct target_part *part,
				     const struct catalog *catalog, int64_t *expected_r)
{
	const struct marks *m = a->s->checking->marks;
	const struct catalog_relation *rel = catalog_find_oid(catalog, part->relid);
	uint32_t relid, place = MARKS_NONE, one;
	uint64_t keys[ROWS_MAX];
	bool shown = true, all = true;
	unsigned n = 0;

	*expected_r = 0;
	if (!names_certain(a->s))
		return marks_snapshot(m, marks_find_any(m, 0));
	if (reads_rows(part->reads, 0, a->params, (uint16_t)a->nparams, &relid, keys, ROWS_MAX, &n) !=
	    READS_SOME)
		return marks_snapshot(m, marks_find_any(m, part->relid));
	for (unsigned i = 0; i < n; i++) {
		one = marks_find_row(m, part->relid, keys[i], &shown);
		place = one < place ? one : place;
		all = all && shown;
	}
	if (rel != NULL && rel->nancestors > 0) {
		one = marks_find_any(m, 0);
		place = one < place ? one : place;
		for (uint16_t i = 0; i < rel->nancestors; i++) {
			one = marks_find_any(m, rel->ancestors[i]);
			place = one < place ? one : place;
		}
	}
	if (all && n > 0 && !a->s->checking->removed)
		*expected_r = n;
	return place == MARKS_NONE ? NULL : marks_snapshot(m, place);
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
	if (push(s, EXPECT_PARSE, 0) != 0)
		s->backend->broken = true;
	s->unsynced = s->flushed = true;
	s->replaying = false;
	c->state = STATE_REFUSING;
	count(&s->house->host.counters, row_conflicts);
}

static bool only_inserts(const struct stmt *stmt)
{
	return stmt->text.n > 6 && strncasecmp((const char *)stmt->text.p, "insert", 6) == 0;
}

enum asked { ASKED_NOTHING, ASKED, ASKED_IN_VAIN };

/* The parts of the text that write to what was read. */
static enum asked ask_all(struct session *s, struct stmt *stmt, const struct front_bind *bind)
{
	struct reads_session rs;
	struct reads_param params[PARAMS_ROOM];
	struct asking a = {.s = s, .params = params, .nparams = serve_params(s, stmt, bind, params)};
	const struct snapshot *found[CHECK_PARTS];
	const struct catalog *catalog = NULL;
	struct checking *c = s->checking;
	struct target_part part;
	uint32_t relid;
	uint32_t parts[CHECK_PARTS];
	uint64_t epoch;
	unsigned n = 0;

	if (s->served != NULL)
		catalog = served_catalog(s->served, &epoch);
	if (catalog == NULL)
		return only_inserts(stmt) || marks_find_any(c->marks, 0) == MARKS_NONE ? ASKED_NOTHING
										       : ASKED_IN_VAIN;
	if (a.nparams >= 0 && key_reads(s, &rs))
		a.target = memo_target(stmt, catalog, &rs);
	if (a.target == NULL) {
		count(&s->house->host.counters, row_unchecked);
		return ASKED_NOTHING;
	}
	for (unsigned i = 0; target_missing(a.target, i, &relid); i++)
		if (marks_find_any(c->marks, relid) != MARKS_NONE)
			count(&s->house->host.counters, row_unchecked);
	for (uint32_t i = 0; target_part(a.target, i, &part); i++) {
		int64_t expected;

		if (n == CHECK_PARTS)
			return ASKED_IN_VAIN;
		a.removes = part.removes;
		found[n] = oldest(&a, &part, catalog, &expected);
		c->removed |= part.removes;
		if (found[n] == NULL)
			continue;
		c->expected = expected; /* told apart only for a single part */
		parts[n++] = i;
	}
	if (n > 1)
		c->expected = 0;
	for (unsigned i = 0; i < n; i++) {
		target_part(a.target, parts[i], &part);
		a.part = parts[i];
		a.removes = part.removes;
		if (!ask(&a, found[i], i + 1 == n))
			return ASKED_IN_VAIN;
	}
	return n > 0 ? ASKED : ASKED_NOTHING;
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
	switch (ask_all(s, stmt, bind)) {
	case ASKED_NOTHING: return false;
	case ASKED_IN_VAIN:
		c->unable = true;
		refuse(s);
		return true;
	case ASKED: break;
	}
	write_flush(conn_out(s->backend->conn));
	conn_flush_later(s->backend->conn);
	s->unsynced = s->flushed = true;
	c->state = STATE_ASKED;
	count(&s->house->host.counters, row_checks);
	return true;
}

enum check check_statement(struct session *s, struct stmt *stmt, const struct front_bind *bind, bool simple)
{
	struct checking *c = s->checking;

	/* Also in a transaction that has failed. */
	if (c != NULL && marks_locks(c->marks) && goes_back(stmt))
		marks_unlocked(c->marks);
	if (c != NULL && c->state == STATE_ANSWERED) {
		c->state = STATE_NONE;
		if (c->conflict) {
			refuse(s);
			return CHECK_WAIT;
		}
		note(s, stmt, bind);
		return CHECK_GO;
	}
	if (c != NULL && c->state != STATE_NONE)
		return CHECK_WAIT;
	if (!check_wanted(s))
		return CHECK_GO;
	if (c != NULL && writes_rows(stmt) && begin(s, stmt, bind, simple))
		return CHECK_WAIT;
	note(s, stmt, bind);
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
	} else if (head->index == INDEX_LOOK) {
		c->conflict |= n != 2 || number_of(v[1]) > 0 || number_of(v[0]) < c->expected;
	}
}

void check_last(struct session *s, const struct expect *head)
{
	if (s->checking != NULL && head->kind == EXPECT_CLOSE && head->index == INDEX_LAST)
		s->checking->state = STATE_ANSWERED;
}

bool check_error(struct session *s, const struct expect *head)
{
	struct checking *c = s->checking;
	bool unable = c != NULL && c->unable, never = unable && s->served == NULL;

	if (c == NULL || head == NULL || head->why != WHY_CHECK || c->state != STATE_REFUSING)
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

	if (c == NULL || c->state == STATE_NONE)
		return;
	c->state = STATE_NONE;
	if (!c->simple)
		return; /* its Bind is skipped with the rest, up to the client's Sync */
	if (frame_peek(conn_input(s->client), (uint32_t)s->config->max_packet_size, &type, &body_n, &why) ==
	    FRAME_OK)
		conn_consume(s->client, FRAME_HEADER + (size_t)body_n);
	s->unsynced = false;
	backend_sync(s->backend, WHY_CLIENT);
}
