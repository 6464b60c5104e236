/* ring.h - intrusive doubly linked list.
 * Source  none.
 * Shape   a head whose next/prev point to itself when empty; nodes live inside their objects.
 * Owner   the objects; the list owns nothing.
 * Thread  one at a time.
 * Errors  none. */
#ifndef PROXY_BASE_RING_H
#define PROXY_BASE_RING_H

#include <stdbool.h>
#include <stddef.h>

struct ring {
	struct ring *next;
	struct ring *prev;
};

#define ring_item(node, type, member) ((type *)(void *)((char *)(node)-offsetof(type, member)))

static inline void ring_init(struct ring *l)
{
	l->next = l->prev = l;
}

static inline bool ring_empty(const struct ring *l)
{
	return l->next == l;
}

static inline void ring_insert_before(struct ring *at, struct ring *node)
{
	node->prev = at->prev;
	node->next = at;
	at->prev->next = node;
	at->prev = node;
}

/* At the tail. */
static inline void ring_add(struct ring *head, struct ring *node)
{
	ring_insert_before(head, node);
}

/* At the front. */
static inline void ring_push(struct ring *head, struct ring *node)
{
	ring_insert_before(head->next, node);
}

/* Leaves the node alone in its own ring, so that a second removal is harmless. */
static inline void ring_remove(struct ring *node)
{
	node->prev->next = node->next;
	node->next->prev = node->prev;
	ring_init(node);
}

/* All of `from` to the tail of `to`. */
static inline void ring_splice(struct ring *to, struct ring *from)
{
	if (ring_empty(from))
		return;
	from->next->prev = to->prev;
	to->prev->next = from->next;
	from->prev->next = to;
	to->prev = from->prev;
	ring_init(from);
}

static inline struct ring *ring_last(const struct ring *head)
{
	return ring_empty(head) ? NULL : head->prev;
}

static inline struct ring *ring_first(const struct ring *head)
{
	return head->next == head ? NULL : head->next;
}

#define ring_each(it, head) for (struct ring *it = (head)->next; it != (head); it = it->next)
/* Safe against removal of the current node. */
#define ring_each_safe(it, head)                                                  \
	for (struct ring *it = (head)->next, *it##_next = it->next; it != (head); \
	     it = it##_next, it##_next = it->next)

#endif
