#include "proxy/origin/published.h"

#include "proxy/base/map.h"

struct published_item {
	uint32_t relid;
	uint64_t
		token; /* of all catalog rows that make it published: when one was written, it may have been out for a while */
	uint64_t since; /* counts when all below have ended */
	bool counts;
	unsigned round;
	UT_hash_handle hh;
};

void published_init(struct published *p, const char *publication)
{
	*p = (struct published){.publication = publication};
}

void published_clear(struct published *p)
{
	struct published_item *item, *next;

	HASH_ITER (hh, p->items, item, next) {
		HASH_DEL(p->items, item);
		free(item);
	}
	free(p->parents);
	p->parents = NULL;
	p->nparents = 0;
	p->waiting = false;
}

static uint32_t oid_at(const PGresult *result, int row, int column)
{
	return (uint32_t)strtoul(PQgetvalue(result, row, column), NULL, 10);
}

static struct published_item *find(const struct published *p, uint32_t relid)
{
	struct published_item *item = NULL;

	HASH_FIND(hh, p->items, &relid, sizeof(relid), item);
	return item;
}

static void note_table(struct published *p, uint32_t relid, const char *token, const struct snapshot *s)
{
	uint64_t hash = XXH3_64bits(token, strlen(token));
	struct published_item *item = find(p, relid);

	if (item == NULL) {
		item = check_alloc(sizeof(*item));
		item->relid = relid;
		HASH_ADD(hh, p->items, relid, sizeof(item->relid), item);
	} else if (item->token == hash) {
		item->round = p->round;
		return;
	}
	item->token = hash;
	item->since = s->xmax;
	item->counts = false;
	item->round = p->round;
}

/* Relation 0 stands for the publication itself; its token says what is wrong with it. */
static int note_lists(struct published *p, const PGresult *lists, const struct snapshot *s, struct err *err)
{
	bool found = false;

	for (int i = 0; i < PQntuples(lists); i++) {
		uint32_t relid = oid_at(lists, i, 1);
		const char *token = PQgetvalue(lists, i, 2);

		if (strcmp(PQgetvalue(lists, i, 0), p->publication) != 0)
			continue;
		if (relid != 0) {
			note_table(p, relid, token, s);
			continue;
		}
		found = true;
		if (*token != '\0')
			return err_set(err, "publication \"%s\" %s", p->publication, token);
	}
	if (!found)
		return err_set(err, "publication \"%s\" does not exist: CREATE PUBLICATION it FOR TABLE ..",
			       p->publication);
	return 0;
}

static void forget_others(struct published *p)
{
	struct published_item *item, *next;

	HASH_ITER (hh, p->items, item, next) {
		if (item->round == p->round)
			continue;
		HASH_DEL(p->items, item);
		free(item);
	}
}

/* Sorted by OID. '\0' = none. */
static char kind_of(const PGresult *relations, uint32_t relid)
{
	int low = 0, high = PQntuples(relations);

	while (low < high) {
		int middle = low + (high - low) / 2;
		uint32_t here = oid_at(relations, middle, 0);

		if (here == relid)
			return *PQgetvalue(relations, middle, 3);
		if (here < relid)
			low = middle + 1;
		else
			high = middle;
	}
	return '\0';
}

static int compare_oid(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

/* Rows of (child, parent): who reads the parent reads the child. A partitioned table has no rows of its own. */
static void note_parents(struct published *p, const PGresult *relations, const PGresult *ancestors)
{
	int n = PQntuples(ancestors);

	free(p->parents);
	p->parents = check_alloc(((size_t)n + 1) * sizeof(*p->parents));
	p->nparents = 0;
	for (int i = 0; i < n; i++) {
		uint32_t child = oid_at(ancestors, i, 0);
		const struct published_item *item = find(p, child);
		char kind = kind_of(relations, child);

		if ((item == NULL || !item->counts) && kind != 'p' && kind != 'I' && kind != '\0')
			p->parents[p->nparents++] = oid_at(ancestors, i, 1);
	}
	qsort(p->parents, p->nparents, sizeof(*p->parents), compare_oid);
}

bool published_ripen(struct published *p, const struct snapshot *s)
{
	struct published_item *item, *next;
	bool more = false;

	p->waiting = false;
	HASH_ITER (hh, p->items, item, next) {
		if (item->counts)
			continue;
		item->counts = s->xmin >= item->since;
		more |= item->counts;
		p->waiting |= !item->counts;
	}
	return more;
}

int published_note(struct published *p, const PGresult *lists, const PGresult *relations,
		   const PGresult *ancestors, const struct snapshot *s, struct err *err)
{
	if (p->publication == NULL)
		return 0;
	p->round++;
	if (note_lists(p, lists, s, err) != 0)
		return -1;
	forget_others(p);
	published_ripen(p, s);
	note_parents(p, relations, ancestors);
	return 0;
}

bool published_has(const struct published *p, uint32_t relid, char kind)
{
	const struct published_item *item;

	if (p->publication == NULL)
		return true;
	item = find(p, relid);
	if (kind != 'p' && (item == NULL || !item->counts))
		return false;
	return p->nparents == 0 ||
	       bsearch(&relid, p->parents, p->nparents, sizeof(*p->parents), compare_oid) == NULL;
}
