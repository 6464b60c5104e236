#include "proxy/sql/tree.h"

#include <stdlib.h>

/* A text of FACTS_TEXT_MAX bytes makes a tree of at most a few hundred bytes per byte. */
#define TREE_BYTES_MAX (256u * 1024u * 1024u)

static void *arena_alloc_cb(void *arena, size_t n)
{
	return arena_get(arena, n);
}

static void arena_free_cb(void *arena, void *p)
{
	(void)arena;
	(void)p;
}

struct tree *tree_unpack(struct span packed)
{
	struct tree *t = malloc(sizeof(*t));
	ProtobufCAllocator allocator = {.alloc = arena_alloc_cb, .free = arena_free_cb};

	if (t == NULL)
		return NULL;
	arena_init(&t->arena, 8192, TREE_BYTES_MAX);
	allocator.allocator_data = &t->arena;
	t->root = pg_query__parse_result__unpack(&allocator, packed.n, packed.p);
	if (t->root == NULL)
		tree_free(&t);
	return t;
}

void tree_free(struct tree **t)
{
	if (*t == NULL)
		return;
	arena_free(&(*t)->arena);
	free(*t);
	*t = NULL;
}

/* protobuf-c keeps a oneof's number where a repeated field keeps its count. */
static const ProtobufCMessage *member(const ProtobufCMessage *msg, const ProtobufCFieldDescriptor *field)
{
	const uint8_t *base = (const uint8_t *)msg;

	if ((field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0 &&
	    *(const uint32_t *)(const void *)(base + field->quantifier_offset) != field->id)
		return NULL;
	return *(const ProtobufCMessage *const *)(const void *)(base + field->offset);
}

const ProtobufCMessage *tree_inner(const PgQuery__Node *node)
{
	const ProtobufCFieldDescriptor *field;

	if (node == NULL || node->node_case == PG_QUERY__NODE__NODE__NOT_SET)
		return NULL;
	field = protobuf_c_message_descriptor_get_field(node->base.descriptor, (unsigned)node->node_case);
	return field == NULL ? NULL : member(&node->base, field);
}

static bool walk_fields(const ProtobufCMessage *msg, tree_visit visit, void *arg)
{
	const uint8_t *base = (const uint8_t *)msg;

	for (unsigned i = 0; i < msg->descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *field = &msg->descriptor->fields[i];

		if (field->type != PROTOBUF_C_TYPE_MESSAGE)
			continue;
		if (field->label == PROTOBUF_C_LABEL_REPEATED) {
			size_t n = *(const size_t *)(const void *)(base + field->quantifier_offset);
			ProtobufCMessage *const *items =
				*(ProtobufCMessage *const *const *)(const void *)(base + field->offset);

			for (size_t k = 0; k < n; k++)
				if (!tree_walk(items[k], visit, arg))
					return false;
		} else if (!tree_walk(member(msg, field), visit, arg)) {
			return false;
		}
	}
	return true;
}

bool tree_walk(const ProtobufCMessage *msg, tree_visit visit, void *arg)
{
	/* A Node has a field for each of 240 kinds; look only at the one that is there. */
	if (msg != NULL && tree_is(msg, node))
		msg = tree_inner((const PgQuery__Node *)(const void *)msg);
	if (msg == NULL)
		return true;
	switch (visit(msg, arg)) {
	case TREE_ON: return walk_fields(msg, visit, arg);
	case TREE_SKIP: return true;
	case TREE_STOP: return false;
	}
	return false;
}

struct span tree_string(const PgQuery__Node *node)
{
	if (node == NULL || node->node_case != PG_QUERY__NODE__NODE_STRING)
		return span_of(NULL, 0);
	return span_str(node->string->sval);
}

const char *tree_const_text(const PgQuery__Node *node)
{
	if (node != NULL && node->node_case == PG_QUERY__NODE__NODE_TYPE_CAST)
		node = node->type_cast->arg;
	if (node == NULL || node->node_case != PG_QUERY__NODE__NODE_A_CONST ||
	    node->a_const->val_case != PG_QUERY__A__CONST__VAL_SVAL)
		return NULL;
	return node->a_const->sval->sval;
}

struct span tree_catalog_name(PgQuery__Node *const *parts, size_t n)
{
	if (n == 1 || (n == 2 && span_eq(tree_string(parts[0]), span_str("pg_catalog"))))
		return tree_string(parts[n - 1]);
	return span_of(NULL, 0);
}
