#include "protocol/write.h"

#define WIRE_NULL UINT32_MAX

size_t write_begin(struct buf *b, char type)
{
	size_t mark;

	buf_add_u8(b, (uint8_t)type);
	mark = b->len;
	buf_add_u32(b, 0);
	return mark;
}

/* Packets without a type byte start here. */
static size_t write_begin_bare(struct buf *b)
{
	size_t mark = b->len;

	buf_add_u32(b, 0);
	return mark;
}

void write_end(struct buf *b, size_t mark)
{
	size_t length;

	if (b->failed)
		return;
	length = b->len - mark;
	if (length > INT32_MAX) {
		b->failed = true;
		return;
	}
	for (int i = 0; i < 4; i++)
		b->p[mark + (size_t)i] = (uint8_t)(length >> (24 - 8 * i));
}

/* A span as a C string; one with a NUL inside would end early on the other side and shift all that
 * follows, so it fails the buffer. */
static void write_string(struct buf *b, struct span s)
{
	if (s.n > 0 && memchr(s.p, 0, s.n) != NULL)
		b->failed = true;
	buf_add_span(b, s);
	buf_add_u8(b, 0);
}

static void write_value(struct buf *b, struct span s)
{
	if (s.p == NULL) {
		buf_add_u32(b, WIRE_NULL);
		return;
	}
	if (s.n > INT32_MAX)
		b->failed = true;
	buf_add_u32(b, (uint32_t)s.n);
	buf_add_span(b, s);
}

static void write_empty(struct buf *b, char type)
{
	write_end(b, write_begin(b, type));
}

void write_auth(struct buf *b, uint32_t code, struct span rest)
{
	size_t mark = write_begin(b, 'R');

	buf_add_u32(b, code);
	buf_add_span(b, rest);
	write_end(b, mark);
}

void write_param_status(struct buf *b, struct span name, struct span value)
{
	size_t mark = write_begin(b, 'S');

	write_string(b, name);
	write_string(b, value);
	write_end(b, mark);
}

void write_backend_key(struct buf *b, uint32_t pid, struct span secret)
{
	size_t mark = write_begin(b, 'K');

	buf_add_u32(b, pid);
	buf_add_span(b, secret);
	write_end(b, mark);
}

void write_negotiate(struct buf *b, uint32_t minor, const struct span *unknown, size_t nunknown)
{
	size_t mark = write_begin(b, 'v');

	/* The manual says "minor", but servers send and libpq expects the whole version number. */
	buf_add_u32(b, 0x00030000u | minor);
	buf_add_u32(b, (uint32_t)nunknown);
	for (size_t i = 0; i < nunknown; i++)
		write_string(b, unknown[i]);
	write_end(b, mark);
}

void write_ready(struct buf *b, char status)
{
	uint8_t message[6] = {'Z', 0, 0, 0, 5, (uint8_t)status};

	buf_add(b, message, sizeof(message));
}

void write_complete(struct buf *b, const char *tag)
{
	size_t mark = write_begin(b, 'C');

	buf_add_cstr(b, tag);
	write_end(b, mark);
}

void write_parse_complete(struct buf *b)
{
	write_empty(b, '1');
}

void write_bind_complete(struct buf *b)
{
	write_empty(b, '2');
}

void write_close_complete(struct buf *b)
{
	write_empty(b, '3');
}

void write_no_data(struct buf *b)
{
	write_empty(b, 'n');
}

void write_empty_query(struct buf *b)
{
	write_empty(b, 'I');
}

void write_param_description(struct buf *b, const uint32_t *oids, uint16_t n)
{
	size_t mark = write_begin(b, 't');

	buf_add_u16(b, n);
	for (uint16_t i = 0; i < n; i++)
		buf_add_u32(b, oids[i]);
	write_end(b, mark);
}

/* pg_type.typlen of the types that we say ourselves. */
static uint16_t type_len(uint32_t oid)
{
	switch (oid) {
	case 16: return 1;
	case 21: return 2;
	case 23:
	case 26: return 4;
	case 20:
	case 701: return 8;
	default: return UINT16_MAX; /* -1, varying */
	}
}

void write_row_description(struct buf *b, const struct span *names, const uint32_t *type_oids, uint16_t n)
{
	size_t mark = write_begin(b, 'T');

	buf_add_u16(b, n);
	for (uint16_t i = 0; i < n; i++) {
		write_string(b, names[i]);
		buf_add_u32(b, 0); /* no table */
		buf_add_u16(b, 0);
		buf_add_u32(b, type_oids[i]);
		buf_add_u16(b, type_len(type_oids[i]));
		buf_add_u32(b, UINT32_MAX); /* no modifier */
		buf_add_u16(b, 0);
	}
	write_end(b, mark);
}

void write_data_row(struct buf *b, const struct span *values, uint16_t n)
{
	size_t mark = write_begin(b, 'D');

	buf_add_u16(b, n);
	for (uint16_t i = 0; i < n; i++)
		write_value(b, values[i]);
	write_end(b, mark);
}

static void write_field(struct buf *b, char code, const char *text)
{
	if (text == NULL)
		return;
	buf_add_u8(b, (uint8_t)code);
	buf_add_cstr(b, text);
}

void write_error(struct buf *b, char type, const char *severity, const char *sqlstate, const char *message,
		 const char *detail, const char *hint)
{
	size_t mark = write_begin(b, type);

	write_field(b, 'S', severity);
	write_field(b, 'V', severity);
	write_field(b, 'C', sqlstate);
	write_field(b, 'M', message);
	write_field(b, 'D', detail);
	write_field(b, 'H', hint);
	buf_add_u8(b, 0);
	write_end(b, mark);
}

void write_notification(struct buf *b, uint32_t pid, struct span channel, struct span payload)
{
	size_t mark = write_begin(b, 'A');

	buf_add_u32(b, pid);
	write_string(b, channel);
	write_string(b, payload);
	write_end(b, mark);
}

void write_startup(struct buf *b, uint32_t version, const struct span *pairs, size_t npairs_times_two)
{
	size_t mark = write_begin_bare(b);

	buf_add_u32(b, version);
	for (size_t i = 0; i < npairs_times_two; i++)
		write_string(b, pairs[i]);
	buf_add_u8(b, 0);
	write_end(b, mark);
}

void write_ssl_request(struct buf *b)
{
	buf_add_u32(b, 8);
	buf_add_u32(b, 80877103);
}

void write_cancel(struct buf *b, uint32_t pid, struct span secret)
{
	size_t mark = write_begin_bare(b);

	buf_add_u32(b, 80877102);
	buf_add_u32(b, pid);
	buf_add_span(b, secret);
	write_end(b, mark);
}

void write_password(struct buf *b, struct span text)
{
	size_t mark = write_begin(b, 'p');

	write_string(b, text);
	write_end(b, mark);
}

void write_sasl_initial(struct buf *b, const char *mechanism, struct span data)
{
	size_t mark = write_begin(b, 'p');

	buf_add_cstr(b, mechanism);
	write_value(b, data);
	write_end(b, mark);
}

void write_sasl_response(struct buf *b, struct span data)
{
	size_t mark = write_begin(b, 'p');

	buf_add_span(b, data);
	write_end(b, mark);
}

void write_query(struct buf *b, struct span text)
{
	size_t mark = write_begin(b, 'Q');

	write_string(b, text);
	write_end(b, mark);
}

void write_parse(struct buf *b, struct span name, struct span query, const uint32_t *oids, uint16_t n)
{
	size_t mark = write_begin(b, 'P');

	write_string(b, name);
	write_string(b, query);
	buf_add_u16(b, n);
	for (uint16_t i = 0; i < n; i++)
		buf_add_u32(b, oids[i]);
	write_end(b, mark);
}

void write_bind_text(struct buf *b, struct span portal, struct span stmt, const struct span *values,
		     uint16_t n)
{
	size_t mark = write_begin(b, 'B');

	write_string(b, portal);
	write_string(b, stmt);
	buf_add_u16(b, 0);
	buf_add_u16(b, n);
	for (uint16_t i = 0; i < n; i++)
		write_value(b, values[i]);
	buf_add_u16(b, 0);
	write_end(b, mark);
}

static void write_target(struct buf *b, char type, char kind, struct span name)
{
	size_t mark = write_begin(b, type);

	buf_add_u8(b, (uint8_t)kind);
	write_string(b, name);
	write_end(b, mark);
}

void write_describe(struct buf *b, char kind, struct span name)
{
	write_target(b, 'D', kind, name);
}

void write_execute(struct buf *b, struct span portal, uint32_t max_rows)
{
	size_t mark = write_begin(b, 'E');

	write_string(b, portal);
	buf_add_u32(b, max_rows);
	write_end(b, mark);
}

void write_close(struct buf *b, char kind, struct span name)
{
	write_target(b, 'C', kind, name);
}

void write_sync(struct buf *b)
{
	write_empty(b, 'S');
}

void write_flush(struct buf *b)
{
	write_empty(b, 'H');
}

void write_terminate(struct buf *b)
{
	write_empty(b, 'X');
}
