#include "protocol/scram.h"

#include "protocol/read.h"
#include "protocol/scram_wire.h"

static int fail(const char **why_r, const char *why)
{
	*why_r = why;
	return -1;
}

/* Which of the two are in the server's list: strings that end with an empty one. */
static bool read_mechanisms(struct span list, bool *plain_r, bool *plus_r)
{
	struct read r = read_from(list);

	*plain_r = *plus_r = false;
	for (;;) {
		struct span name = read_cstr(&r);

		if (r.why != NULL || name.n == 0)
			return r.why == NULL;
		*plain_r |= span_eq(name, span_str(SCRAM_NAME));
		*plus_r |= span_eq(name, span_str(SCRAM_NAME_PLUS));
	}
}

int scram_client_start(struct scram_client *c, struct span mechanisms, struct span cbind_data,
		       enum scram_bind bind, const char **why_r)
{
	struct scram_client out = {.state = SCRAM_FROM_FIRST};
	bool plain, plus, can_bind = cbind_data.n > 0 && bind != SCRAM_BIND_DISABLE;

	if (!read_mechanisms(mechanisms, &plain, &plus))
		return fail(why_r, "invalid list of SASL mechanisms");
	if (can_bind && plus) {
		out.mechanism = SCRAM_NAME_PLUS;
		out.gs2_flag = 'p';
	} else if (bind == SCRAM_BIND_REQUIRE) {
		return fail(why_r, "channel binding is required, but the server does not offer it");
	} else if (plain) {
		out.mechanism = SCRAM_NAME;
		out.gs2_flag = can_bind ? 'y' : 'n'; /* y: we would, but the server does not offer it */
	} else {
		return fail(why_r, "none of the server's SASL mechanisms is supported");
	}
	if (cbind_data.n > sizeof(out.cbind))
		return fail(why_r, "channel binding data is too long");
	if (!scram_nonce(out.client_nonce))
		return fail(why_r, "no randomness for a nonce");
	out.cbind_n = cbind_data.n;
	if (cbind_data.n > 0)
		memcpy(out.cbind, cbind_data.p, cbind_data.n);
	buf_init(&out.first_bare, SCRAM_MESSAGE_MAX);
	buf_init(&out.server_first, SCRAM_MESSAGE_MAX);
	*c = out;
	return 0;
}

/* The user is named in the startup packet; PostgreSQL ignores "n" here and its clients leave it empty. */
void scram_client_first(struct scram_client *c, struct buf *out)
{
	buf_clear(&c->first_bare);
	buf_add_span(&c->first_bare, span_str("n=,r="));
	buf_add_span(&c->first_bare, span_str(c->client_nonce));
	buf_add_span(out, span_str(scram_gs2_header(c->gs2_flag)));
	buf_add_span(out, buf_span(&c->first_bare));
	if (c->first_bare.failed)
		out->failed = true;
	c->state = SCRAM_FROM_CHALLENGE;
}

int scram_client_challenge(struct scram_client *c, struct span in, const char **why_r)
{
	size_t ours = strlen(c->client_nonce), salt_n;
	struct span left = in, nonce, salt, iterations;
	uint8_t salt_bytes[SCRAM_SALT_MAX];
	uint32_t count;
	char name;

	if (c->state != SCRAM_FROM_CHALLENGE)
		return fail(why_r, "SCRAM challenge out of order");
	if (in.n > SCRAM_MESSAGE_MAX)
		return fail(why_r, "SCRAM challenge is too long");
	if (!scram_attribute(&left, &name, &nonce) || name != 'r' || !scram_nonce_printable(nonce) ||
	    nonce.n > sizeof(c->nonce))
		return fail(why_r, "malformed SCRAM challenge: no nonce");
	if (nonce.n <= ours || memcmp(nonce.p, c->client_nonce, ours) != 0)
		return fail(why_r, "invalid SCRAM challenge: nonce does not match");
	if (!scram_attribute(&left, &name, &salt) || name != 's' ||
	    !scram_base64_decode(salt, salt_bytes, sizeof(salt_bytes), &salt_n))
		return fail(why_r, "malformed SCRAM challenge: no salt");
	if (!scram_attribute(&left, &name, &iterations) || name != 'i' ||
	    !scram_iterations(iterations, &count))
		return fail(why_r, "malformed SCRAM challenge: no iteration count");
	buf_add_span(&c->server_first, in);
	if (c->server_first.failed)
		return fail(why_r, "no memory for the SCRAM challenge");
	memcpy(c->nonce, nonce.p, nonce.n);
	c->nonce_n = nonce.n;
	memcpy(c->salt, salt_bytes, salt_n);
	c->salt_n = salt_n;
	c->iterations = count;
	c->state = SCRAM_FROM_FINAL;
	return 0;
}

int scram_client_final(struct scram_client *c, const struct scram_keys *keys, struct buf *out)
{
	uint8_t stored[SCRAM_KEY], proof[SCRAM_KEY];
	size_t from = out->len;
	struct span without_proof, bare = buf_span(&c->first_bare), first = buf_span(&c->server_first);

	if (c->state != SCRAM_FROM_FINAL)
		return -1;
	buf_add(out, "c=", 2);
	scram_cbind_add(out, c->gs2_flag, span_of(c->cbind, c->cbind_n));
	buf_add(out, ",r=", 3);
	buf_add(out, c->nonce, c->nonce_n);
	if (out->failed)
		return -1;
	without_proof = span_of(out->p + from, out->len - from);
	if (!scram_hash(span_of(keys->client_key, SCRAM_KEY), stored) ||
	    !scram_sign(stored, bare, first, without_proof, proof) ||
	    !scram_sign(keys->server_key, bare, first, without_proof, c->server_signature))
		return -1;
	for (size_t i = 0; i < SCRAM_KEY; i++)
		proof[i] ^= keys->client_key[i];
	buf_add(out, ",p=", 3);
	scram_base64_add(out, span_of(proof, sizeof(proof)));
	if (out->failed)
		return -1;
	c->state = SCRAM_FROM_END;
	return 0;
}

int scram_client_verify(struct scram_client *c, struct span in, const char **why_r)
{
	struct span left = in, value;
	uint8_t signature[SCRAM_KEY];
	size_t n;
	char name;

	if (c->state != SCRAM_FROM_END)
		return fail(why_r, "SCRAM server signature out of order");
	if (!scram_attribute(&left, &name, &value))
		return fail(why_r, "malformed SCRAM server signature");
	if (name == 'e')
		return fail(why_r, "the server reports an error in the SCRAM exchange");
	if (name != 'v' || !scram_base64_decode(value, signature, sizeof(signature), &n) || n != SCRAM_KEY)
		return fail(why_r, "malformed SCRAM server signature");
	if (!scram_same(signature, c->server_signature, SCRAM_KEY))
		return fail(why_r, "incorrect SCRAM server signature");
	return 0;
}

void scram_client_end(struct scram_client *c)
{
	buf_free(&c->first_bare);
	buf_free(&c->server_first);
	scram_wipe(c, sizeof(*c));
}
