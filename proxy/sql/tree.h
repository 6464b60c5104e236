/* tree.h - a parse tree in memory, and a walk over all of it.
 * Source  libpg_query's protobuf form of PostgreSQL 15's raw parse tree.
 * Shape   one arena per tree; the walk goes by protobuf-c's own descriptors, so that no field and no kind of
 *         node can be forgotten.
 * Owner   the caller; tree_free releases everything at once.
 * Thread  one at a time.
 * Errors  NULL when the bytes are not a tree or memory is gone. */
#ifndef PROXY_SQL_TREE_H
#define PROXY_SQL_TREE_H

#include "protocol/span.h"
#include "proxy/sql/arena.h"

#include <pg_query/pg_query.pb-c.h>

struct tree {
	PgQuery__ParseResult *root; /* in the arena */
	struct arena arena;
};

struct tree *tree_unpack(struct span packed);
void tree_free(struct tree **t);

enum tree_step {
	TREE_ON,   /* into its fields */
	TREE_SKIP, /* not into its fields */
	TREE_STOP, /* the walk is over */
};

typedef enum tree_step (*tree_visit)(const ProtobufCMessage *msg, void *arg);

/* Calls `visit` for `msg` and for every message below it, but not for the Node wrappers. False when it was
 * stopped. NULL is an empty tree. */
bool tree_walk(const ProtobufCMessage *msg, tree_visit visit, void *arg);

/* The message inside a Node, or NULL. */
const ProtobufCMessage *tree_inner(const PgQuery__Node *node);

#define tree_is(msg, descriptor_) ((msg)->descriptor == &pg_query__##descriptor_##__descriptor)

/* The text of a String node; an empty span for anything else. */
struct span tree_string(const PgQuery__Node *node);

/* The text of a string constant, looking through one cast; NULL for anything else. */
const char *tree_const_text(const PgQuery__Node *node);

/* A name of one part, or of two when the first is pg_catalog: its last part. Else an empty span. */
struct span tree_catalog_name(PgQuery__Node *const *parts, size_t n);

#endif
