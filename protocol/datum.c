#include "protocol/datum.h"

#include "protocol/read.h"

static bool space(uint8_t c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static struct span trimmed(struct span s)
{
	while (s.n > 0 && space(s.p[0]))
		s = span_skip(s, 1);
	while (s.n > 0 && space(s.p[s.n - 1]))
		s.n--;
	return s;
}

static enum datum_status put(struct buf *out, const void *p, size_t n)
{
	size_t len = out->len;

	buf_add(out, p, n);
	if (out->failed) {
		out->len = len;
		return DATUM_BAD;
	}
	return DATUM_OK;
}

/* --- integers --- */

static enum datum_status put_number(struct buf *out, bool negative, uint64_t magnitude)
{
	uint8_t text[24];
	size_t at = sizeof(text);

	do
		text[--at] = (uint8_t)('0' + magnitude % 10);
	while ((magnitude /= 10) != 0);
	if (negative)
		text[--at] = '-';
	return put(out, text + at, sizeof(text) - at);
}

/* Plain decimal digits only: later servers also read 0x1F and 1_000, which are DATUM_BAD here. */
static bool digits(struct span s, uint64_t max, uint64_t *v_r)
{
	uint64_t v = 0;

	if (s.n == 0)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		unsigned digit;

		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
		digit = s.p[i] - '0';
		if (digit > max || v > (max - digit) / 10)
			return false;
		v = v * 10 + digit;
	}
	*v_r = v;
	return true;
}

static size_t int_width(uint32_t type_oid)
{
	return type_oid == DATUM_INT2 ? 2 : type_oid == DATUM_INT4 ? 4 : 8;
}

static enum datum_status canon_int(uint32_t type_oid, bool binary, struct span in, struct buf *out)
{
	size_t width = int_width(type_oid);
	uint64_t limit = UINT64_C(1) << (8 * width - 1); /* magnitude of the smallest value */
	uint64_t magnitude = 0;
	bool negative;

	if (binary) {
		if (in.n != width)
			return DATUM_BAD;
		negative = in.p[0] >= 0x80;
		for (size_t i = 0; i < width; i++)
			magnitude = magnitude << 8 | in.p[i];
		if (negative) /* two's complement of `width` bytes */
			magnitude = limit - (magnitude & (limit - 1));
	} else {
		in = trimmed(in);
		negative = in.n > 0 && in.p[0] == '-';
		if (in.n > 0 && (in.p[0] == '-' || in.p[0] == '+'))
			in = span_skip(in, 1);
		if (!digits(in, negative ? limit : limit - 1, &magnitude))
			return DATUM_BAD;
	}
	return put_number(out, negative && magnitude != 0, magnitude);
}

static enum datum_status canon_oid(bool binary, struct span in, struct buf *out)
{
	struct read r = read_from(in);
	uint64_t v;

	if (binary) {
		if (in.n != 4)
			return DATUM_BAD;
		v = read_u32(&r);
	} else {
		in = trimmed(in);
		/* Some versions read a leading zero as octal. */
		if ((in.n > 1 && in.p[0] == '0') || !digits(in, UINT32_MAX, &v))
			return DATUM_BAD;
	}
	return put_number(out, false, v);
}

/* --- bool --- */

/* Is `s` a beginning of `word` of at least `min` letters, in any case? */
static bool begins(struct span s, const char *word, size_t min)
{
	if (s.n < min || s.n > strlen(word))
		return false;
	for (size_t i = 0; i < s.n; i++)
		if ((s.p[i] >= 'A' && s.p[i] <= 'Z' ? s.p[i] + 0x20 : s.p[i]) != word[i])
			return false;
	return true;
}

static enum datum_status canon_bool(bool binary, struct span in, struct buf *out)
{
	if (binary)
		return in.n == 1 ? put(out, in.p[0] != 0 ? "t" : "f", 1) : DATUM_BAD;
	in = trimmed(in);
	if (begins(in, "true", 1) || begins(in, "yes", 1) || begins(in, "on", 2) || begins(in, "1", 1))
		return put(out, "t", 1);
	if (begins(in, "false", 1) || begins(in, "no", 1) || begins(in, "off", 2) || begins(in, "0", 1))
		return put(out, "f", 1);
	return DATUM_BAD;
}

/* --- uuid and bytea --- */

static int hex_digit(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Two hex digits at the front of `s`, or -1. */
static int hex_byte(struct span s)
{
	int high, low;

	if (s.n < 2 || (high = hex_digit(s.p[0])) < 0 || (low = hex_digit(s.p[1])) < 0)
		return -1;
	return high << 4 | low;
}

/* Braces around it and a hyphen behind each group of four digits may be there or not. */
static enum datum_status canon_uuid(bool binary, struct span in, struct buf *out)
{
	uint8_t bytes[16];
	bool braces = !binary && in.n > 0 && in.p[0] == '{';

	if (binary)
		return in.n == 16 ? put(out, in.p, 16) : DATUM_BAD;
	if (braces)
		in = span_skip(in, 1);
	for (int i = 0; i < 16; i++) {
		int byte = hex_byte(in);

		if (byte < 0)
			return DATUM_BAD;
		bytes[i] = (uint8_t)byte;
		in = span_skip(in, 2);
		if (i % 2 == 1 && i < 15 && in.n > 0 && in.p[0] == '-')
			in = span_skip(in, 1);
	}
	if (braces ? in.n != 1 || in.p[0] != '}' : in.n != 0)
		return DATUM_BAD;
	return put(out, bytes, sizeof(bytes));
}

/* Behind "\x": pairs of hex digits, white space between the pairs. */
static bool bytea_hex(struct span in, uint8_t *to, size_t *n_r)
{
	size_t n = 0;

	while (in.n > 0) {
		int byte;

		if (space(in.p[0])) {
			in = span_skip(in, 1);
			continue;
		}
		if ((byte = hex_byte(in)) < 0)
			return false;
		to[n++] = (uint8_t)byte;
		in = span_skip(in, 2);
	}
	*n_r = n;
	return true;
}

static bool octal(uint8_t c, uint8_t max)
{
	return c >= '0' && c <= max;
}

/* The old form: bytes as they are, "\\" and "\ooo". */
static bool bytea_escape(struct span in, uint8_t *to, size_t *n_r)
{
	size_t n = 0;

	while (in.n > 0) {
		size_t used = 1;

		if (in.p[0] == 0)
			return false;
		if (in.p[0] != '\\') {
			to[n++] = in.p[0];
		} else if (in.n >= 2 && in.p[1] == '\\') {
			to[n++] = '\\';
			used = 2;
		} else if (in.n >= 4 && octal(in.p[1], '3') && octal(in.p[2], '7') && octal(in.p[3], '7')) {
			to[n++] = (uint8_t)((in.p[1] - '0') << 6 | (in.p[2] - '0') << 3 | (in.p[3] - '0'));
			used = 4;
		} else {
			return false;
		}
		in = span_skip(in, used);
	}
	*n_r = n;
	return true;
}

static enum datum_status canon_bytea(bool binary, struct span in, struct buf *out)
{
	uint8_t *to;
	size_t n;

	if (binary)
		return put(out, in.p, in.n);
	to = buf_reserve(out, in.n);
	if (to == NULL)
		return DATUM_BAD;
	if (in.n >= 2 && in.p[0] == '\\' && in.p[1] == 'x') {
		if (!bytea_hex(span_skip(in, 2), to, &n))
			return DATUM_BAD;
	} else if (!bytea_escape(in, to, &n)) {
		return DATUM_BAD;
	}
	out->len += n;
	return DATUM_OK;
}

/* --- text --- */

static enum datum_status canon_text(uint32_t type_oid, struct span in, struct buf *out)
{
	if (in.n > 0 && memchr(in.p, 0, in.n) != NULL)
		return DATUM_BAD;
	if (type_oid == DATUM_NAME && in.n > DATUM_NAME_MAX) /* it will be cut: not what it looks like */
		return DATUM_BAD;
	return put(out, in.p, in.n);
}

bool datum_known(uint32_t type_oid)
{
	switch (type_oid) {
	case DATUM_BOOL:
	case DATUM_BYTEA:
	case DATUM_NAME:
	case DATUM_INT8:
	case DATUM_INT2:
	case DATUM_INT4:
	case DATUM_TEXT:
	case DATUM_OID:
	case DATUM_VARCHAR:
	case DATUM_UUID: return true;
	default: return false;
	}
}

enum datum_status datum_canon(uint32_t type_oid, bool binary, struct span in, struct buf *out)
{
	if (out->failed)
		return DATUM_BAD;
	switch (type_oid) {
	case DATUM_INT2:
	case DATUM_INT4:
	case DATUM_INT8: return canon_int(type_oid, binary, in, out);
	case DATUM_OID: return canon_oid(binary, in, out);
	case DATUM_BOOL: return canon_bool(binary, in, out);
	case DATUM_UUID: return canon_uuid(binary, in, out);
	case DATUM_BYTEA: return canon_bytea(binary, in, out);
	case DATUM_NAME:
	case DATUM_TEXT:
	case DATUM_VARCHAR: return canon_text(type_oid, in, out);
	default: return DATUM_UNKNOWN;
	}
}

/* --- arrays --- */

uint32_t datum_element_type(uint32_t array_oid)
{
	switch (array_oid) {
	case 1000: return DATUM_BOOL;
	case 1001: return DATUM_BYTEA;
	case 1003: return DATUM_NAME;
	case 1005: return DATUM_INT2;
	case 1007: return DATUM_INT4;
	case 1009: return DATUM_TEXT;
	case 1015: return DATUM_VARCHAR;
	case 1016: return DATUM_INT8;
	case 1028: return DATUM_OID;
	case 2951: return DATUM_UUID;
	default: return 0;
	}
}

/* Dimensions, has-null flag, element type; then size and lower bound of each dimension. */
static enum datum_status open_binary(struct datum_array *a)
{
	struct read r = read_from(a->in);
	uint32_t ndim = read_u32(&r);
	uint32_t flags = read_u32(&r);
	uint32_t type = read_u32(&r);

	if (r.why != NULL || ndim > 1 || flags > 1 || type != a->element_oid)
		return DATUM_BAD;
	if (ndim == 1) {
		a->left = read_u32(&r);
		read_u32(&r);
	}
	if (r.why != NULL || a->left > r.left.n / 4)
		return DATUM_BAD;
	a->at = a->in.n - r.left.n;
	return DATUM_OK;
}

enum datum_status datum_array_open(uint32_t array_oid, bool binary, struct span in, struct datum_array *out_r)
{
	struct datum_array a = {.element_oid = datum_element_type(array_oid), .binary = binary, .in = in};
	enum datum_status status = DATUM_OK;

	if (a.element_oid == 0)
		return DATUM_UNKNOWN;
	a.first = true;
	if (binary) {
		status = open_binary(&a);
	} else {
		/* Bounds in front ("[0:2]={..}") are left to the server. */
		a.in = trimmed(in);
		if (a.in.n < 2 || a.in.p[0] != '{' || a.in.p[a.in.n - 1] != '}')
			return DATUM_BAD;
		a.in = trimmed(span_of(a.in.p + 1, a.in.n - 2));
	}
	if (status == DATUM_OK)
		*out_r = a;
	return status;
}

static enum datum_next next_binary(struct datum_array *a, struct buf *out)
{
	struct read r = read_from(span_skip(a->in, a->at));
	uint32_t length;
	struct span value;

	if (a->left == 0)
		return r.left.n == 0 ? DATUM_END : DATUM_BROKEN;
	length = read_u32(&r);
	value = length == UINT32_MAX ? span_of(NULL, 0) : read_bytes(&r, length);
	if (r.why != NULL)
		return DATUM_BROKEN;
	a->left--;
	a->at = a->in.n - r.left.n;
	if (length == UINT32_MAX)
		return DATUM_NULL;
	return datum_canon(a->element_oid, true, value, out) == DATUM_OK ? DATUM_ELEMENT : DATUM_BROKEN;
}

/* `in` begins with a quote: text without escapes to `to`; *used_r is what it took, quotes included. */
static bool unquote(struct span in, uint8_t *to, size_t *n_r, size_t *used_r)
{
	size_t i, n = 0;

	for (i = 1; i < in.n && in.p[i] != '"'; i++) {
		if (in.p[i] == '\\' && ++i == in.n)
			return false;
		to[n++] = in.p[i];
	}
	*n_r = n;
	*used_r = i + 1;
	return i < in.n;
}

/* An element without quotes, up to the comma. Braces would be another dimension; a backslash is legal
 * there but nobody writes it. */
static bool bare(struct span in, struct span *value_r)
{
	size_t n = 0;

	for (; n < in.n && in.p[n] != ','; n++)
		if (in.p[n] == '{' || in.p[n] == '}' || in.p[n] == '"' || in.p[n] == '\\')
			return false;
	*value_r = trimmed(span_of(in.p, n));
	return value_r->n > 0;
}

static bool is_null_word(struct span s)
{
	return s.n == 4 && begins(s, "null", 4);
}

/* After an element: nothing, or a comma with something behind it. */
static bool step_over_comma(struct datum_array *a)
{
	struct span left;

	while (a->at < a->in.n && space(a->in.p[a->at]))
		a->at++;
	if (a->at == a->in.n)
		return true;
	if (a->in.p[a->at] != ',')
		return false;
	a->at++;
	left = trimmed(span_skip(a->in, a->at));
	a->at = left.n == 0 ? a->in.n : (size_t)(left.p - a->in.p);
	return left.n > 0;
}

static enum datum_next next_text(struct datum_array *a, struct buf *out)
{
	struct span in = span_skip(a->in, a->at), value;
	size_t n = 0, used = 0;
	uint8_t *room;

	if (in.n == 0)
		return DATUM_END;
	if (in.p[0] == '"') {
		/* The unescaped text goes behind the room for its canonical form, which is never longer. */
		room = buf_reserve(out, 2 * in.n);
		if (room == NULL || !unquote(in, room + in.n, &n, &used))
			return DATUM_BROKEN;
		value = span_of(room + in.n, n);
		a->at += used;
	} else {
		if (!bare(in, &value))
			return DATUM_BROKEN;
		a->at = (size_t)(value.p - a->in.p) + value.n;
	}
	if (!step_over_comma(a))
		return DATUM_BROKEN;
	if (used == 0 && is_null_word(value))
		return DATUM_NULL;
	return datum_canon(a->element_oid, false, value, out) == DATUM_OK ? DATUM_ELEMENT : DATUM_BROKEN;
}

enum datum_next datum_array_next(struct datum_array *a, struct buf *out)
{
	return a->binary ? next_binary(a, out) : next_text(a, out);
}
