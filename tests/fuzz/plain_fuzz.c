/* Input: a statement's text. Where our own token cutter is sure, it finds the literals that PostgreSQL's scanner finds. */
#include "tests/fuzz/fuzz.h"

#include "proxy/sql/plain.h"

#define SEEN_MAX 4096u

struct seen {
	unsigned n;
	struct {
		enum parse_token token;
		uint32_t from, to;
	} at[SEEN_MAX];
};

/* How the scanner joins the signs of an operator does not matter; literals.c asks for the rest. */
static bool see(void *arg, enum parse_token token, uint32_t from, uint32_t to)
{
	struct seen *seen = arg;

	if (token == TOKEN_OTHER)
		return true;
	if (seen->n == SEEN_MAX)
		return false;
	seen->at[seen->n].token = token;
	seen->at[seen->n].from = from;
	seen->at[seen->n++].to = to;
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static struct seen plain, scanned;
	struct span text = span_of(p, n);

	plain.n = scanned.n = 0;
	if (n == 0 || memchr(p, '\0', n) != NULL || plain_tokens(text, see, &plain) != PLAIN_OK ||
	    parse_tokens(text, see, &scanned) != 0)
		return 0;
	FUZZ_CHECK(plain.n == scanned.n);
	for (unsigned i = 0; i < plain.n; i++)
		FUZZ_CHECK(plain.at[i].token == scanned.at[i].token &&
			   plain.at[i].from == scanned.at[i].from && plain.at[i].to == scanned.at[i].to);
	return 0;
}
