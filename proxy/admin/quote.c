#include "proxy/admin/quote.h"

#include "proxy/base/check.h"

#include <stdarg.h>
#include <stdio.h>

/* Bytes of the well-formed character at p, 0 when it is none. p ends with a NUL, which is no continuation byte. */
static size_t utf8_length(const unsigned char *p)
{
	size_t n = p[0] < 0x80			  ? 1
		   : p[0] >= 0xc2 && p[0] <= 0xdf ? 2
		   : p[0] >= 0xe0 && p[0] <= 0xef ? 3
		   : p[0] >= 0xf0 && p[0] <= 0xf4 ? 4
						  : 0;

	for (size_t i = 1; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	/* Overlong forms, surrogates, beyond U+10FFFF. */
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf0 && p[1] < 0x90) ||
	    (p[0] == 0xf4 && p[1] > 0x8f))
		return 0;
	return n;
}

static void quote(struct buf *b, const char *text, void (*ascii)(struct buf *b, unsigned char c))
{
	const unsigned char *p = (const unsigned char *)text;

	while (*p != '\0') {
		size_t n = utf8_length(p);

		if (n == 0)
			buf_add(b, "\xef\xbf\xbd", 3);
		else if (n == 1)
			ascii(b, *p);
		else
			buf_add(b, p, n);
		p += n == 0 ? 1 : n;
	}
}

static void label_ascii(struct buf *b, unsigned char c)
{
	switch (c) {
	case '\n': buf_add(b, "\\n", 2); break;
	case '"': buf_add(b, "\\\"", 2); break;
	case '\\': buf_add(b, "\\\\", 2); break;
	default: buf_add_u8(b, c);
	}
}

static void json_ascii(struct buf *b, unsigned char c)
{
	if (c == '"' || c == '\\') {
		buf_add_u8(b, '\\');
		buf_add_u8(b, c);
	} else if (c < 0x20 || c == 0x7f) {
		quote_printf(b, "\\u%04x", c);
	} else {
		buf_add_u8(b, c);
	}
}

void quote_label(struct buf *b, const char *text)
{
	quote(b, text, label_ascii);
}

void quote_json(struct buf *b, const char *text)
{
	quote(b, text, json_ascii);
}

void quote_printf(struct buf *b, const char *fmt, ...)
{
	char text[512];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	check(n >= 0 && (size_t)n < sizeof text);
	buf_add(b, text, (size_t)n);
}
