#include "tests/fuzz/fuzz.h"

#include "protocol/switches.h"

static void walk_options(struct span options)
{
	struct switches w;
	struct span name, value;
	size_t settings = 0;
	enum switch_status status;

	if (switches_begin(&w, options) != 0)
		return;
	while ((status = switches_next(&w, &name, &value)) == SWITCH_SETTING) {
		FUZZ_CHECK(name.n > 0 && ++settings <= 5 * options.n);
		FUZZ_CHECK(value.n <= sizeof(w.text));
	}
	FUZZ_CHECK(status == SWITCH_END || w.why[0] != '\0');
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
