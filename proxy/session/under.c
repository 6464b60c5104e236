/* Under which settings a client's statements are parsed. Each keeps those of its Parse (meaning.h). Where they are not those of now, and
 * its text would mean something else, it is made again under them, and has a number of its own on the backends: PostgreSQL parses a
 * statement anew by itself when its tables change or are analysed, under what is set then, so those who have set something else must
 * not share it. What a transaction has set is asked of the backend when it is needed. And under which schema: who parses behind DDL gets
 * another number than those before it. */
#include "proxy/session/image_ids.h"
#include "proxy/session/session_private.h"

#include "proxy/base/check.h"
#include "protocol/write.h"

static const char encoding[] = "client_encoding", path[] = "search_path";

/* --- what is set now --- */

/* Between transactions, and in one that has set nothing that matters. */
struct meaning *under_settled(struct session *s)
{
	if (s->meaning == NULL)
		s->meaning = meaning_new(s->image_id, &s->image);
	return s->meaning;
}

/* At this point of a transaction that may have changed something. */
static struct meaning *unsettled(struct session *s)
{
	if (s->txn_meaning == NULL) {
		s->txn_meaning = meaning_new(image_ids_fresh(s->house->image_ids), &s->image);
		s->txn_meaning->passing = true;
		s->txn_meaning->assumed = (s->effects & EFFECT_TAINT) != 0;
		settings_copy(&s->changed, &s->txn_meaning->names);
	}
	return s->txn_meaning;
}

/* Has this transaction set something that matters to the text? */
static bool has_changed(const struct session *s, const struct stmt *stmt)
{
	for (unsigned i = 0; i < s->changed.n; i++)
		if (meaning_changes(s->changed.at[i].name, stmt))
			return true;
	return false;
}

struct meaning *under_now(struct session *s, const struct stmt *stmt)
{
	const uint32_t unseen = EFFECT_RESET_ALL | EFFECT_ROLE | EFFECT_TAINT;

	if ((s->effects & unseen) != 0 || s->schema_changed || (s->pins & (1u << PIN_TEMP)) != 0 ||
	    settings_get(&s->changed, path) != NULL || has_changed(s, stmt))
		return unsettled(s);
	return under_settled(s);
}

/* --- the schema now --- */

/* What names stand for, and of which types parameters are that are not declared, PostgreSQL finds out when it parses. One that was parsed
 * before DDL must not be shared with those who parse it after. 0 = nothing is known. */
static uint64_t schema_now(const struct session *s)
{
	uint64_t epoch, serial = 0;
	const struct catalog *catalog = s->served != NULL ? served_catalog(s->served, &epoch) : NULL;

	if (catalog != NULL)
		serial = catalog_serial(catalog);
	return serial * 0x9e3779b97f4a7c15u ^ pool_schema(s->pool) * 0xff51afd7ed558ccdu;
}

uint64_t under_number_now(const struct session *s, const struct meaning *m, struct stmt *stmt)
{
	uint64_t id = m->passing ? m->id : m->id ^ schema_now(s);

	return stmt_number(stmt, id, id);
}

/* Has it parameters whose types PostgreSQL has to find out? */
static bool infers(const struct stmt *stmt)
{
	if (stmt->noids < stmt->facts->nparams)
		return true;
	for (unsigned i = 0; i < stmt->facts->nparams; i++)
		if (stmt->oids[i] == 0)
			return true;
	return false;
}

/* What the types of its parameters are found out from; 0 = not known. */
static uint64_t types_now(struct session *s, struct stmt *stmt)
{
	const struct catalog *catalog;
	struct reads_session rs;
	struct reads *reads;
	uint64_t epoch;

	if (s->served == NULL || !infers(stmt) || under_now(s, stmt) != s->meaning)
		return 0;
	catalog = served_catalog(s->served, &epoch);
	reads = catalog != NULL && key_reads(s, &rs) ? memo_reads(stmt, catalog, &rs) : NULL;
	return reads != NULL ? reads_types(reads) : 0;
}

void under_note_types(struct session *s, struct parsed *p, struct stmt *stmt)
{
	uint64_t types = types_now(s, stmt);

	/* Between the two looks the catalog may have become another one. One with a warning is parsed for each client. */
	if (types != 0 && !stmt->warned && p->number != under_number_now(s, under_settled(s), stmt))
		types = 0;
	p->types = types;
}

bool under_types_hold(struct session *s, struct parsed *p, struct stmt *stmt, const struct reads *reads)
{
	if (!infers(stmt) || (p->types != 0 && p->types == reads_types(reads)))
		return true;
	/* Parsed while nobody knew the tables: once more, and they are. */
	if (p->types == 0 && s->txn == TXN_NONE && s->changed.n == 0)
		p->number = p->used_number = 0;
	return false;
}

static struct meaning *now_for(struct session *s, const struct stmt *stmt)
{
	return has_changed(s, stmt) ? unsettled(s) : under_settled(s);
}

void under_refresh(struct session *s)
{
	if (s->meaning == NULL || s->meaning->id == s->image_id)
		return;
	meaning_unref(s->meaning);
	s->meaning = NULL;
}

void under_note(struct session *s, const char *name)
{
	struct span v = span_str("");

	if (settings_set(&s->changed, span_str(name), &v) < 0)
		s->effects |= EFFECT_TAINT;
	under_moves(s);
}

void under_moves(struct session *s)
{
	if (s->changed.n == 0)
		return;
	meaning_unref(s->txn_meaning);
	s->txn_meaning = NULL;
}

void under_synced(struct session *s)
{
	const struct expects *q = &s->backend->expects;

	s->binds_change = false;
	if (s->txn != TXN_REAL || q->batches_sent != q->batches_done)
		under_moves(s);
}

bool under_bound(struct session *s, const struct facts *f)
{
	const uint32_t ends =
		COMMAND_BIT(COMMAND_COMMIT) | COMMAND_BIT(COMMAND_ROLLBACK) | COMMAND_BIT(COMMAND_TXN);

	if ((f->effects & (EFFECT_SETTING | EFFECT_RESET_ALL)) == 0 && (f->commands & ends) == 0)
		return false;
	under_moves(s);
	return true;
}

/* Will it refuse for sure to parse anything that has literals? */
static bool fails(const struct session *s)
{
	const struct expects *q = &s->backend->expects;

	return s->backend->status == 'E' && q->batches_sent == q->batches_done && !s->ran;
}

/* --- asking --- */

static void ask(struct session *s, struct meaning *m)
{
	struct meaning **end = &s->learning;

	while (*end != NULL)
		end = &(*end)->next;
	*end = meaning_ref(m);
	m->asked = true;
	m->waiting = m->names.n;
	/* The unnamed portal may be the client's. */
	for (unsigned i = 0; i < m->names.n; i++) {
		struct span name = span_str(m->names.at[i].name);

		if (backend_sys_apart(s->backend, SYS_GET_CUSTOM, &name, 1, WHY_LEARN, i) != 0)
			s->backend->broken = true;
	}
}

static void take_first(struct session *s)
{
	struct meaning *m = s->learning;

	s->learning = m->next;
	m->next = NULL;
	meaning_unref(m);
}

void under_row(struct session *s, uint32_t index, const struct span *value)
{
	struct meaning *m = s->learning;

	if (m == NULL || index >= m->names.n)
		return;
	m->assumed |= settings_set(&m->image, span_str(m->names.at[index].name), value) < 0;
}

void under_answered(struct session *s, bool skipped)
{
	struct meaning *m = s->learning;

	if (m == NULL)
		return;
	m->asked &= !skipped;
	if (--m->waiting == 0)
		take_first(s);
}

void under_learn(struct session *s, struct meaning *m, const struct stmt *stmt)
{
	if (m == s->txn_meaning && !m->asked && has_changed(s, stmt))
		ask(s, m);
}

bool under_known(struct session *s, const struct parsed *p, const struct stmt *stmt)
{
	const struct expects *q = &s->backend->expects;
	struct meaning *now;

	if (s->changed.n == 0 || p->under == NULL || fails(s))
		return true;
	now = now_for(s, stmt);
	if (now == p->under || (now == s->meaning && p->under->waiting == 0))
		return true;
	if (now != s->meaning && !now->asked) {
		if (!s->unsynced && q->n > 0)
			return false; /* where the transaction is will be known then */
		ask(s, now);
		s->flushed = false;
		if (!s->unsynced && backend_sync(s->backend, WHY_LEARN) != 0)
			s->backend->broken = true;
	}
	return now->waiting == 0 && p->under->waiting == 0;
}

/* --- statements --- */

static bool at_home(const struct session *s, const struct parsed *p)
{
	return p->under == NULL || (p->under == s->meaning && s->changed.n == 0);
}

bool under_others(struct session *s, const struct parsed *p, const struct stmt *stmt)
{
	return !at_home(s, p) && !fails(s) && !meaning_same(p->under, now_for(s, stmt), stmt);
}

uint64_t under_number(struct session *s, struct parsed *p, struct stmt *stmt)
{
	struct meaning *now;

	if (at_home(s, p) || p->under->passing)
		return p->number;
	now = now_for(s, stmt);
	if (!under_others(s, p, stmt)) {
		p->used_number = 0;
		if (now == s->meaning && meaning_same(p->under, now, NULL))
			stmts_parsed_under(&s->stmts, p, now); /* it is found sooner */
		return p->number;
	}
	if (p->used != now->id || p->used_number == 0) {
		p->used = now->id;
		p->used_number = now == s->meaning ? stmt_number(stmt, p->under->id ^ schema_now(s), now->id)
						   : stmt_number_fresh();
	}
	return p->used_number;
}

bool under_same(struct session *s, struct parsed *p, struct stmt *stmt)
{
	const struct meaning *now = under_settled(s);

	if (s->changed.n > 0)
		return false;
	return (p->under != NULL && !p->under->assumed && meaning_same(p->under, now, NULL)) ||
	       p->number == under_number_now(s, now, stmt);
}

/* --- a Parse under other settings --- */

/* Local to the transaction, whatever the client has made of the same setting in it. */
static void put(struct session *s, const char *name, const char *value)
{
	struct span v[2] = {span_str(name), value != NULL ? span_str(value) : span_of(NULL, 0)};

	if (backend_sys_apart(s->backend, SYS_SET_LOCAL, v, 2, WHY_UNDER, 0) != 0)
		s->backend->broken = true;
}

static void put_difference(void *arg, const char *name, const char *value)
{
	if (strcasecmp(name, encoding) != 0 && meaning_setting(name))
		put(arg, name, value);
}

/* PostgreSQL compares it with that of now, and parses anew under that if it has to. */
static void put_path(void *arg, const char *name, const char *value)
{
	if (strcasecmp(name, path) == 0)
		put(arg, name, value);
}

static void put_encoding(void *arg, const char *name, const char *value)
{
	if (strcasecmp(name, encoding) == 0)
		put(arg, name, value);
}

static bool knows_path(const struct meaning *m)
{
	return settings_get(&m->names, path) == NULL || (m->asked && m->waiting == 0);
}

/* Other texts than this one are in the encoding of now. */
static void shift(struct session *s, const struct meaning *from, const struct meaning *to, bool back)
{
	if (back)
		settings_diff(&from->image, &to->image, put_encoding, s);
	settings_diff(&from->image, &to->image, put_difference, s);
	if (knows_path(from) && knows_path(to))
		settings_diff(&from->image, &to->image, put_path, s);
	if (!back)
		settings_diff(&from->image, &to->image, put_encoding, s);
}

void under_parse(struct session *s, struct span name, const struct parsed *p, struct stmt *stmt,
		 const struct expect *e)
{
	struct backend *b = s->backend;
	bool other = p != NULL && under_others(s, p, stmt);
	const struct meaning *now = other ? now_for(s, stmt) : NULL;

	if (other)
		shift(s, now, p->under, false);
	write_parse(conn_out(b->conn), name, stmt->text, stmt->oids, stmt->noids);
	conn_flush_later(b->conn);
	tally_add(s->tally, TALLY_server_parses, 1);
	if (e != NULL && expect_push(&b->expects, e) != 0)
		b->broken = true;
	if (other)
		shift(s, p->under, now, true);
}

/* --- ends --- */

void under_end(struct session *s)
{
	settings_clear(&s->changed);
	meaning_unref(s->txn_meaning);
	s->txn_meaning = NULL;
	s->binds_change = false;
	while (s->learning != NULL)
		take_first(s);
}

void under_free(struct session *s)
{
	under_end(s);
	meaning_unref(s->meaning);
	s->meaning = NULL;
}
