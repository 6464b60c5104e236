#include "proxy/cache/evict.h"

#include <stdlib.h>

void evict_init(struct evict *ev)
{
	*ev = (struct evict){0};
	ring_init(&ev->small);
	ring_init(&ev->main);
}

struct ghost *evict_ghosts(struct evict *ev, struct ghost *ghosts, uint32_t n)
{
	struct ghost *old = ev->ghosts;

	ev->ghosts = ghosts;
	ev->ghost_mask = n - 1;
	return old;
}

static uint32_t mark_of(const struct entry *entry)
{
	return (uint32_t)(entry->hash.high64 >> 32) | 1; /* 0 = empty */
}

static struct ghost *ghost_of(const struct evict *ev, const struct entry *entry)
{
	return ev->ghosts == NULL ? NULL : &ev->ghosts[entry->hash.high64 & ev->ghost_mask];
}

void evict_trace(struct evict *ev, const struct entry *entry)
{
	struct ghost *ghost = ghost_of(ev, entry);

	if (ghost != NULL)
		*ghost = (struct ghost){.mark = mark_of(entry), .when = ev->clock++};
}

/* Traces count for as long as the main queue is. */
static bool came_back(struct evict *ev, const struct entry *entry)
{
	struct ghost *ghost = ghost_of(ev, entry);

	if (ghost == NULL || ghost->mark != mark_of(entry))
		return false;
	ghost->mark = 0;
	return ev->clock - ghost->when <= ev->nmain + 1;
}

/* Newest at the end. */
static void enqueue(struct evict *ev, struct entry *entry, bool in_main)
{
	entry->in_main = in_main;
	if (in_main) {
		ring_add(&ev->main, &entry->node);
		ev->main_bytes += entry->cost;
		ev->nmain++;
	} else {
		ring_add(&ev->small, &entry->node);
		ev->small_bytes += entry->cost;
	}
}

void evict_remove(struct evict *ev, struct entry *entry)
{
	ring_remove(&entry->node);
	if (entry->in_main) {
		ev->main_bytes -= entry->cost;
		ev->nmain--;
	} else {
		ev->small_bytes -= entry->cost;
	}
}

void evict_add(struct evict *ev, struct entry *entry)
{
	enqueue(ev, entry, came_back(ev, entry));
}

static struct entry *oldest(const struct ring *queue)
{
	struct ring *node = ring_first(queue);

	return node == NULL ? NULL : ring_item(node, struct entry, node);
}

static void requeue(struct evict *ev, struct entry *entry, uint8_t freq)
{
	evict_remove(ev, entry);
	enqueue(ev, entry, true);
	entry->freq = freq;
}

/* Ends: each round through the main queue lowers freq, and who left the small queue does not come back to it. */
struct entry *evict_victim(struct evict *ev, const struct versions *v)
{
	for (;;) {
		struct entry *small = oldest(&ev->small), *main = oldest(&ev->main);

		if (small == NULL && main == NULL)
			return NULL;
		if (main == NULL ||
		    (small != NULL && ev->small_bytes >= (ev->small_bytes + ev->main_bytes) / 10)) {
			if (small->freq <= 1 || !entry_alive(small, v))
				return small;
			requeue(ev, small, 0);
		} else {
			if (main->freq == 0 || !entry_alive(main, v))
				return main;
			requeue(ev, main, main->freq - 1);
		}
	}
}
