/* builtins.h - what PostgreSQL itself brings in its schema pg_catalog, by name.
 * Source  pg_proc, pg_operator, pg_type, pg_class of PostgreSQL 15, written to builtins.def by builtins.sh.
 * Shape   constant sorted tables; a name counts by the worst of its overloads.
 * Owner   static.
 * Thread  any.
 * Errors  an unknown name is BUILTIN_NONE or NULL. */
#ifndef PROXY_SQL_BUILTINS_H
#define PROXY_SQL_BUILTINS_H

#include "protocol/span.h"

enum builtin_class {
	BUILTIN_NONE,	   /* not a name of pg_catalog */
	BUILTIN_IMMUTABLE, /* a function of its arguments */
	BUILTIN_SETTINGS,  /* of its arguments and of settings of the session; the cache key holds those */
	BUILTIN_STABLE,	   /* reads clock, catalogs or session, changes nothing */
	BUILTIN_VOLATILE,  /* the same, and may differ from call to call */
	BUILTIN_INPUT, /* reads a text as a type that an argument names: a domain's CHECK may call anything */
	BUILTIN_SEQUENCE,
	BUILTIN_ADVISORY,  /* advisory locks of the session */
	BUILTIN_XACT_LOCK, /* advisory locks of the transaction */
	BUILTIN_SETTING,   /* set_config */
	BUILTIN_WRITES,
	BUILTIN_UNSAFE, /* anything else that is volatile, or runs text as SQL */
};

enum builtin_input {
	INPUT_PLAIN, /* a value's text form depends on the value and on settings, both ways */
	INPUT_CLOCK, /* the same, but its input knows 'now' and 'today' */
	INPUT_OTHER, /* depends on catalogs or the clock, or is no type for a column */
};

struct builtin_type {
	const char *name;
	uint32_t oid;
	uint32_t element; /* of an array, else 0 */
	uint32_t array;	  /* the type's array type, or 0 */
	enum builtin_input input;
};

enum builtin_class builtin_function(struct span name);
enum builtin_class builtin_operator(struct span name);
const struct builtin_type *builtin_type_name(struct span name);
const struct builtin_type *builtin_type_oid(uint32_t oid);
bool builtin_relation(struct span name);

#endif
