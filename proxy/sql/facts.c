#include "proxy/sql/effect.h"
#include "proxy/sql/facts.h"
#include "proxy/sql/parse.h"
#include "proxy/sql/shape.h"
#include "proxy/sql/slots.h"

#include <pthread.h>
#include <stdlib.h>

/* The object and what its pointers point to. */
struct facts_box {
	struct facts facts;
	struct arena mem;
};

/* More statements in one text than anybody sends; they are not told apart. */
#define STATEMENTS_MAX 10000

static void refuse(struct facts *f, enum reason reason)
{
	f->nstmts = -1;
	f->stmts = NULL;
	f->effects = EFFECTS_UNKNOWN;
	f->commands = 0;
	f->reason = (uint16_t)reason;
}

static enum tree_step note_param(const ProtobufCMessage *msg, void *arg)
{
	struct facts *f = arg;
	const PgQuery__ParamRef *ref = (const void *)msg;
	uint64_t bit;

	if (!tree_is(msg, param_ref) || ref->number <= 0 || ref->number > UINT16_MAX)
		return TREE_ON;
	if (ref->number > f->nparams)
		f->nparams = (uint16_t)ref->number;
	bit = ref->number < 64 ? (uint64_t)1 << ref->number : 0;
	f->params_again |= f->params_seen & bit;
	f->params_seen |= bit;
	return TREE_ON;
}

static int look_at_statements(struct facts_box *box, const PgQuery__ParseResult *root)
{
	struct facts *f = &box->facts;

	if (root->n_stmts > STATEMENTS_MAX) {
		refuse(f, REASON_TOO_LARGE);
		return 0;
	}
	f->nstmts = (int)root->n_stmts;
	f->stmts = arena_zero(&box->mem, root->n_stmts * sizeof(*f->stmts));
	if (f->stmts == NULL)
		return -1;
	for (size_t i = 0; i < root->n_stmts; i++) {
		const PgQuery__Node *stmt = root->stmts[i]->stmt;

		if (stmt == NULL || effect_of(stmt, &box->mem, &f->stmts[i]) != 0)
			return -1;
		f->effects |= f->stmts[i].effects;
		f->commands |= COMMAND_BIT(f->stmts[i].command);
		(void)tree_walk(&stmt->base, note_param, f);
	}
	return 0;
}

/* Why this text is no candidate for the cache, and whether its tree is worth keeping all the same. */
static enum reason candidate(const struct facts *f, const PgQuery__ParseResult *root, size_t nesting,
			     bool *keep_r)
{
	enum reason reason;

	*keep_r = false;
	if (f->nstmts != 1)
		return f->nstmts == 0 ? REASON_NOT_SELECT : REASON_MULTIPLE;
	if (f->stmts[0].command != COMMAND_SELECT && f->stmts[0].command != COMMAND_EXPLAIN)
		return REASON_NOT_SELECT;
	*keep_r = (f->effects & ~(uint32_t)EFFECT_TYPES) == 0 && nesting <= PARSE_NESTING_HERE;
	if (f->stmts[0].command == COMMAND_EXPLAIN)
		return REASON_NOT_SELECT;
	if ((f->effects & ~(uint32_t)(EFFECT_LOCKS | EFFECT_TYPES)) != 0)
		return REASON_FUNCTION;
	if (nesting > PARSE_NESTING_HERE)
		return REASON_SHAPE;
	reason = shape_check(root->stmts[0]->stmt->select_stmt);
	return reason == REASON_NONE && (f->effects & EFFECT_LOCKS) != 0 ? REASON_FUNCTION : reason;
}

/* Nothing that facts say may come from a literal: names and settings do. */
static bool tells_literals(const struct facts *f)
{
	const struct stmt_facts *stmt = f->stmts;

	return f->nstmts != 1 || (stmt->command != COMMAND_SELECT && stmt->command != COMMAND_DML) ||
	       stmt->nsettings > 0 || stmt->name != NULL || stmt->tag != NULL ||
	       (f->effects & (EFFECT_SETTING | EFFECT_TAINT)) != 0;
}

#define SLOT_PARAMS_MAX 1000u

static int find_slots(struct facts_box *box, const PgQuery__ParseResult *root, struct span text,
		      const struct literals *literals)
{
	struct facts *f = &box->facts;

	if (literals == NULL || f->nparams > SLOT_PARAMS_MAX || tells_literals(f))
		return 0;
	f->slots = slots_find(root->stmts[0]->stmt, text, literals, &box->mem);
	f->nslots = literals->count;
	f->shared = true;
	return f->slots == NULL ? -1 : 0;
}

static int analyse(struct facts_box *box, struct span text, const struct literals *literals, size_t nesting)
{
	struct facts *f = &box->facts;
	struct tree *tree = NULL;
	uint8_t *packed = NULL;
	size_t npacked = 0;
	bool keep;

	if (parse_text(text, &packed, &npacked) != 0) {
		refuse(f, REASON_SYNTAX);
		return 0;
	}
	tree = tree_unpack(span_of(packed, npacked));
	if (tree == NULL || look_at_statements(box, tree->root) != 0 ||
	    find_slots(box, tree->root, text, literals) != 0)
		goto fail;
	if (f->nstmts >= 0) {
		f->reason = (uint16_t)candidate(f, tree->root, nesting, &keep);
		if (keep) {
			f->body = shape_new(packed, npacked);
			packed = NULL;
			if (f->body == NULL)
				goto fail;
			f->shape = f->reason == REASON_NONE ? f->body : NULL;
		}
	}
	free(packed);
	tree_free(&tree);
	return 0;
fail:
	free(packed);
	tree_free(&tree);
	return -1;
}

struct job {
	struct facts_box *box;
	struct span text;
	const struct literals *literals;
	size_t nesting;
	int result;
};

static void *run_job(void *arg)
{
	struct job *job = arg;

	job->result = analyse(job->box, job->text, job->literals, job->nesting);
	return NULL;
}

/* A text that might nest deeply is analysed on a stack made for it. */
static int analyse_apart(struct facts_box *box, struct span text, const struct literals *literals,
			 size_t nesting)
{
	struct job job = {.box = box, .text = text, .literals = literals, .nesting = nesting};
	pthread_attr_t attr;
	pthread_t thread;
	int failed;

	if (pthread_attr_init(&attr) != 0)
		return -1;
	failed = pthread_attr_setstacksize(&attr, (PARSE_STACK(nesting) + 4095) & ~(size_t)4095) != 0 ||
		 pthread_create(&thread, &attr, run_job, &job) != 0;
	pthread_attr_destroy(&attr);
	if (failed) {
		refuse(&box->facts, REASON_SYNTAX);
		return 0;
	}
	pthread_join(thread, NULL);
	return job.result;
}

struct facts *facts_of_text(struct span text)
{
	return facts_of_shape(text, NULL);
}

struct facts *facts_of_shape(struct span text, const struct literals *literals)
{
	struct facts_box *box = calloc(1, sizeof(*box));
	size_t nesting = 0;
	int result = 0;

	if (box == NULL)
		return NULL;
	box->facts.refs = 1;
	arena_init(&box->mem, 128, 64u << 20);
	if (text.n <= FACTS_TEXT_MAX)
		nesting = parse_nesting(text);
	if (text.n > FACTS_TEXT_MAX || nesting > PARSE_NESTING_MAX)
		refuse(&box->facts, REASON_TOO_LARGE);
	else if (nesting <= PARSE_NESTING_HERE)
		result = analyse(box, text, literals, nesting);
	else
		result = analyse_apart(box, text, literals, nesting);
	if (result != 0) {
		struct facts *f = &box->facts;

		facts_unref(f);
		return NULL;
	}
	box->facts.bytes = sizeof(*box) + box->mem.bytes;
	if (box->facts.body != NULL)
		box->facts.bytes += sizeof(*box->facts.body) + box->facts.body->npacked;
	return &box->facts;
}

struct facts *facts_ref(struct facts *f)
{
	f->refs++;
	return f;
}

void facts_unref(struct facts *f)
{
	struct facts_box *box = (struct facts_box *)(void *)f;

	if (f == NULL || --f->refs > 0)
		return;
	shape_free(&f->body);
	arena_free(&box->mem);
	free(box);
}

/* Encodings in which every byte below 0x80 is that ASCII character. Compared as PostgreSQL does: letters and digits
 * alone, in any case. */
static bool ascii_safe(struct span encoding)
{
	static const char *const safe[] = {"utf8",	 "unicode", "sqlascii",	 "euc",	       "latin",
					   "iso8859",	 "koi8",    "win125",	 "windows125", "win866",
					   "windows866", "win874",  "windows874"};
	char name[32];
	size_t n = 0;

	for (size_t i = 0; i < encoding.n && n < sizeof(name) - 1; i++) {
		uint8_t c = encoding.p[i];

		if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z'))
			name[n++] = (char)c;
		else if (c >= 'A' && c <= 'Z')
			name[n++] = (char)(c - 'A' + 'a');
	}
	name[n] = '\0';
	for (size_t i = 0; i < sizeof(safe) / sizeof(safe[0]); i++)
		if (strncmp(name, safe[i], strlen(safe[i])) == 0)
			return true;
	return false;
}

bool facts_certain(struct span client_encoding, struct span standard_conforming_strings)
{
	return ascii_safe(client_encoding) && span_eq(standard_conforming_strings, span_str("on"));
}
