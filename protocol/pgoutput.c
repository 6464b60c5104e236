#include "protocol/pgoutput.h"

#include "protocol/read.h"

static void bad(struct read *r, const char *why)
{
	if (r->why == NULL)
		r->why = why;
}

static struct pgoutput_value read_value(struct read *r)
{
	struct pgoutput_value value = {.state = PGOUTPUT_NULL};

	switch (read_u8(r)) {
	case 'n': break;
	case 'u': value.state = PGOUTPUT_UNCHANGED; break;
	case 't':
		value.state = PGOUTPUT_TEXT;
		value.value = read_bytes(r, read_u32(r));
		break;
	case 'b':
		value.state = PGOUTPUT_BINARY;
		value.value = read_bytes(r, read_u32(r));
		break;
	default: bad(r, "unknown kind of value"); break;
	}
	return value;
}

static struct pgoutput_column read_column(struct read *r)
{
	struct pgoutput_column column;

	column.key = (read_u8(r) & 1) != 0;
	column.name = read_cstr(r);
	column.type_oid = read_u32(r);
	column.type_mod = read_u32(r);
	return column;
}

/* The values of a tuple, without their count: the count is checked here and is theirs to the end. */
static struct span read_tuple(struct read *r)
{
	uint16_t n = read_u16(r);
	struct span all = r->left;

	for (uint16_t i = 0; i < n && r->why == NULL; i++)
		read_value(r);
	return r->why == NULL ? span_of(all.p, all.n - r->left.n) : span_of(NULL, 0);
}

static void read_relation(struct read *r, struct pgoutput *out)
{
	struct span all;

	out->oid = read_u32(r);
	out->schema = read_cstr(r);
	out->name = read_cstr(r);
	out->identity = (char)read_u8(r);
	out->ncolumns = read_u16(r);
	all = r->left;
	for (uint16_t i = 0; i < out->ncolumns && r->why == NULL; i++)
		read_column(r);
	if (r->why == NULL)
		out->columns = span_of(all.p, all.n - r->left.n);
}

/* INSERT: 'N'; DELETE: 'K' or 'O'; UPDATE: perhaps 'K' or 'O', then 'N'. */
static void read_change(struct read *r, struct pgoutput *out)
{
	char kind;

	out->oid = read_u32(r);
	kind = (char)read_u8(r);
	if (out->kind != PGOUTPUT_INSERT && (kind == 'K' || kind == 'O')) {
		out->old_kind = kind;
		out->old_tuple = read_tuple(r);
		if (out->kind == PGOUTPUT_DELETE)
			return;
		kind = (char)read_u8(r);
	}
	if (kind != 'N' || out->kind == PGOUTPUT_DELETE)
		bad(r, "unknown kind of tuple");
	out->new_tuple = read_tuple(r);
}

static void read_truncate(struct read *r, struct pgoutput *out)
{
	uint8_t flags;

	out->noids = read_u32(r);
	flags = read_u8(r);
	if (flags > 3)
		bad(r, "unknown flags of TRUNCATE");
	out->cascade = (flags & 1) != 0;
	out->restart_seqs = (flags & 2) != 0;
	if (r->left.n / 4 < out->noids)
		bad(r, "insufficient data left in message");
	out->oids = read_bytes(r, 4 * (size_t)out->noids);
}

static void read_boundary(struct read *r, struct pgoutput *out)
{
	if (out->kind == PGOUTPUT_COMMIT && read_u8(r) != 0)
		bad(r, "unknown flags of the commit");
	out->lsn = read_u64(r);
	if (out->kind == PGOUTPUT_COMMIT)
		out->end = read_u64(r);
	out->time_us = (int64_t)read_u64(r);
	if (out->kind == PGOUTPUT_BEGIN)
		out->xid = read_u32(r);
}

static void read_message(struct read *r, struct pgoutput *out)
{
	uint8_t flags = read_u8(r);

	if (flags > 1)
		bad(r, "unknown flags of the message");
	out->transactional = flags == 1;
	out->lsn = read_u64(r);
	out->prefix = read_cstr(r);
	out->content = read_bytes(r, read_u32(r));
}

static void read_record(struct read *r, struct pgoutput *out)
{
	switch (read_u8(r)) {
	case 'B':
		out->kind = PGOUTPUT_BEGIN;
		read_boundary(r, out);
		break;
	case 'C':
		out->kind = PGOUTPUT_COMMIT;
		read_boundary(r, out);
		break;
	case 'O':
		out->kind = PGOUTPUT_ORIGIN;
		out->lsn = read_u64(r);
		out->name = read_cstr(r);
		break;
	case 'R':
		out->kind = PGOUTPUT_RELATION;
		read_relation(r, out);
		break;
	case 'Y':
		out->kind = PGOUTPUT_TYPE;
		out->oid = read_u32(r);
		out->schema = read_cstr(r);
		out->name = read_cstr(r);
		break;
	case 'I':
		out->kind = PGOUTPUT_INSERT;
		read_change(r, out);
		break;
	case 'U':
		out->kind = PGOUTPUT_UPDATE;
		read_change(r, out);
		break;
	case 'D':
		out->kind = PGOUTPUT_DELETE;
		read_change(r, out);
		break;
	case 'T':
		out->kind = PGOUTPUT_TRUNCATE;
		read_truncate(r, out);
		break;
	case 'M':
		out->kind = PGOUTPUT_MESSAGE;
		read_message(r, out);
		break;
	default: bad(r, "unknown record"); break;
	}
}

int pgoutput_parse(struct span record, struct pgoutput *out_r, const char **why_r)
{
	struct read r = read_from(record);
	struct pgoutput out = {0};

	read_record(&r, &out);
	if (read_end(&r, why_r) != 0)
		return -1;
	*out_r = out;
	return 0;
}

int pgoutput_value_next(struct span tuple, size_t *at, struct pgoutput_value *out_r)
{
	struct read r;
	struct pgoutput_value value;

	if (*at >= tuple.n)
		return 0;
	r = read_from(span_skip(tuple, *at));
	value = read_value(&r);
	if (r.why != NULL)
		return -1;
	*at = tuple.n - r.left.n;
	*out_r = value;
	return 1;
}

int pgoutput_column_next(struct span columns, size_t *at, struct pgoutput_column *out_r)
{
	struct read r;
	struct pgoutput_column column;

	if (*at >= columns.n)
		return 0;
	r = read_from(span_skip(columns, *at));
	column = read_column(&r);
	if (r.why != NULL)
		return -1;
	*at = columns.n - r.left.n;
	*out_r = column;
	return 1;
}

uint32_t pgoutput_truncated(const struct pgoutput *p, uint32_t i)
{
	struct read r = read_from(span_skip(p->oids, 4 * (size_t)i));

	return read_u32(&r);
}
