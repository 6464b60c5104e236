#include "proxy/session/custom.h"

#include <strings.h>

#define NAMES_MAX 32 /* of one statement */

/* Does it look like the name of a custom setting: two or more identifiers with dots between them? */
static bool is_name(struct span name)
{
	bool dot = false, first = true;

	if (name.n == 0 || name.n > 63)
		return false;
	for (size_t i = 0; i < name.n; i++) {
		uint8_t c = name.p[i];
		bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c >= 0x80;
		bool digit = (c >= '0' && c <= '9') || c == '$';

		if (c == '.' && !first) {
			dot = first = true;
			continue;
		}
		if (!letter && (first || !digit))
			return false;
		first = false;
	}
	return dot && !first;
}

static void note(struct session *s, struct span name, unsigned *left)
{
	char text[64];

	if (*left == 0 || !is_name(name))
		return;
	memcpy(text, name.p, name.n);
	text[name.n] = '\0';
	image_touch(s, text);
	(*left)--;
}

static bool sets(const struct stmt *stmt)
{
	static const char word[] = "set_config";
	size_t n = sizeof word - 1;

	if ((stmt->facts->effects & EFFECT_TAINT) == 0)
		return false;
	for (size_t i = 0; i + n <= stmt->text.n; i++)
		if (strncasecmp((const char *)stmt->text.p + i, word, n) == 0)
			return true;
	return false;
}

void custom_note_text(struct session *s, const struct stmt *stmt)
{
	const uint8_t *p = stmt->text.p, *end = p + stmt->text.n;
	unsigned left = NAMES_MAX;

	if (!sets(stmt))
		return;
	while ((p = memchr(p, '\'', (size_t)(end - p))) != NULL) {
		const uint8_t *close = memchr(p + 1, '\'', (size_t)(end - p - 1));

		if (close == NULL)
			return;
		note(s, span_of(p + 1, (size_t)(close - p - 1)), &left);
		p = close; /* it may as well open the next string: all that stands between two quotes is looked at */
	}
}

void custom_note_bind(struct session *s, const struct stmt *stmt, struct span body)
{
	struct front_bind b;
	unsigned left = NAMES_MAX;
	const char *why;
	size_t at = 0;

	if (!sets(stmt) || front_bind_decode(body, &b, &why) != 0)
		return;
	for (uint16_t i = 0; i < b.nparams; i++) {
		struct front_param param = front_bind_param(&b, i, &at);

		if (!param.null)
			note(s, param.value, &left);
	}
}
