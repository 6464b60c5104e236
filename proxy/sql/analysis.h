/* analysis.h - private to select.c, joins.c, expr.c, keys.c, predicates.c, shown.c, entities.c, reads.c and target.c: a statement being understood
 *               against a catalog.
 * Source  the raw parse tree; PostgreSQL's rules of name and type resolution, where they are certain.
 * Shape   scopes of FROM entries, nested like the statement; anything uncertain ends with a reason.
 * Owner   everything lives in `mem`, which becomes the reads object's.
 * Thread  one at a time.
 * Errors  functions return false after setting `reason`. */
#ifndef PROXY_SQL_ANALYSIS_H
#define PROXY_SQL_ANALYSIS_H

#include "proxy/sql/builtins.h"
#include "proxy/sql/entities.h"
#include "proxy/sql/names.h"
#include "proxy/sql/slots.h"

/* A column as expressions see it. */
struct column {
	struct span name;	     /* empty: has none that can be used */
	uint32_t type;		     /* 0: built-in, but which is not known */
	bool usable;		     /* operators and text form are PostgreSQL's own */
	bool shown;		     /* may at least be in the answer */
	const struct rel_read *read; /* a table's column as it is, or NULL */
	int16_t attnum;
};

struct outputs {
	struct column *columns;
	size_t count;
	size_t room;
	bool unordered; /* `*` over merged columns: the order is not PostgreSQL's */
};

/* Where a key column's values come from. */
struct key_source {
	enum { SOURCE_CONST, SOURCE_PARAM, SOURCE_ARRAY } kind;
	uint32_t type;	   /* of the parameter, or of the array parameter */
	uint16_t param;	   /* from 1 */
	struct span value; /* canonical */
};

struct key_column {
	bool fixed;
	uint16_t nsources; /* 0 and fixed: NULL, no row at all */
	struct key_source *sources;
};

/* One conjunction that fixes every column of the key. */
struct key_choice {
	struct key_column *columns; /* rel->nkey of them */
	struct key_choice *next;
};

struct rel_read {
	uint32_t relid;
	uint16_t nkey;
	int16_t key[READS_KEY_MAX]; /* the primary key, or what conditions fix; attnums rising */
	bool predicate;		    /* the latter */
	struct key_choice *choices; /* NULL: any change of the relation */
	/* With a predicate: where the answer shows the primary keys of all rows that it depends on (predicates.c). */
	uint16_t nshown;
	uint16_t shown_at[READS_KEY_MAX]; /* columns of the answer, from 0 */
	int16_t shown_key[READS_KEY_MAX];
	uint32_t shown_type[READS_KEY_MAX];
	struct rel_read *next;
};

struct entry {
	struct span alias;
	struct span schema; /* to be named as schema.table.column; empty when it has an alias */
	const struct catalog_relation *rel; /* or */
	const struct outputs *derived;
	struct rel_read *read; /* of rel */
};

#define NO_ENTRY SIZE_MAX

/* A column of JOIN .. USING, or of NATURAL JOIN: the entries of its two sides, and the one whose value it has. NO_ENTRY: it is made of
 * several. */
struct merged {
	struct span name;
	size_t from, middle, to; /* the entries of the join */
	size_t left, right, stand;
	const struct qual *qual; /* that the two are equal */
	struct merged *next;
};

struct level { /* the FROM entries of one SELECT */
	struct entry *entries;
	size_t count;
	size_t room;
	struct merged *merged;
	struct finding *finding; /* predicates.c */
};

struct scope {
	struct level *level;
	size_t from, to; /* the entries that can be seen */
	const struct scope *parent;
};

/* A join's or WHERE's condition, and the entries that it can narrow. */
struct qual {
	const PgQuery__Node *node; /* NULL: that of JOIN .. USING */
	size_t from, to;	   /* entries that it narrows */
	size_t seen_from, seen_to; /* entries that it can name */
	bool is_join;
	struct qual *next;
};

/* Entries that are NULL when an outer join finds no partner for the other side. */
struct outer {
	size_t from, to;
	const PgQuery__Node *on;
	struct outer *next;
};

/* One SELECT with a FROM. What it depends on is found when all of the statement is understood. */
struct selecting {
	struct analysis *a;
	const struct scope *parent;
	const struct cte *ctes;
	struct level level;
	struct qual *quals;
	struct outer *outers;
	bool lateral; /* a sub-select sees other entries */
	bool shows;   /* its answer may show the rows that it depends on; `cut`, `outputs`: see shown.c */
	bool cut;
	const struct outputs *outputs;
	struct selecting *next; /* outer ones first */
};

struct cte {
	struct span name;
	const struct outputs *outputs; /* NULL: not known yet, WITH RECURSIVE */
	PgQuery__Node **renames;       /* of a recursive one: the names of its columns */
	size_t nrenames;
	const struct cte *next;
};

/* What is known of an expression's type. */
struct typed {
	uint32_t oid;	/* 0 = built-in, but not known which */
	uint16_t param; /* an untyped parameter */
	bool literal;	/* an untyped string */
	uint16_t
		slot; /* its place among the parameters, when its text may be another one in each execution */
	bool clock;   /* else: that has a word like 'now' in it, or may have */
};

struct analysis {
	struct arena *mem;
	const struct catalog *catalog;
	struct names names;
	const uint32_t *oids;
	uint16_t noids;
	uint16_t nparams;
	const struct slot *slots; /* literals that count as parameters, behind the others */
	unsigned nslots;
	uint64_t params_again; /* facts.h */
	bool *clock_param; /* [nparams + nslots + 1]: might become a date or time; its text must not be 'now' */
	struct rel_read *reads;
	struct rel_read **reads_end;
	struct selecting *selects;
	unsigned depth;	  /* of SELECTs in each other */
	bool has_windows; /* a window function was seen somewhere */
	const struct entities *entities;
	enum reason reason;
};

bool analysis_refuse(struct analysis *a, enum reason reason); /* returns false */

/* select.c */
bool select_check(struct analysis *a, const PgQuery__SelectStmt *select, const struct scope *parent,
		  const struct cte *ctes, struct outputs *outputs_r);

bool outputs_add(struct analysis *a, struct outputs *outputs, struct column column);

/* joins.c: who is in a FROM. */
bool from_item(struct selecting *s, const PgQuery__Node *node);
/* The outputs under other names: AS x (a, b). */
const struct outputs *outputs_renamed(struct analysis *a, const struct outputs *outputs,
				      PgQuery__Node *const *names, size_t n);

/* expr.c; `ctes` are for sub-selects. */
struct place {
	const struct scope *scope;
	const struct cte *ctes;
};

bool expr_check(struct analysis *a, struct place at, const PgQuery__Node *node, struct typed *typed_r);
/* The same for an expression whose type nothing else decides. */
bool expr_alone(struct analysis *a, struct place at, const PgQuery__Node *node);
/* The second half of expr_alone: a string or parameter that nothing gave a type may be read as a date. */
bool expr_settle(struct analysis *a, struct typed typed);
bool expr_list(struct analysis *a, struct place at, PgQuery__Node *const *nodes, size_t n);
bool expr_window(struct analysis *a, struct place at, const PgQuery__WindowDef *window);
/* Is = on these two PostgreSQL's own, whatever users have defined? */
bool expr_operator(struct analysis *a, struct span name, struct typed left, struct typed right);
/* What the text of a column reference means. *entry_r is NULL for a merged column that is no entry's. */
bool expr_column(struct analysis *a, const struct scope *scope, const PgQuery__ColumnRef *ref,
		 struct column *column_r, const struct entry **entry_r);
bool expr_bare_column(struct analysis *a, const struct scope *scope, struct span name,
		      struct column *column_r, const struct entry **entry_r);
/* A column of any FROM entry of that level. */
bool expr_level_column(const struct level *level, struct span name, struct column *column_r);
struct column expr_relation_column(const struct catalog_column *column);
/* The place of this constant among the parameters, from 1, or 0: its value is the one in the tree. */
uint16_t expr_slot(const struct analysis *a, const PgQuery__AConst *value);
/* The built-in type a TypeName means, or NULL. */
const struct builtin_type *expr_type(const PgQuery__TypeName *type);
uint32_t expr_param_type(const struct analysis *a, uint16_t param);
/* Might it, read as a date or time or as something made of them, depend on when it is read? */
bool expr_clock_words(struct span text);

/* figure.c: the name of a column without AS; empty when it has none that can be used. */
struct span figure_name(const PgQuery__Node *node);

/* keys.c: looks whether `qual` fixes the primary key of `entry` and notes it in entry->read. */
bool keys_find(struct analysis *a, const struct scope *scope, const struct entry *entry,
	       const PgQuery__Node *qual);
bool keys_same_family(uint32_t a, uint32_t b);
/* An unquoted NULL in the text of an array of that type is the word when array_nulls is off. */
bool keys_null_may_be_text(uint32_t type);
/* The values on the other side of column = .., IN, = ANY; false when they are not certain. */
bool keys_values(struct analysis *a, uint32_t type, PgQuery__AExprKind kind, const PgQuery__Node *node,
		 struct key_column *values_r);

/* reads.c: for reads_keys of these rows, which the caller keeps. NULL when memory is gone. */
struct reads *reads_of_rows(const struct rel_read *read, uint16_t nparams);

/* predicates.c: looks what conditions fix for every entry of a->selects that keys.c has found no rows for .. */
bool predicates_find(struct analysis *a);
/* shown.c: .. and, for an outermost SELECT without grouping, DISTINCT, OFFSET and windows, whose rows the answer shows. */
void predicates_shown(const struct level *level, const struct qual *quals, const struct outer *outers,
		      bool cut, const struct outputs *outputs);

/* entities.c: notes whose rows the outermost SELECT shows. */
bool entities_find(struct analysis *a, const struct level *level, const PgQuery__SelectStmt *select,
		   const struct outputs *outputs);
/* NULL when memory is gone. */
const struct entities *entities_copy(struct arena *mem, const struct entities *from);
/* One more of the rows that an execution asks for; false when there are too many. */
bool entities_add_point(const struct entity *entity, struct entity_points *points, uint64_t readkey,
			const struct span *values);
/* Does LIMIT leave `n` rows whole? False when its value is not certain. */
bool entities_limit(const struct entities *entities, const struct reads_param *params, bool *all_r,
		    unsigned n);

#endif
