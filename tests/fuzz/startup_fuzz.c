#include "tests/fuzz/fuzz.h"

#include "protocol/startup.h"

static void walk_options(struct span options)
{
	char out[64];
	struct span name, value;
	size_t at = 0, before = 0;

	while (startup_option_next(options, &at, out, sizeof(out), &name, &value) == 1) {
		FUZZ_CHECK(at > before && at <= options.n && name.n > 0);
		fuzz_within(name, span_of(out, sizeof(out)));
		fuzz_within(value, span_of(out, sizeof(out)));
		before = at;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct span in = span_of(p, n), name, value;
	struct startup s = {0};
	const char *why = NULL;
	size_t used = 0, at = 0;
	bool ask;

	switch (startup_next(in, &s, &used, &why)) {
	case STARTUP_HELLO:
		fuzz_within(s.params, in);
		startup_negotiate(s.version, s.params, &ask);
		while (startup_param_next(s.params, &at, &name, &value)) {
			fuzz_within(name, s.params);
			fuzz_within(value, s.params);
			walk_options(value);
		}
		FUZZ_CHECK(s.version >> 16 != 3 || at == s.params.n - 1);
		break;
	case STARTUP_CANCEL: fuzz_within(s.secret, in); break;
	case STARTUP_BAD: FUZZ_CHECK(why != NULL); break;
	default: break;
	}
	FUZZ_CHECK(used <= n);
	walk_options(in);
	return 0;
}
