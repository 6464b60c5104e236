#include "proxy/cache/rows.h"

struct head {
	int16_t attnum;
	uint8_t binary, null;
	uint32_t n;
};

bool row_open(struct span bytes, struct row_reader *r)
{
	uint16_t n = 0;

	if (bytes.n >= sizeof(n))
		memcpy(&n, bytes.p, sizeof(n));
	*r = (struct row_reader){.rest = span_skip(bytes, bytes.n < sizeof(n) ? bytes.n : sizeof(n)),
				 .left = n == ROW_ABSENT ? 0 : n};
	return n != ROW_ABSENT;
}

bool row_next(struct row_reader *r, struct row_value *value_r)
{
	struct head head;

	if (r->left == 0)
		return false;
	memcpy(&head, r->rest.p, sizeof(head));
	*value_r = (struct row_value){.attnum = head.attnum,
				      .binary = head.binary != 0,
				      .null = head.null != 0,
				      .value = span_of(r->rest.p + sizeof(head), head.n)};
	r->rest = span_skip(r->rest, sizeof(head) + head.n);
	r->left--;
	return true;
}

int row_compare(const struct row_value *a, const struct row_value *b)
{
	return a->attnum != b->attnum ? (a->attnum < b->attnum ? -1 : 1) : (int)a->binary - (int)b->binary;
}

static void write_value(struct buf *out, const struct row_value *value)
{
	struct head head = {.attnum = value->attnum,
			    .binary = value->binary,
			    .null = value->null,
			    .n = value->null ? 0 : (uint32_t)value->value.n};

	buf_add(out, &head, sizeof(head));
	if (!value->null)
		buf_add_span(out, value->value);
}

bool row_write(struct buf *out, const struct row_value *values, unsigned n, struct span old)
{
	struct row_reader reader;
	struct row_value other;
	uint16_t count = 0, both = 0;
	size_t mark = out->len;
	unsigned i = 0;
	bool more = row_open(old, &reader) && row_next(&reader, &other);

	buf_add(out, &count, sizeof(count));
	while ((i < n || more) && count < ROW_VALUES_MAX) {
		int order = !more ? -1 : i == n ? 1 : row_compare(&values[i], &other);

		write_value(out, order > 0 ? &other : &values[i]);
		count++;
		both += order == 0;
		i += order <= 0;
		if (order >= 0)
			more = row_next(&reader, &other);
	}
	if (!out->failed)
		memcpy(out->p + mark, &count, sizeof(count));
	return both < n;
}

void row_write_absent(struct buf *out)
{
	uint16_t count = ROW_ABSENT;

	buf_add(out, &count, sizeof(count));
}
