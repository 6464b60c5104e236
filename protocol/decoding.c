#include "protocol/decoding.h"

/* A position in the record; `why` is the first thing that was not understood. */
struct scan {
	const struct decoding *d;
	size_t at;
	size_t end;
	const char *why;
};

static bool at_end(const struct scan *s)
{
	return s->at >= s->end;
}

static bool peek_is(const struct scan *s, char c)
{
	return !at_end(s) && s->d->record.p[s->at] == (uint8_t)c;
}

static struct span rest(const struct scan *s)
{
	return span_of(s->d->record.p + s->at, s->end - s->at);
}

/* Steps over `text` if it comes next. */
static bool skip_text(struct scan *s, const char *text)
{
	size_t n = strlen(text);

	if (s->end - s->at < n || memcmp(s->d->record.p + s->at, text, n) != 0)
		return false;
	s->at += n;
	return true;
}

static bool fail(struct scan *s, const char *why)
{
	if (s->why == NULL)
		s->why = why;
	return false;
}

/* Reads up to the closing quote, doubled ones stand for one. Unescaped text is never longer than what
 * it came from, so it is put at the same offset of the scratch: no two pieces can overlap, and reading
 * a piece twice yields the same bytes in the same place. */
static bool scan_quoted(struct scan *s, uint8_t quote, struct span *out_r)
{
	const uint8_t *in = s->d->record.p;
	size_t from = ++s->at, n = 0;
	bool doubled = false;

	for (;; s->at++) {
		if (at_end(s))
			return fail(s, "quote without end");
		if (in[s->at] == quote) {
			if (s->at + 1 >= s->end || in[s->at + 1] != quote)
				break;
			if (!doubled) {
				memcpy(s->d->scratch + from, in + from, n);
				doubled = true;
			}
			s->at++;
		}
		if (doubled)
			s->d->scratch[from + n] = in[s->at];
		n++;
	}
	s->at++;
	*out_r = span_of((doubled ? s->d->scratch : in) + from, n);
	return true;
}

static bool plain_name_byte(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
}

/* As quote_identifier() writes it. */
static bool scan_name(struct scan *s, struct span *out_r)
{
	size_t from = s->at;

	if (peek_is(s, '"'))
		return scan_quoted(s, '"', out_r);
	while (!at_end(s) && plain_name_byte(s->d->record.p[s->at]))
		s->at++;
	if (s->at == from)
		return fail(s, "name expected");
	*out_r = span_of(s->d->record.p + from, s->at - from);
	return true;
}

static bool scan_relation(struct scan *s, struct span *schema_r, struct span *table_r)
{
	if (!scan_name(s, schema_r))
		return false;
	if (!skip_text(s, "."))
		return fail(s, "schema without table");
	return scan_name(s, table_r);
}

static bool scan_number(struct scan *s, uint64_t max, uint64_t *v_r)
{
	const uint8_t *in = s->d->record.p;
	size_t from = s->at;
	uint64_t v = 0;

	for (; !at_end(s) && in[s->at] >= '0' && in[s->at] <= '9'; s->at++) {
		v = v * 10 + (unsigned)(in[s->at] - '0');
		if (v > max)
			return fail(s, "number out of range");
	}
	*v_r = v;
	return s->at > from || fail(s, "number expected");
}

/* A type's name up to the bracket that closes it: `character varying[]`, `public."odd]type"`. */
static bool scan_type(struct scan *s, struct span *out_r)
{
	size_t from = s->at;
	struct span ignored;

	while (!at_end(s)) {
		if (skip_text(s, "[]"))
			continue;
		if (peek_is(s, ']'))
			break;
		if (!peek_is(s, '"'))
			s->at++;
		else if (!scan_quoted(s, '"', &ignored))
			return false;
	}
	*out_r = span_of(s->d->record.p + from, s->at - from);
	return skip_text(s, "]:") || fail(s, "type without end");
}

/* Numbers, bools and the two words come bare; everything else is in quotes. */
static bool scan_value(struct scan *s, struct decoding_column *out)
{
	size_t from;

	out->state = DECODING_TEXT;
	if (peek_is(s, '\''))
		return scan_quoted(s, '\'', &out->value);
	if (skip_text(s, "B")) {
		if (!peek_is(s, '\''))
			return fail(s, "value not understood");
		return scan_quoted(s, '\'', &out->value);
	}
	from = s->at;
	while (!at_end(s) && !peek_is(s, ' '))
		s->at++;
	if (s->at == from)
		return fail(s, "value expected");
	out->value = span_of(s->d->record.p + from, s->at - from);
	if (span_eq(out->value, span_str("null")))
		out->state = DECODING_NULL;
	else if (span_eq(out->value, span_str("unchanged-toast-datum")))
		out->state = DECODING_UNCHANGED;
	if (out->state != DECODING_TEXT)
		out->value = span_of(NULL, 0);
	return true;
}

/* ` name[type]:value` */
static bool scan_column(struct scan *s, struct decoding_column *out)
{
	if (!skip_text(s, " "))
		return fail(s, "space expected between columns");
	if (!scan_name(s, &out->name))
		return false;
	if (!skip_text(s, "["))
		return fail(s, "column without type");
	return scan_type(s, &out->type) && scan_value(s, out);
}

/* Columns up to the end or, behind an old key, to " new-tuple:" (a column of that name would be quoted). */
static bool scan_tuple(struct scan *s, bool old_key, struct span *tuple_r)
{
	struct decoding_column ignored;
	size_t from = s->at, to;

	if (!old_key && skip_text(s, " (no-tuple-data)"))
		return at_end(s) || fail(s, "text behind the record");
	for (;;) {
		to = s->at;
		if (old_key ? skip_text(s, " new-tuple:") : at_end(s))
			break;
		if (!scan_column(s, &ignored))
			return false;
	}
	*tuple_r = span_of(s->d->record.p + from, to - from);
	return true;
}

static bool scan_truncate(struct scan *s, struct decoding *out)
{
	bool flags = false;

	out->kind = DECODING_TRUNCATE;
	if (skip_text(s, " (no-flags)"))
		return at_end(s) || fail(s, "text behind the record");
	if (skip_text(s, " restart_seqs"))
		out->restart_seqs = flags = true;
	if (skip_text(s, " cascade"))
		out->cascade = flags = true;
	return (flags && at_end(s)) || fail(s, "flags of TRUNCATE not understood");
}

static bool scan_change(struct scan *s, struct decoding *out)
{
	size_t from = s->at, ntables = 0;

	do {
		if (!scan_relation(s, &out->schema, &out->table))
			return false;
		ntables++;
	} while (skip_text(s, ", "));
	out->tables = span_of(s->d->record.p + from, s->at - from);
	if (skip_text(s, ": TRUNCATE:"))
		return scan_truncate(s, out);
	if (ntables != 1)
		return fail(s, "change of several tables");
	if (skip_text(s, ": INSERT:")) {
		out->kind = DECODING_INSERT;
		return scan_tuple(s, false, &out->new_tuple);
	}
	if (skip_text(s, ": UPDATE:")) {
		out->kind = DECODING_UPDATE;
		if (skip_text(s, " old-key:") && !scan_tuple(s, true, &out->old_key))
			return false;
		return scan_tuple(s, false, &out->new_tuple);
	}
	if (skip_text(s, ": DELETE:")) {
		out->kind = DECODING_DELETE;
		return scan_tuple(s, false, &out->old_key);
	}
	return fail(s, "unknown action");
}

/* The rest of ", sz: <n> content:<n bytes>" from here on? */
static bool scan_content(struct scan *s, struct decoding *out)
{
	uint64_t n;

	if (!skip_text(s, ", sz: ") || !scan_number(s, SIZE_MAX / 16, &n) || !skip_text(s, " content:") ||
	    s->end - s->at != n)
		return false;
	out->content = rest(s);
	s->at = s->end;
	return true;
}

/* The prefix stands as it is and may hold anything, so its end is found by the size that must fit. */
static bool scan_message(struct scan *s, struct decoding *out)
{
	size_t from;
	uint64_t transactional;

	out->kind = DECODING_MESSAGE;
	if (!scan_number(s, 1, &transactional) || !skip_text(s, " prefix: "))
		return fail(s, "message not understood");
	out->transactional = transactional != 0;
	for (from = s->at; s->at < s->end; s->at++) {
		struct scan try = *s;

		if (!peek_is(s, ',') || !scan_content(&try, out))
			continue;
		out->prefix = span_of(s->d->record.p + from, s->at - from);
		s->at = try.at;
		return true;
	}
	return fail(s, "message not understood");
}

/* "<xid>", and for a commit perhaps " (at <time>)". */
static bool scan_boundary(struct scan *s, struct decoding *out, enum decoding_kind kind)
{
	uint64_t xid;

	out->kind = kind;
	if (!scan_number(s, UINT32_MAX, &xid))
		return false;
	out->xid = (uint32_t)xid;
	if (kind == DECODING_COMMIT && skip_text(s, " (at ")) {
		if (at_end(s) || s->d->record.p[s->end - 1] != ')')
			return fail(s, "time of the commit without end");
		s->at = s->end;
	}
	return at_end(s) || fail(s, "text behind the record");
}

static bool scan_record(struct scan *s, struct decoding *out)
{
	if (skip_text(s, "table "))
		return scan_change(s, out);
	if (skip_text(s, "BEGIN "))
		return scan_boundary(s, out, DECODING_BEGIN);
	if (skip_text(s, "COMMIT "))
		return scan_boundary(s, out, DECODING_COMMIT);
	if (skip_text(s, "message: transactional: "))
		return scan_message(s, out);
	return fail(s, "unknown record");
}

int decoding_parse(struct span record, struct buf *scratch, struct decoding *out_r, const char **why_r)
{
	struct decoding out = {.record = record};
	struct scan s = {.d = &out, .end = record.n};

	buf_clear(scratch);
	out.scratch = buf_reserve(scratch, record.n);
	if (out.scratch == NULL) {
		*why_r = "record is too long";
		return -1;
	}
	if (!scan_record(&s, &out)) {
		*why_r = s.why;
		return -1;
	}
	*out_r = out;
	return 0;
}

static struct scan scan_part(const struct decoding *d, struct span part, size_t at)
{
	size_t from = part.n == 0 ? 0 : (size_t)(part.p - d->record.p);

	return (struct scan){.d = d, .at = from + at, .end = from + part.n};
}

static int part_end(const struct scan *s, struct span part, size_t *at, const char **why_r)
{
	if (s->why != NULL) {
		*why_r = s->why;
		return -1;
	}
	*at = part.n - (s->end - s->at);
	return 1;
}

int decoding_column_next(const struct decoding *d, struct span tuple, size_t *at,
			 struct decoding_column *out_r, const char **why_r)
{
	struct scan s = scan_part(d, tuple, *at);
	struct decoding_column out = {0};
	int found;

	if (*at >= tuple.n)
		return 0;
	scan_column(&s, &out);
	found = part_end(&s, tuple, at, why_r);
	if (found == 1)
		*out_r = out;
	return found;
}

int decoding_table_next(const struct decoding *d, size_t *at, struct span *schema_r, struct span *table_r,
			const char **why_r)
{
	struct scan s = scan_part(d, d->tables, *at);
	struct span schema, table;
	int found;

	if (*at >= d->tables.n)
		return 0;
	if (*at > 0 && !skip_text(&s, ", "))
		fail(&s, "comma expected between tables");
	else
		scan_relation(&s, &schema, &table);
	found = part_end(&s, d->tables, at, why_r);
	if (found == 1) {
		*schema_r = schema;
		*table_r = table;
	}
	return found;
}
