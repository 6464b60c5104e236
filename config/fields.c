#include "config/fields.h"

#include <string.h>

void fields_start(struct fields *f, struct text_pool *pool, const char *text, size_t n)
{
	*f = (struct fields){.pool = pool, .at = text, .end = text + n, .next_line = 1};
}

static bool blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v';
}

/* One logical line, continuations glued together, with a NUL. NULL at the end of the text. */
static char *logical_line(struct fields *f)
{
	char *line, *to;
	const char *p = f->at;

	if (p == f->end)
		return NULL;
	f->line = f->next_line;
	for (; p < f->end && (*p != '\n' || (p > f->at && p[-1] == '\\')); p++)
		f->next_line += *p == '\n';
	line = to = text_alloc(f->pool, (size_t)(p - f->at) + 1);
	for (const char *s = f->at; s < p; s++) {
		if (*s == '\\' && s + 1 < p && s[1] == '\n')
			s++;
		else
			*to++ = *s;
	}
	f->next_line++;
	f->at = p < f->end ? p + 1 : p;
	return line;
}

/* An item up to a comma, white space or comment; parts of it may be quoted. */
static char *cut_item(struct fields *f, char *s, struct fields_item *item)
{
	char *to = s;
	bool inside = false;

	item->text = s;
	item->quoted = false;
	for (; *s != '\0' && (inside || (!blank(*s) && *s != ',' && *s != '#')); s++) {
		if (*s != '"') {
			*to++ = *s;
			continue;
		}
		if (inside && s[1] == '"')
			*to++ = *s++;
		else
			inside = !inside;
		item->quoted = true;
	}
	if (inside) {
		f->why = "a double quote does not end";
		return NULL;
	}
	if (to == s && *s != '\0') {
		/* No quotes have made room for the NUL, and the separator is still needed. */
		item->text = text_dup(f->pool, item->text, (size_t)(to - item->text));
		return s;
	}
	*to = '\0';
	return s;
}

static char *cut_field(struct fields *f, char *s, struct fields_field *field)
{
	unsigned room = 1;

	for (const char *p = s; *p != '\0'; p++)
		room += *p == ',';
	field->items = text_alloc(f->pool, room * sizeof *field->items);
	field->count = 0;
	for (;;) {
		struct fields_item item;

		s = cut_item(f, s, &item);
		if (s == NULL)
			return NULL;
		if (*item.text != '\0' || item.quoted)
			field->items[field->count++] = item;
		if (*s != ',')
			break;
		for (s++; blank(*s);)
			s++; /* "a, b" is one list */
	}
	if (field->count > 0)
		return s;
	f->why = "a list is empty";
	return NULL;
}

enum fields_status fields_next(struct fields *f)
{
	char *s;

	while ((s = logical_line(f)) != NULL) {
		for (f->count = 0;;) {
			while (blank(*s))
				s++;
			if (*s == '\0' || *s == '#')
				break;
			if (f->count == FIELDS_MAX) {
				f->why = "too many fields in a line";
				return FIELDS_BAD;
			}
			s = cut_field(f, s, &f->fields[f->count++]);
			if (s == NULL)
				return FIELDS_BAD;
		}
		if (f->count > 0)
			return FIELDS_LINE;
	}
	return FIELDS_END;
}

int fields_each(struct text_pool *pool, const char *text, size_t n, const char *name,
		int (*fn)(void *arg, const struct fields *line, struct err *why), void *arg, struct err *err)
{
	enum fields_status status;
	struct fields f;
	struct err why;
	int line;

	if (text_bad_byte(text, n, &line) != n)
		return err_set(err, "%s:%d: control character in the text", name, line);
	fields_start(&f, pool, text, n);
	while ((status = fields_next(&f)) == FIELDS_LINE)
		if (fn(arg, &f, &why) != 0)
			return err_set(err, "%s:%d: %s", name, f.line, why.text);
	return status == FIELDS_END ? 0 : err_set(err, "%s:%d: %s", name, f.line, f.why);
}
