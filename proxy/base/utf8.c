#include "proxy/base/utf8.h"

#include <stdint.h>

size_t utf8_length(struct span s)
{
	uint32_t code;
	size_t n;

	if (s.p[0] < 0x80)
		return 1;
	if (s.p[0] < 0xc2 || s.p[0] > 0xf4)
		return 0;
	n = s.p[0] < 0xe0 ? 2 : s.p[0] < 0xf0 ? 3 : 4;
	if (s.n < n)
		return 0;
	code = s.p[0] & (0x7fu >> n);
	for (size_t i = 1; i < n; i++) {
		if ((s.p[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (s.p[i] & 0x3fu);
	}
	if ((n == 3 && (code < 0x800 || (code >= 0xd800 && code < 0xe000))) ||
	    (n == 4 && (code < 0x10000 || code > 0x10ffff)))
		return 0;
	return n;
}

bool utf8_valid(struct span text)
{
	size_t n = 1;

	for (; text.n > 0 && n > 0; text = span_skip(text, n))
		n = utf8_length(text);
	return n > 0;
}
