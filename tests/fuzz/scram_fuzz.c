/* Input: a byte of choices, then the client's messages, each ended by a newline. */
#include "tests/fuzz/fuzz.h"

#include "protocol/scram.h"

/* Whatever the fuzzer says, it cannot know the keys of this random verifier: no login may succeed. */
static struct scram_verifier secret_verifier(void)
{
	static struct scram_verifier v;
	static bool made;

	if (!made)
		FUZZ_CHECK(scram_verifier_make(span_str("not to be guessed"), 1, &v) == 0);
	made = true;
	return v;
}

static void play(struct scram_server *s, struct span left)
{
	struct scram_fault fault = {0};
	struct buf out;

	buf_init(&out, 4 * SCRAM_MESSAGE_MAX);
	while (left.n > 0) {
		const uint8_t *end = memchr(left.p, '\n', left.n);
		size_t n = end == NULL ? left.n : (size_t)(end - left.p);
		enum scram_status status = scram_server_step(s, span_of(left.p, n), &out, &fault);

		FUZZ_CHECK(status != SCRAM_DONE);
		FUZZ_CHECK(status != SCRAM_BAD || (fault.sqlstate != NULL && fault.message != NULL));
		left = span_skip(left, end == NULL ? n : n + 1);
	}
	buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct span cbind = span_of("0123456789abcdef0123456789abcdef", n > 0 && (p[0] & 2) ? 32 : 0);
	const char *mechanism = n > 0 && (p[0] & 1) ? SCRAM_NAME_PLUS : SCRAM_NAME;
	struct scram_verifier v = secret_verifier(), parsed;
	struct scram_server s;
	struct scram_fault fault;

	scram_verifier_parse(span_of(p, n), &parsed);
	if (n == 0)
		return 0;
	if (scram_server_start(&s, &v, span_str(mechanism), cbind, &fault) == SCRAM_MORE) {
		strcpy(s.server_nonce, "XYZ"); /* so that a seed can know it */
		play(&s, span_of(p + 1, n - 1));
	}
	scram_server_end(&s);
	return 0;
}
