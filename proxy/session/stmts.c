#include "proxy/session/stmts.h"

#include "proxy/base/map.h"

/* A name; it stays while it stands for something or has changes in the log. */
struct client_stmt {
	struct stmt *stmt; /* counted, NULL = no such statement */
	struct parsed parsed;
	uint64_t id;
	struct stmt_change *last; /* newest in the log */
	unsigned open;		  /* changes in the log */
	bool literal, marked;
	size_t nname;
	UT_hash_handle hh;
	char name[];
};

enum change_kind { CHANGE_STMT, CHANGE_MENTION, CHANGE_LITERAL };

struct stmt_change {
	struct stmt_change *next, *next_same; /* in the log; of the same name */
	struct client_stmt *on;
	uint64_t key, batch;
	enum change_kind kind;
	bool old_literal;
	struct stmt *old; /* counted: what the name stood for before */
	struct parsed old_parsed;
};

static struct client_stmt *look(const struct stmts *t, struct span name)
{
	struct client_stmt *c = t->latest;

	if (name.n == 0)
		return t->unnamed;
	/* A Bind asks for its name several times. */
	if (c != NULL && span_eq(span_of(c->name, c->nname), name))
		return c;
	HASH_FIND(hh, t->table, name.p, name.n, c);
	((struct stmts *)t)->latest = c; /* a cache, not a change */
	return c;
}

static struct client_stmt *make(struct stmts *t, struct span name)
{
	struct client_stmt *c = look(t, name);

	if (c != NULL)
		return c;
	c = check_alloc(sizeof *c + name.n + 1);
	c->id = ++t->serial;
	c->nname = name.n;
	if (name.n == 0) {
		t->unnamed = c;
		return c;
	}
	memcpy(c->name, name.p, name.n);
	HASH_ADD_KEYPTR(hh, t->table, c->name, c->nname, c);
	t->bytes += sizeof *c + name.n;
	return c;
}

/* A reference that the set holds; they are what counts against the bound. */
static struct stmt *take(struct stmts *t, struct stmt *stmt)
{
	if (stmt == NULL)
		return NULL;
	t->bytes += stmt->text.n;
	return stmt_ref(stmt);
}

static void let_go(struct stmts *t, struct stmt *stmt)
{
	if (stmt == NULL)
		return;
	t->bytes -= stmt->text.n;
	stmt_unref(stmt);
}

/* Settings are a session's own, and count once. */
static void keep_under(struct stmts *t, struct meaning *under)
{
	if (under == NULL || under->statements++ > 0)
		return;
	under->counted = sizeof *under + under->image.bytes;
	t->bytes += under->counted;
}

static void forget_parsed(struct stmts *t, struct parsed *p)
{
	if (p->under != NULL && --p->under->statements == 0)
		t->bytes -= p->under->counted;
	meaning_unref(p->under);
	*p = (struct parsed){0};
}

static void set_literal(struct stmts *t, struct client_stmt *c, bool literal)
{
	t->literals += (unsigned)literal - (unsigned)c->literal;
	c->literal = literal;
}

/* Takes over the references. */
static void stand_for(struct stmts *t, struct client_stmt *c, struct stmt *stmt, struct parsed parsed)
{
	let_go(t, c->stmt);
	forget_parsed(t, &c->parsed);
	c->stmt = stmt;
	c->parsed = parsed;
	if (stmt == NULL)
		set_literal(t, c, false);
}

/* The name goes when nobody needs it. */
static void tidy(struct stmts *t, struct client_stmt *c)
{
	if (c->stmt != NULL || c->open > 0 || c->nname == 0)
		return;
	HASH_DEL(t->table, c);
	if (t->latest == c)
		t->latest = NULL;
	t->bytes -= sizeof *c + c->nname;
	free(c);
}

bool stmts_fit(const struct stmts *t, struct span name, const struct stmt *stmt)
{
	return t->bytes + sizeof(struct client_stmt) + name.n + (stmt != NULL ? stmt->text.n : 0) <=
	       STMTS_BYTES;
}

struct stmt *stmts_find(const struct stmts *t, struct span name)
{
	struct client_stmt *c = look(t, name);

	return c == NULL ? NULL : c->stmt;
}

struct parsed *stmts_parsed(const struct stmts *t, struct span name)
{
	struct client_stmt *c = look(t, name);

	return c == NULL || c->stmt == NULL ? NULL : &c->parsed;
}

void stmts_parsed_under(struct stmts *t, struct parsed *p, struct meaning *under)
{
	uint64_t number = p->number;

	keep_under(t, meaning_ref(under));
	forget_parsed(t, p);
	p->number = number;
	p->under = under;
}

/* --- at once --- */

int stmts_add(struct stmts *t, struct span name, struct stmt *stmt)
{
	if (name.n > 0 && !stmts_fit(t, name, stmt))
		return -1;
	stand_for(t, make(t, name), take(t, stmt), (struct parsed){0});
	return 0;
}

bool stmts_remove(struct stmts *t, struct span name)
{
	struct client_stmt *c = look(t, name);
	bool was = c != NULL && c->stmt != NULL;

	if (c != NULL) {
		stand_for(t, c, NULL, (struct parsed){0});
		tidy(t, c);
	}
	return was || name.n == 0;
}

void stmts_set_unnamed(struct stmts *t, struct stmt *stmt)
{
	if (stmt != NULL || t->unnamed != NULL)
		stand_for(t, make(t, span_str("")), take(t, stmt), (struct parsed){0});
}

void stmts_clear(struct stmts *t)
{
	struct client_stmt *c, *next;

	while (t->log != NULL)
		stmts_done(t, t->log->key);
	HASH_ITER (hh, t->table, c, next) {
		stand_for(t, c, NULL, (struct parsed){0});
		tidy(t, c);
	}
	if (t->unnamed != NULL)
		stand_for(t, t->unnamed, NULL, (struct parsed){0});
	free(t->unnamed);
	t->unnamed = NULL;
}

/* --- in a pipeline --- */

static struct stmt_change *note(struct stmts *t, struct client_stmt *c, enum change_kind kind, uint64_t batch)
{
	struct stmt_change *change = check_alloc_raw(sizeof *change);

	*change = (struct stmt_change){.on = c, .key = ++t->serial, .batch = batch, .kind = kind};
	t->bytes += sizeof *change;
	if (t->log == NULL)
		t->log = change;
	else
		t->log_end->next = change;
	t->log_end = change;
	if (c->last != NULL)
		c->last->next_same = change;
	c->last = change;
	c->open++;
	return change;
}

static struct stmt_change *note_stmt(struct stmts *t, struct client_stmt *c, uint64_t batch)
{
	struct stmt_change *change = note(t, c, CHANGE_STMT, batch);

	change->old = c->stmt;
	change->old_parsed = c->parsed;
	change->old_literal = c->literal;
	return change;
}

uint64_t stmts_change(struct stmts *t, struct span name, struct stmt *stmt, uint64_t number,
		      struct meaning *under, uint64_t batch)
{
	struct client_stmt *c;
	uint64_t key;

	if (!stmts_fit(t, name, stmt))
		return 0;
	c = make(t, name);
	key = note_stmt(t, c, batch)->key;
	c->stmt = take(t, stmt);
	keep_under(t, meaning_ref(under));
	c->parsed = (struct parsed){.number = number, .under = under};
	return key;
}

uint64_t stmts_change_away(struct stmts *t, struct span name, uint64_t batch)
{
	struct client_stmt *c = look(t, name);
	uint64_t key;

	/* What it does not stand for any more may yet turn out to have been skipped. */
	if (c == NULL || (c->stmt == NULL && c->open == 0))
		return 0;
	key = note_stmt(t, c, batch)->key;
	c->stmt = NULL;
	c->parsed = (struct parsed){0};
	set_literal(t, c, false);
	return key;
}

uint64_t stmts_mention(struct stmts *t, struct span name, uint64_t batch)
{
	if (!stmts_fit(t, name, NULL))
		return 0;
	return note(t, make(t, name), CHANGE_MENTION, batch)->key;
}

/* The head of the log, whose answer has come. */
static struct stmt_change *take_first(struct stmts *t, uint64_t key)
{
	struct stmt_change *change = t->log;

	check(change != NULL && change->key == key);
	t->log = change->next;
	if (t->log == NULL)
		t->log_end = NULL;
	change->on->open--;
	if (change->on->last == change)
		change->on->last = NULL;
	return change;
}

static void drop(struct stmts *t, struct stmt_change *change)
{
	let_go(t, change->old);
	forget_parsed(t, &change->old_parsed);
	tidy(t, change->on);
	t->bytes -= sizeof *change;
	free(change);
}

void stmts_done(struct stmts *t, uint64_t key)
{
	if (key != 0)
		drop(t, take_first(t, key));
}

void stmts_undone(struct stmts *t, uint64_t key, bool failed)
{
	struct stmt_change *change, *later;

	if (key == 0)
		return;
	change = take_first(t, key);
	/* What came later stands on what was there before. */
	for (later = change->next_same; later != NULL && later->kind != CHANGE_STMT;)
		later = later->next_same;
	if (change->kind == CHANGE_LITERAL && later != NULL)
		later->old_literal = false;
	else if (change->kind == CHANGE_LITERAL)
		set_literal(t, change->on, false);
	if (change->kind == CHANGE_STMT) {
		if (failed) {
			let_go(t, change->old);
			forget_parsed(t, &change->old_parsed);
			change->old = NULL;
		}
		if (later != NULL) {
			let_go(t, later->old);
			forget_parsed(t, &later->old_parsed);
			later->old = change->old;
			later->old_parsed = change->old_parsed;
			later->old_literal = change->old_literal;
		} else {
			stand_for(t, change->on, change->old, change->old_parsed);
			set_literal(t, change->on, change->old_literal && change->on->stmt != NULL);
		}
		change->old = NULL;
		change->old_parsed = (struct parsed){0};
	}
	drop(t, change);
}

bool stmts_open(const struct stmts *t, struct span name, uint64_t *batch_r)
{
	const struct client_stmt *c = look(t, name);

	if (c == NULL || c->last == NULL)
		return false;
	*batch_r = c->last->batch;
	return true;
}

/* --- all of them --- */

void stmts_forget_all(struct stmts *t)
{
	struct client_stmt *c, *next;

	/* Of a name with changes still to be answered only what it was before the first one. */
	for (struct stmt_change *change = t->log; change != NULL; change = change->next) {
		if (change->kind != CHANGE_STMT || change->on->nname == 0 || change->on->marked)
			continue;
		change->on->marked = true;
		let_go(t, change->old);
		change->old = NULL;
	}
	HASH_ITER (hh, t->table, c, next) {
		if (!c->marked)
			stand_for(t, c, NULL, (struct parsed){0});
		c->marked = false;
		tidy(t, c);
	}
}

void stmts_forget_number(struct stmts *t, uint64_t number)
{
	struct client_stmt *c, *next;

	HASH_ITER (hh, t->table, c, next)
		if (c->stmt != NULL && parsed_number(&c->parsed) == number && c->open == 0) {
			stand_for(t, c, NULL, (struct parsed){0});
			tidy(t, c);
		}
}

struct span stmts_change_name(const struct stmts *t, uint64_t key)
{
	for (const struct stmt_change *change = t->log; change != NULL; change = change->next)
		if (change->key == key)
			return span_of(change->on->name, change->on->nname);
	return span_str("");
}

uint64_t stmts_id(const struct stmts *t, struct span name)
{
	const struct client_stmt *c = look(t, name);

	return c == NULL ? 0 : c->id;
}

struct span stmts_id_name(const struct stmts *t, uint64_t id)
{
	struct client_stmt *c, *next;

	HASH_ITER (hh, t->table, c, next)
		if (c->id == id)
			return span_of(c->name, c->nname);
	return span_str("");
}

bool stmts_is_literal(const struct stmts *t, struct span name)
{
	const struct client_stmt *c = look(t, name);

	return c != NULL && c->literal;
}

uint64_t stmts_literal(struct stmts *t, struct span name, uint64_t batch)
{
	struct client_stmt *c = look(t, name);

	if (c == NULL || c->stmt == NULL)
		return 0;
	set_literal(t, c, true);
	return note(t, c, CHANGE_LITERAL, batch)->key;
}

void stmts_mark_literal(struct stmts *t, struct span name)
{
	struct client_stmt *c = look(t, name);

	if (c != NULL)
		set_literal(t, c, true);
}

void stmts_no_literals(struct stmts *t)
{
	struct client_stmt *c, *next;

	if (t->literals == 0)
		return;
	HASH_ITER (hh, t->table, c, next)
		set_literal(t, c, false);
}

bool stmts_has_number(const struct stmts *t, uint64_t number)
{
	for (const struct client_stmt *c = t->table; c != NULL; c = c->hh.next)
		if (c->stmt != NULL && parsed_number(&c->parsed) == number)
			return true;
	return false;
}

unsigned stmts_count(const struct stmts *t)
{
	return HASH_COUNT(t->table);
}
