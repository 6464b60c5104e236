#include "protocol/snapshot.h"

#include <stdlib.h>

/* Decimal digits up to something else; false when there are none or they overflow. */
static bool number(struct span text, size_t *at, uint64_t *v_r)
{
	size_t from = *at;
	uint64_t v = 0;

	for (; *at < text.n && text.p[*at] >= '0' && text.p[*at] <= '9'; ++*at) {
		unsigned digit = text.p[*at] - '0';

		if (v > (UINT64_MAX - digit) / 10)
			return false;
		v = v * 10 + digit;
	}
	*v_r = v;
	return *at > from;
}

static bool expect(struct span text, size_t *at, char c)
{
	if (*at >= text.n || text.p[*at] != (uint8_t)c)
		return false;
	++*at;
	return true;
}

/* The running transactions from `at` to the end of the text: ascending, within [xmin, xmax). */
static bool parse_xip(struct span text, size_t at, struct snapshot *s)
{
	uint64_t previous = 0, xid;

	while (at < text.n) {
		if (s->nxip > 0 && !expect(text, &at, ','))
			return false;
		if (!number(text, &at, &xid) || xid < s->xmin || xid >= s->xmax ||
		    (s->nxip > 0 && xid <= previous))
			return false;
		s->xip[s->nxip++] = previous = xid;
	}
	return true;
}

int snapshot_parse(struct span text, struct snapshot *out_r)
{
	struct snapshot out = {0};
	size_t at = 0, room = 1;

	if (!number(text, &at, &out.xmin) || !expect(text, &at, ':') || !number(text, &at, &out.xmax) ||
	    !expect(text, &at, ':') || out.xmin == 0 || out.xmin > out.xmax)
		return -1;
	if (at < text.n) {
		for (size_t i = at; i < text.n; i++)
			room += text.p[i] == ',';
		if (room > SNAPSHOT_XIP_MAX)
			return -1;
		out.xip = malloc(room * sizeof(*out.xip));
		if (out.xip == NULL)
			return -1;
		if (!parse_xip(text, at, &out)) {
			free(out.xip);
			return -1;
		}
	}
	*out_r = out;
	return 0;
}

int snapshot_copy(const struct snapshot *from, struct snapshot *out_r)
{
	struct snapshot out = *from;

	if (from->nxip > 0) {
		out.xip = malloc(from->nxip * sizeof(*out.xip));
		if (out.xip == NULL)
			return -1;
		memcpy(out.xip, from->xip, from->nxip * sizeof(*out.xip));
	}
	*out_r = out;
	return 0;
}

void snapshot_free(struct snapshot *s)
{
	free(s->xip);
	*s = (struct snapshot){0};
}

uint64_t snapshot_extend(const struct snapshot *s, uint32_t xid32)
{
	/* Live xids never lie further apart than 2^31, so the signed difference of the low halves is
	 * the true one. A result below zero wraps to "far in the future", that is: not completed. */
	return s->xmax + (uint64_t)(int64_t)(int32_t)(xid32 - (uint32_t)s->xmax);
}

bool snapshot_completed_full(const struct snapshot *s, uint64_t xid)
{
	uint32_t low = 0, high = s->nxip;

	if (xid < s->xmin)
		return true;
	if (xid >= s->xmax)
		return false;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (s->xip[middle] == xid)
			return false;
		if (s->xip[middle] < xid)
			low = middle + 1;
		else
			high = middle;
	}
	return true;
}

bool snapshot_completed(const struct snapshot *s, uint32_t xid32)
{
	return snapshot_completed_full(s, snapshot_extend(s, xid32));
}
