#include "tests/unit/net/end.h"

#include "tests/support/test.h"

#include <stdio.h>
#include <stdlib.h>

/* No period that a buffer size could hide. */
static uint8_t pattern_at(size_t i)
{
	return (uint8_t)(i * 31 + i / 251);
}

static void pattern_fill(uint8_t *p, size_t from, size_t n)
{
	for (size_t i = 0; i < n; i++)
		p[i] = pattern_at(from + i);
}

void end_send_pattern(struct end *e, size_t n)
{
	uint8_t *p = malloc(n);

	pattern_fill(p, e->produced, n);
	conn_send(e->c, p, n);
	e->produced += n;
	free(p);
}

static void end_more(struct end *e)
{
	while (e->to_produce > 0 && !conn_full(e->c)) {
		size_t n = e->to_produce < 30000 ? e->to_produce : 30000;

		end_send_pattern(e, n);
		e->to_produce -= n;
		if (conn_pending(e->c) > e->max_pending)
			e->max_pending = conn_pending(e->c);
	}
}

void end_produce(struct end *e, size_t n)
{
	e->to_produce = n;
	end_more(e);
}

static bool end_frees(struct end *e, int when)
{
	if (e->free_when != when)
		return false;
	conn_free(&e->c);
	e->freed = true;
	return true;
}

void end_take(struct end *e)
{
	struct span in = conn_input(e->c);

	if (e->record != 0)
		in.n -= e->record > in.n ? in.n : in.n % e->record;
	if (e->keep)
		buf_add_span(&e->got, in);
	if (e->echo)
		conn_send(e->c, in.p, in.n);
	for (size_t i = 0; !e->keep && !e->echo && i < in.n; i++)
		e->in_order &= in.p[i] == pattern_at(e->total + i);
	e->total += in.n;
	conn_consume(e->c, in.n);
}

static void end_on_input(void *owner)
{
	struct end *e = owner;

	EXPECT(!e->freed);
	e->inputs++;
	EXPECT(conn_input(e->c).n > 0);
	if (!end_frees(e, FREE_ON_INPUT))
		end_take(e);
}

static void end_on_output(void *owner)
{
	struct end *e = owner;

	EXPECT(!e->freed);
	e->outputs++;
	EXPECT(conn_pending(e->c) <= CONN_LOW_MARK || e->outputs == 1);
	if (!end_frees(e, FREE_ON_OUTPUT))
		end_more(e);
}

static void end_on_closed(void *owner, const struct err *err)
{
	struct end *e = owner;

	EXPECT(!e->freed);
	e->closes++;
	e->closed = true;
	snprintf(e->why, sizeof(e->why), "%s", err->text);
	end_frees(e, FREE_ON_CLOSED);
}

static void end_on_tls(void *owner)
{
	struct end *e = owner;

	e->shakes++;
	e->shaken = true;
}

static const struct conn_ops end_ops = {end_on_input, end_on_output, end_on_closed, end_on_tls};

void end_start(struct end *e, struct loop *l, int fd)
{
	e->in_order = true;
	buf_init(&e->got, 256 << 20);
	e->c = conn_new(l, fd, &end_ops, e);
	REQUIRE(e->c != NULL);
}

void end_attach(struct end *e, struct loop *l, struct conn *c)
{
	e->c = c;
	conn_attach(c, l, &end_ops, e);
}

void end_stop(struct end *e)
{
	conn_free(&e->c);
	buf_free(&e->got);
}

struct span end_got(const struct end *e)
{
	return buf_span(&e->got);
}

bool end_has_want(void *end)
{
	struct end *e = end;

	return e->total >= e->want;
}

bool end_has_seen(void *end)
{
	struct end *e = end;

	return e->total + conn_input(e->c).n >= e->want_seen;
}
