/* Input: a byte that chooses pg_hba.conf, an ident map or a user list; then the file. */
#include "tests/fuzz/fuzz.h"

#include "config/hba.h"
#include "config/ident.h"
#include "config/users.h"

#include <netinet/in.h>

static void fuzz_hba(const char *text, size_t n)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_addr = {htonl(0x7f000001)}};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	const struct sockaddr *from[] = {NULL, (struct sockaddr *)&v4, (struct sockaddr *)&v6};
	struct hba *hba = NULL;
	struct err err = {0};

	if (hba_parse(text, n, "fuzz", &hba, &err) != 0) {
		FUZZ_CHECK(hba == NULL && err.text[0] != '\0');
		return;
	}
	for (unsigned i = 0; i < 12; i++) {
		struct hba_facts facts = {.addr = from[i % 3],
					  .tls = i & 1,
					  .replication = i > 8,
					  .database = "app",
					  .user = "bob"};
		const struct hba_rule *rule = hba_match(hba, &facts);

		FUZZ_CHECK(rule == NULL || hba_method_name(rule->method) != NULL);
	}
	hba_free(&hba);
}

static void fuzz_ident(const char *text, size_t n)
{
	struct ident *ident = NULL;
	struct err err = {0};

	/* glibc's regcomp doubles its tree with each further quantifier; the file is the operator's own. */
	if (memchr(text, '+', n) != NULL || memchr(text, '{', n) != NULL || memchr(text, '?', n) != NULL)
		return;
	if (ident_parse(text, n, "fuzz", &ident, &err) != 0) {
		FUZZ_CHECK(ident == NULL && err.text[0] != '\0');
		return;
	}
	ident_allows(ident, "map", "bob@example.org", "bob");
	ident_free(&ident);
}

static void fuzz_users(const char *text, size_t n)
{
	struct users *users = NULL;
	struct err err = {0};

	if (users_parse(text, n, "fuzz", &users, &err) != 0) {
		FUZZ_CHECK(users == NULL && err.text[0] != '\0');
		return;
	}
	users_find(users, "bob");
	users_unref(users);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	if (n == 0)
		return 0;
	switch (p[0] % 3) {
	case 0: fuzz_hba((const char *)p + 1, n - 1); break;
	case 1: fuzz_ident((const char *)p + 1, n - 1); break;
	default: fuzz_users((const char *)p + 1, n - 1); break;
	}
	return 0;
}
