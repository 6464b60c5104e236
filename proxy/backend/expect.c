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

static bool ends_copy(const struct expect *e)
{
	return e->kind == EXPECT_LOCAL && e->local == 0;
}

uint32_t expect_doubt_syncs(struct expects *q, bool *done_r)
{
	uint32_t n = 0;

	*done_r = false;
	for (uint32_t i = 1; i < q->n && !*done_r; i++) {
		struct expect *e = expect_at(q, i);

		*done_r = ends_copy(e);
		if (e->kind == EXPECT_SYNC && e->why == WHY_CLIENT) {
			e->doubtful = true;
			e->index = 1;
			n++;
		}
	}
	return n;
}

void expect_copy_done(struct expects *q)
{
	uint32_t kept = 0;
	bool copying = true;

	for (uint32_t i = 0; i < q->n; i++) {
		struct expect e = *expect_at(q, i);
		bool goes = i > 0 && copying && (e.doubtful || ends_copy(&e));

		copying &= i == 0 || !ends_copy(&e);
		if (goes)
			expect_count(q, &e, -1);
		else
			*expect_at(q, kept++) = e;
	}
	q->n = kept;
}

void expect_drop_doubtful(struct expects *q)
{
	struct expect *head;

	while ((head = expect_head(q)) != NULL && (head->doubtful || ends_copy(head)))
		expect_pop(q);
}

void expect_skip_local(struct expects *q)
{
	struct expect *head;

	while ((head = expect_head(q)) != NULL && head->kind == EXPECT_LOCAL)
		expect_pop(q);
}
