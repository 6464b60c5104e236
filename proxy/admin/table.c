#include "proxy/admin/table.h"

#include "proxy/admin/quote.h"
#include "proxy/base/check.h"
#include "protocol/write.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static const struct {
	uint32_t oid;
	uint16_t size;
} types[] = {[COLUMN_TEXT] = {25, UINT16_MAX},
	     [COLUMN_INT4] = {23, 4},
	     [COLUMN_INT8] = {20, 8},
	     [COLUMN_NUMERIC] = {1700, UINT16_MAX}};

unsigned column_count(const struct column *columns)
{
	unsigned n = 0;

	while (columns[n].name != NULL)
		n++;
	check(n <= TABLE_COLUMNS);
	return n;
}

void table_init(struct table *t, const struct column *columns)
{
	*t = (struct table){.columns = columns, .ncolumns = column_count(columns)};
	buf_init(&t->cells, TABLE_BYTES_MAX);
}

void table_free(struct table *t)
{
	buf_free(&t->cells);
}

static void put_u32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16);
	p[2] = (uint8_t)(v >> 8);
	p[3] = (uint8_t)v;
}

/* Names of clients can be any bytes; one that is no UTF-8 would make the whole table unreadable to drivers. */
static void cell(struct table *t, const char *value)
{
	size_t at = t->cells.len;

	buf_add_u32(&t->cells, UINT32_MAX);
	if (value != NULL)
		quote_text(&t->cells, value);
	if (value != NULL && !t->cells.failed)
		put_u32(t->cells.p + at, (uint32_t)(t->cells.len - at - 4));
	if (++t->ncells == t->ncolumns) {
		t->ncells = 0;
		t->nrows++;
	}
	t->failed = t->cells.failed;
}

void table_text(struct table *t, const char *value)
{
	cell(t, value);
}

void table_null(struct table *t)
{
	cell(t, NULL);
}

void table_printf(struct table *t, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	table_text(t, text);
}

void table_int(struct table *t, int64_t value)
{
	table_printf(t, "%" PRId64, value);
}

void table_unsigned(struct table *t, uint64_t value)
{
	table_printf(t, "%" PRIu64, value);
}

/* --- on the wire --- */

static uint16_t format_of(const struct formats *f, unsigned column)
{
	if (f == NULL || f->n == 0)
		return 0;
	return f->n == 1 ? f->code[0] : f->code[column];
}

void table_describe(struct buf *out, const struct column *columns, const struct formats *formats)
{
	unsigned n = column_count(columns);
	size_t mark = write_begin(out, 'T');

	buf_add_u16(out, (uint16_t)n);
	for (unsigned i = 0; i < n; i++) {
		buf_add_cstr(out, columns[i].name);
		buf_add_u32(out, 0); /* no table */
		buf_add_u16(out, 0);
		buf_add_u32(out, types[columns[i].type].oid);
		buf_add_u16(out, types[columns[i].type].size);
		buf_add_u32(out, UINT32_MAX); /* no modifier */
		buf_add_u16(out, format_of(formats, i));
	}
	write_end(out, mark);
}

/* A whole number as numeric: base-10000 digits, the most significant first. */
static void add_numeric(struct buf *out, int64_t value)
{
	uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
	uint16_t digits[8];
	uint16_t n = 0;

	for (; rest > 0; rest /= 10000)
		digits[n++] = (uint16_t)(rest % 10000);
	buf_add_u32(out, 8u + 2u * n);
	buf_add_u16(out, n);
	buf_add_u16(out, n > 0 ? (uint16_t)(n - 1) : 0); /* weight */
	buf_add_u16(out, value < 0 ? 0x4000 : 0);
	buf_add_u16(out, 0); /* scale */
	while (n > 0)
		buf_add_u16(out, digits[--n]);
}

static void add_binary(struct buf *out, enum column_type type, struct span text)
{
	char number[32] = "";
	int64_t value;

	if (type == COLUMN_TEXT) {
		buf_add_u32(out, (uint32_t)text.n);
		buf_add_span(out, text);
		return;
	}
	memcpy(number, text.p, text.n < sizeof number ? text.n : sizeof number - 1);
	value = strtoll(number, NULL, 10);
	switch (type) {
	case COLUMN_INT4:
		buf_add_u32(out, 4);
		buf_add_u32(out, (uint32_t)value);
		break;
	case COLUMN_INT8:
		buf_add_u32(out, 8);
		buf_add_u32(out, (uint32_t)((uint64_t)value >> 32));
		buf_add_u32(out, (uint32_t)value);
		break;
	default: add_numeric(out, value); break;
	}
}

static struct span next_cell(struct table *t)
{
	const uint8_t *p = t->cells.p + t->at;
	uint32_t n = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];

	t->at += 4;
	if (n == UINT32_MAX)
		return span_of(NULL, 0);
	t->at += n;
	return span_of(p + 4, n);
}

bool table_write(struct table *t, struct buf *out, const struct formats *formats, uint32_t max)
{
	for (uint32_t row = 0; t->at < t->cells.len && (max == 0 || row < max); row++) {
		size_t mark = write_begin(out, 'D');

		buf_add_u16(out, (uint16_t)t->ncolumns);
		for (unsigned i = 0; i < t->ncolumns; i++) {
			struct span v = next_cell(t);

			if (v.p == NULL) {
				buf_add_u32(out, UINT32_MAX);
			} else if (format_of(formats, i) == 0) {
				buf_add_u32(out, (uint32_t)v.n);
				buf_add_span(out, v);
			} else {
				add_binary(out, t->columns[i].type, v);
			}
		}
		write_end(out, mark);
	}
	return t->at >= t->cells.len;
}
