#include "proxy/admin/quote.h"

#include "proxy/base/check.h"
#include "proxy/base/utf8.h"

#include <stdarg.h>
#include <stdio.h>

static void quote(struct buf *b, const char *text, void (*ascii)(struct buf *b, unsigned char c))
{
	struct span rest = span_str(text);

	while (rest.n > 0) {
		size_t n = utf8_length(rest);

		if (n == 0)
			buf_add(b, "\xef\xbf\xbd", 3);
		else if (n == 1)
			ascii(b, rest.p[0]);
		else
			buf_add(b, rest.p, n);
		rest = span_skip(rest, n == 0 ? 1 : n);
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

void quote_text(struct buf *b, const char *text)
{
	quote(b, text, buf_add_u8);
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
