/* How a failed expectation is put into words; the same for both runners. */
#include "tests/support/report.h"

#include <stdio.h>
#include "tests/support/test.h"

bool test_true(bool ok, const char *file, int line, const char *text)
{
	char msg[512];

	if (!ok) {
		snprintf(msg, sizeof(msg), "%s:%d: %s", file, line, text);
		test_failed(msg);
	}
	return ok;
}

bool test_int(long long a, long long b, const char *file, int line, const char *text)
{
	char msg[512];

	if (a != b) {
		snprintf(msg, sizeof(msg), "%s:%d: %s: %lld is not %lld", file, line, text, a, b);
		test_failed(msg);
	}
	return a == b;
}

bool test_str(const char *a, const char *b, const char *file, int line, const char *text)
{
	bool ok = a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
	char msg[1024];

	if (!ok) {
		snprintf(msg, sizeof(msg), "%s:%d: %s: \"%s\" is not \"%s\"", file, line, text,
			 a == NULL ? "(NULL)" : a, b == NULL ? "(NULL)" : b);
		test_failed(msg);
	}
	return ok;
}

static void test_hex(char *out, size_t size, struct span s)
{
	size_t used = 0;

	out[0] = '\0';
	for (size_t i = 0; i < s.n && used + 4 < size; i++) {
		int n = snprintf(out + used, size - used, "%02x ", s.p[i]);
		if (n > 0)
			used += (size_t)n;
	}
}

bool test_mem(struct span a, struct span b, const char *file, int line, const char *text)
{
	bool ok = span_eq(a, b);
	char ha[200], hb[200], msg[1024];

	if (!ok) {
		test_hex(ha, sizeof(ha), a);
		test_hex(hb, sizeof(hb), b);
		snprintf(msg, sizeof(msg), "%s:%d: %s: %zu bytes %s, not %zu bytes %s", file, line, text, a.n,
			 ha, b.n, hb);
		test_failed(msg);
	}
	return ok;
}
