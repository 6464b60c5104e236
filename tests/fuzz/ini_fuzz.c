/* Input: a configuration file. What is accepted can be shown and written again, and means the same to each of its readers. */
#include "tests/fuzz/fuzz.h"

#include "config/config.h"
#include "config/policy.h"

static void look(struct config *cfg)
{
	const struct config_option *option;
	struct policy policy;
	char text[64];
	unsigned n;

	option = config_options(&n);
	for (unsigned i = 0; i < n; i++)
		config_option_text(cfg, &option[i], text, sizeof(text));
	config_database(cfg, "app");
	config_user(cfg, "bob");
	config_peer(cfg, 1);
	policy_of(cfg, "app", "bob", &policy);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct config *cfg = NULL;
	struct err err = {0};

	if (config_parse((const char *)p, n, "fuzz.ini", &cfg, &err) == 0) {
		look(cfg);
		config_unref(cfg);
	} else {
		FUZZ_CHECK(cfg == NULL && err.text[0] != '\0');
	}
	return 0;
}
