#include "proxy/admin/round.h"

#include "proxy/base/check.h"

#include <stdlib.h>

static void round_part_free(struct round_part *p)
{
	socket_rows_free(&p->rows);
	buf_free(&p->text);
}

static char *copy(const char *text)
{
	char *own = text != NULL ? strdup(text) : NULL;

	check(text == NULL || own != NULL);
	return own;
}

static void round_free(void *arg)
{
	struct round *r = arg;

	timer_free(&r->limit);
	for (unsigned i = 0; i < r->nparts; i++)
		round_part_free(&r->parts[i]);
	free(r->text);
	free(r->user);
	free(r->database);
	free(r);
}

static void tell(struct round *r)
{
	void (*done)(struct round * r, void *arg) = r->done;

	r->done = NULL;
	timer_cancel(&r->limit);
	r->missing = r->left;
	if (done != NULL)
		done(r, r->arg);
}

/* In the console's loop. */
static void part_back(struct mail *mail, void *ctx)
{
	struct round_part *p = ring_item(mail, struct round_part, mail);
	struct round *r = p->round;

	(void)ctx;
	p->back = true;
	if (--r->left > 0)
		return;
	tell(r);
	round_free(r);
}

/* In the worker. */
static void part_work(struct mail *mail, void *ctx)
{
	struct round_part *p = ring_item(mail, struct round_part, mail);

	(void)ctx;
	p->round->order.work(p->house, &p->round->order, p);
	p->mail.run = part_back;
	loop_post(p->round->loop, &p->mail);
}

static void limit(void *arg)
{
	tell(arg);
}

struct round *round_start(const struct console_parts *parts, const struct round_order *order,
			  void (*done)(struct round *r, void *arg), void *arg)
{
	struct round *r = check_alloc(sizeof *r + parts->nhouses * sizeof r->parts[0]);

	r->loop = parts->loop;
	r->order = *order;
	r->order.text = r->text = copy(order->text);
	r->order.user = r->user = copy(order->user);
	r->order.database = r->database = copy(order->database);
	r->done = done;
	r->arg = arg;
	r->nparts = r->left = parts->nhouses;
	timer_init(&r->limit, limit, r);
	timer_set(r->loop, &r->limit, ROUND_US);
	for (unsigned i = 0; i < r->nparts; i++) {
		struct round_part *p = &r->parts[i];

		p->round = r;
		p->house = parts->houses[i];
		p->rows.max = SIZE_MAX;
		buf_init(&p->text, ROUND_TEXT);
		p->mail.run = part_work;
		loop_post(p->house->host.loop, &p->mail);
	}
	return r;
}

void round_abandon(struct round *r)
{
	r->done = NULL;
}

uint64_t round_number(const struct round *r)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < r->nparts; i++)
		if (r->parts[i].back)
			n += r->parts[i].number;
	return n;
}
