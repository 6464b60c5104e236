#include "proxy/backend/expect.h"

#include <stdlib.h>

void expects_free(struct expects *q)
{
	free(q->at);
	*q = (struct expects){0};
}

int expect_grow(struct expects *q)
{
	uint32_t cap = q->cap ? q->cap * 2 : 16;
	struct expect *at;

	if (q->n >= EXPECT_MAX)
		return -1;
	at = malloc(cap * sizeof *at);
	if (at == NULL)
		return -1;
	for (uint32_t i = 0; i < q->n; i++)
		at[i] = q->at[(q->head + i) & (q->cap - 1)];
	free(q->at);
	q->at = at;
	q->cap = cap;
	q->head = 0;
	return 0;
}

void expect_hide(struct expects *q, uint32_t i, enum expect_why why)
{
	struct expect *e = expect_at(q, i);

	q->visible -= e->why == WHY_CLIENT;
	e->why = (uint8_t)why;
}

uint32_t expect_drop_syncs(struct expects *q)
{
	uint32_t kept = 0, dropped = 0;
	bool copying = true;

	for (uint32_t i = 0; i < q->n; i++) {
		struct expect e = *expect_at(q, i);

		if (e.kind == EXPECT_LOCAL && e.local == 0)
			copying = false;
		if (i > 0 && copying && e.kind == EXPECT_SYNC) {
			expect_count(q, &e, -1);
			dropped++;
		} else {
			*expect_at(q, kept++) = e;
		}
	}
	q->n = kept;
	return dropped;
}

void expect_skip_local(struct expects *q)
{
	struct expect *head;

	while ((head = expect_head(q)) != NULL && head->kind == EXPECT_LOCAL)
		expect_pop(q);
}
