/* catalog.h - an immutable picture of the database's tables, as far as reads.c needs it.
 * Source  pg_class, pg_attribute, pg_index, pg_inherits, pg_namespace, pg_type, pg_proc, pg_operator (origin/schema fills it).
 * Shape   built by one thread with catalog_add_*, then frozen and shared.
 * Owner   counted (atomic).
 * Thread  builder: one; frozen: any.
 * Errors  builders return -1 when memory is gone. */
#ifndef PROXY_SQL_CATALOG_H
#define PROXY_SQL_CATALOG_H

#include "protocol/span.h"

#include <stdatomic.h>

struct catalog;

struct catalog_column {
	int16_t attnum;
	const char *name;
	uint32_t type_oid;
	bool builtin_type; /* the type lives in pg_catalog */
	bool own_code; /* a type of users that is an enum, or read by immutable code in C, as types of extensions are; or an array of such */
	bool plain_equality; /* its equality is byte equality of datum_canon's form (collation deterministic), and changes show it */
	char generated; /* pg_attribute.attgenerated, 0 = not: 's' is stored; 'v' virtual: it changes with others of its row, unshown */
};

struct catalog_relation {
	uint32_t oid;
	const char *schema;
	const char *name;
	char kind;	       /* pg_class.relkind */
	char persistence;      /* pg_class.relpersistence */
	char replica_identity; /* pg_class.relreplident */
	bool row_security;
	bool has_children; /* rows of others are read with it that the feed may not tell of: a parent of plain inheritance, or
			      * one with partitions that are foreign or not permanent */
	bool has_rules; /* rewrite rules on SELECT can't be on tables; kept for completeness */
	bool writes_elsewhere; /* what writes to it may write to other tables: triggers, cascades, defaults that call functions of users */
	bool not_fed;	     /* the feed does not carry all of its changes, or its children's: never cached */
	uint16_t ngenerated; /* of its columns */
	uint16_t ncolumns;
	const struct catalog_column *columns; /* dropped ones left out, by attnum */
	uint16_t nkey;			      /* primary key columns; 0 = none */
	const int16_t *key;		      /* attnums in rising order */
	uint16_t nancestors;		      /* partition or inheritance parents, all levels */
	const uint32_t *ancestors;
};

struct catalog *catalog_new(void);
/* Copies everything it is given. */
int catalog_add_relation(struct catalog *c, const struct catalog_relation *rel);
/* Functions, operators or types of one name outside pg_catalog. */
enum catalog_users {
	CATALOG_NONE,
	CATALOG_OWN_CODE, /* all of them are immutable and in C (types: as `own_code`): whichever is meant is as good as a built-in one */
	CATALOG_USERS_CODE, /* or not */
};
/* A function or operator name that exists outside pg_catalog (so that a built-in of the same name may be shadowed). */
int catalog_add_user_function(struct catalog *c, const char *name, enum catalog_users users);
int catalog_add_user_operator(struct catalog *c, const char *name, enum catalog_users users);
int catalog_add_user_type(struct catalog *c, const char *name, enum catalog_users users);
/* Text that identifies the state (fingerprint), kept as is. */
int catalog_set_fingerprint(struct catalog *c, const char *text);
/* What is known of the code in the database (hooks.h); it counts with the settings, behind the fingerprint's own. */
int catalog_set_code(struct catalog *c, const char *text);
/* Does the stream tell of every change of this picture, in order with the rows? Else those that others make are found by the poll,
 * and nothing may be served as strict. A new one says yes. */
void catalog_set_strict(struct catalog *c, bool strict);
bool catalog_strict(const struct catalog *c);
/* May a cast or a comparison that no text shows run users' code? A new one says no. */
void catalog_set_casts(struct catalog *c, bool users);
bool catalog_users_casts(const struct catalog *c);
/* Is there an = of users that may be meant where neither side is of a type of users? A new one says no. */
void catalog_set_equal(struct catalog *c, bool users);
bool catalog_users_equal(const struct catalog *c);
void catalog_freeze(struct catalog *c);
/* A number that no other catalog of this process has; an address may be used again. */
uint64_t catalog_serial(const struct catalog *c);
struct catalog *catalog_ref(struct catalog *c);
void catalog_unref(struct catalog *c);

const struct catalog_relation *catalog_find(const struct catalog *c, struct span schema, struct span name);
const struct catalog_relation *catalog_find_oid(const struct catalog *c, uint32_t oid);
/* How many schemas have a relation of that name; *any_r = one of them. */
unsigned catalog_count_name(const struct catalog *c, struct span name, const struct catalog_relation **any_r);
enum catalog_users catalog_user_function(const struct catalog *c, struct span name);
enum catalog_users catalog_user_operator(const struct catalog *c, struct span name);
enum catalog_users catalog_user_type(const struct catalog *c, struct span name);
/* Is this a type of users with `own_code`, as some column has it? */
bool catalog_own_code(const struct catalog *c, uint32_t oid);
/* Is the input of all these types (0 = not said) PostgreSQL's own code, or as good? So it is of those with `own_code`; another type of users
 * may be a domain, or have one in it, whose CHECK may call anything. */
bool catalog_own_input(const struct catalog *c, const uint32_t *oids, uint16_t noids);
const char *catalog_fingerprint(const struct catalog *c);
/* Its part that stands for what gives sessions their settings when they begin, and the code; "" when there is none. */
const char *catalog_settings_fingerprint(const struct catalog *c);
const struct catalog_column *catalog_column(const struct catalog_relation *rel, struct span name);
/* The column with that number, or NULL. */
const struct catalog_column *catalog_column_at(const struct catalog_relation *rel, int16_t attnum);
/* It is of a type of users, and not one with `own_code`. */
bool catalog_column_of_users(const struct catalog_column *column);
bool catalog_has_column_of_users(const struct catalog_relation *rel);
size_t catalog_relations(const struct catalog *c);

#endif
