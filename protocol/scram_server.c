#include "protocol/scram.h"

#include "protocol/read.h"
#include "protocol/scram_wire.h"

#include <stdio.h>

static enum scram_status fault(struct scram_fault *fault_r, const char *sqlstate, const char *message,
			       const char *detail)
{
	*fault_r = (struct scram_fault){.sqlstate = sqlstate, .message = message, .detail = detail};
	return SCRAM_BAD;
}

static enum scram_status malformed(struct scram_fault *fault_r, const char *detail)
{
	return fault(fault_r, "08P01", "malformed SCRAM message", detail);
}

static enum scram_status broken(struct scram_fault *fault_r)
{
	return fault(fault_r, "XX000", "could not compute the SCRAM exchange", NULL);
}

int scram_initial_decode(struct span body, struct span *mechanism_r, struct span *data_r, const char **why_r)
{
	struct read r = read_from(body);
	struct span mechanism = read_cstr(&r);
	uint32_t length = read_u32(&r);
	struct span data = length == UINT32_MAX ? span_of(NULL, 0) : read_bytes(&r, length);

	if (read_end(&r, why_r) != 0)
		return -1;
	*mechanism_r = mechanism;
	*data_r = data;
	return 0;
}

void scram_server_mechanisms(struct span cbind_data, struct buf *out)
{
	if (cbind_data.n > 0)
		buf_add_cstr(out, SCRAM_NAME_PLUS);
	buf_add_cstr(out, SCRAM_NAME);
	buf_add_u8(out, 0);
}

enum scram_status scram_server_start(struct scram_server *s, const struct scram_verifier *v,
				     struct span mechanism, struct span cbind_data,
				     struct scram_fault *fault_r)
{
	*s = (struct scram_server){.verifier = *v, .state = SCRAM_AT_FIRST, .have_tls = cbind_data.n > 0};
	buf_init(&s->client_first_bare, SCRAM_MESSAGE_MAX);
	buf_init(&s->server_first, SCRAM_MESSAGE_MAX);
	s->plus = span_eq(mechanism, span_str(SCRAM_NAME_PLUS));
	if ((!s->plus && !span_eq(mechanism, span_str(SCRAM_NAME))) || (s->plus && !s->have_tls))
		return fault(fault_r, "08P01", "client selected an invalid SASL authentication mechanism",
			     NULL);
	if (cbind_data.n > sizeof(s->cbind) || !scram_nonce(s->server_nonce))
		return broken(fault_r);
	s->cbind_n = cbind_data.n;
	if (cbind_data.n > 0)
		memcpy(s->cbind, cbind_data.p, cbind_data.n);
	return SCRAM_MORE;
}

/* May the client say this flag, given what it chose and what we offered? */
static enum scram_status check_flag(const struct scram_server *s, char flag, struct scram_fault *fault_r)
{
	switch (flag) {
	case 'y':
		if (s->have_tls && !s->plus)
			return fault(
				fault_r, "28000", "SCRAM channel binding negotiation error",
				"The client supports SCRAM channel binding but thinks the server does not.  "
				"However, this server does support channel binding.");
		/* fall through */
	case 'n':
		if (s->plus)
			return malformed(fault_r,
					 "The client selected SCRAM-SHA-256-PLUS, but the SCRAM message "
					 "does not include channel binding data.");
		return SCRAM_MORE;
	case 'p':
		if (!s->plus)
			return malformed(fault_r,
					 "The client selected SCRAM-SHA-256 without channel binding, but "
					 "the SCRAM message includes channel binding data.");
		return SCRAM_MORE;
	default: return malformed(fault_r, "Unexpected channel-binding flag.");
	}
}

/* "n,,", "y,," or "p=tls-server-end-point,,"; *left is moved behind it. */
static enum scram_status read_gs2_header(struct scram_server *s, struct span *left,
					 struct scram_fault *fault_r)
{
	char flag = left->n > 0 ? (char)left->p[0] : 0;
	enum scram_status status = check_flag(s, flag, fault_r);
	struct span binding;

	if (status != SCRAM_MORE)
		return status;
	if (flag == 'p') {
		if (!scram_attribute(left, &flag, &binding))
			return malformed(fault_r, "Channel binding type expected.");
		if (!span_eq(binding, span_str(SCRAM_CBIND_NAME)))
			return fault(fault_r, "08P01", "unsupported SCRAM channel-binding type", NULL);
	} else {
		if (left->n < 2 || left->p[1] != ',')
			return malformed(fault_r, "Comma expected behind the channel-binding flag.");
		*left = span_skip(*left, 2);
	}
	if (left->n > 0 && left->p[0] == 'a')
		return fault(fault_r, "0A000", "client uses authorization identity, but it is not supported",
			     NULL);
	if (left->n == 0 || left->p[0] != ',')
		return malformed(fault_r, "Unexpected attribute in client-first-message.");
	*left = span_skip(*left, 1);
	s->gs2_flag = flag;
	return SCRAM_MORE;
}

/* "n=<ignored>,r=<nonce>[,extensions]"; the user is the one of the startup packet. */
static enum scram_status read_first_bare(struct span left, struct span *nonce_r, struct scram_fault *fault_r)
{
	struct span value;
	char name;

	if (left.n > 0 && left.p[0] == 'm')
		return fault(fault_r, "0A000", "client requires an unsupported SCRAM extension", NULL);
	if (!scram_attribute(&left, &name, &value) || name != 'n')
		return malformed(fault_r, "Attribute \"n\" expected.");
	if (!scram_attribute(&left, &name, &value) || name != 'r')
		return malformed(fault_r, "Attribute \"r\" expected.");
	if (!scram_nonce_printable(value))
		return fault(fault_r, "08P01", "non-printable characters in SCRAM nonce", NULL);
	*nonce_r = value;
	while (left.n > 0)
		if (!scram_attribute(&left, &name, &value))
			return malformed(fault_r, "Attribute expected in client-first-message.");
	return SCRAM_MORE;
}

static enum scram_status step_first(struct scram_server *s, struct span in, struct buf *out,
				    struct scram_fault *fault_r)
{
	struct span left = in, nonce;
	enum scram_status status = read_gs2_header(s, &left, fault_r);
	char iterations[16];
	int n;

	if (status != SCRAM_MORE)
		return status;
	status = read_first_bare(left, &nonce, fault_r);
	if (status != SCRAM_MORE)
		return status;
	if (nonce.n + strlen(s->server_nonce) > SCRAM_NONCE_MAX)
		return malformed(fault_r, "The nonce is too long.");
	buf_add_span(&s->client_first_bare, left);
	buf_add(&s->server_first, "r=", 2);
	buf_add_span(&s->server_first, nonce);
	buf_add_span(&s->server_first, span_str(s->server_nonce));
	buf_add(&s->server_first, ",s=", 3);
	scram_base64_add(&s->server_first, span_of(s->verifier.salt, s->verifier.salt_n));
	n = snprintf(iterations, sizeof(iterations), ",i=%u", s->verifier.iterations);
	buf_add(&s->server_first, iterations, (size_t)n);
	buf_add_span(out, buf_span(&s->server_first));
	if (s->client_first_bare.failed || s->server_first.failed || out->failed)
		return broken(fault_r);
	s->state = SCRAM_AT_FINAL;
	return SCRAM_MORE;
}

/* The "c" attribute must repeat the gs2 header and, with -PLUS, name our own certificate. */
static enum scram_status check_binding(const struct scram_server *s, struct span given,
				       struct scram_fault *fault_r)
{
	struct buf wanted;
	bool same, failed;

	buf_init(&wanted, SCRAM_MESSAGE_MAX);
	scram_cbind_add(&wanted, s->gs2_flag, span_of(s->cbind, s->cbind_n));
	failed = wanted.failed;
	same = !failed && given.n == wanted.len && scram_same(given.p, wanted.p, wanted.len);
	buf_free(&wanted);
	if (failed)
		return broken(fault_r);
	if (same)
		return SCRAM_MORE;
	if (s->plus)
		return fault(fault_r, "28000", "SCRAM channel binding check failed", NULL);
	return fault(fault_r, "08P01", "unexpected SCRAM channel-binding attribute in client-final-message",
		     NULL);
}

/* The nonce that we sent, both halves: what stands in server_first between "r=" and ",s=". */
static bool nonce_matches(const struct scram_server *s, struct span given)
{
	struct span left = buf_span(&s->server_first), ours;
	char name;

	return scram_attribute(&left, &name, &ours) && given.n == ours.n &&
	       scram_same(given.p, ours.p, ours.n);
}

struct final {
	struct span binding;
	struct span nonce;
	struct span without_proof;
	uint8_t proof[SCRAM_KEY];
};

/* "c=<binding>,r=<nonce>[,extensions],p=<proof>" */
static enum scram_status read_final(struct span in, struct final *out, struct scram_fault *fault_r)
{
	struct span left = in, value;
	size_t n;
	char name;

	if (!scram_attribute(&left, &name, &out->binding) || name != 'c')
		return malformed(fault_r, "Attribute \"c\" expected.");
	if (!scram_attribute(&left, &name, &out->nonce) || name != 'r')
		return malformed(fault_r, "Attribute \"r\" expected.");
	do {
		if (left.n == 0)
			return malformed(fault_r, "Attribute \"p\" expected.");
		out->without_proof = span_of(in.p, (size_t)(left.p - in.p) - 1);
		if (!scram_attribute(&left, &name, &value))
			return malformed(fault_r, "Attribute expected in client-final-message.");
	} while (name != 'p');
	if (!scram_base64_decode(value, out->proof, SCRAM_KEY, &n) || n != SCRAM_KEY)
		return malformed(fault_r, "Malformed proof in client-final-message.");
	if (left.n > 0)
		return malformed(fault_r, "Garbage found at the end of client-final-message.");
	return SCRAM_MORE;
}

/* ClientKey = proof XOR ClientSignature, and its hash must be what is stored. */
static enum scram_status check_proof(struct scram_server *s, const struct final *final,
				     struct scram_fault *fault_r)
{
	struct scram_keys keys;
	uint8_t signature[SCRAM_KEY];
	bool fits;

	if (!scram_sign(s->verifier.stored_key, buf_span(&s->client_first_bare), buf_span(&s->server_first),
			final->without_proof, signature))
		return broken(fault_r);
	for (size_t i = 0; i < SCRAM_KEY; i++)
		keys.client_key[i] = final->proof[i] ^ signature[i];
	memcpy(keys.server_key, s->verifier.server_key, SCRAM_KEY);
	fits = scram_keys_fit(&keys, &s->verifier);
	if (fits)
		s->keys = keys;
	scram_wipe(&keys, sizeof(keys));
	if (fits)
		return SCRAM_MORE;
	fault(fault_r, "28P01", "password authentication failed", NULL);
	return SCRAM_REFUSED;
}

static enum scram_status step_final(struct scram_server *s, struct span in, struct buf *out,
				    struct scram_fault *fault_r)
{
	struct final final = {0};
	uint8_t signature[SCRAM_KEY];
	enum scram_status status = read_final(in, &final, fault_r);

	if (status == SCRAM_MORE)
		status = check_binding(s, final.binding, fault_r);
	if (status != SCRAM_MORE)
		return status;
	if (!nonce_matches(s, final.nonce))
		return fault(fault_r, "08P01", "invalid SCRAM response", "Nonce does not match.");
	status = check_proof(s, &final, fault_r);
	if (status != SCRAM_MORE)
		return status;
	if (!scram_sign(s->keys.server_key, buf_span(&s->client_first_bare), buf_span(&s->server_first),
			final.without_proof, signature))
		return broken(fault_r);
	buf_add(out, "v=", 2);
	scram_base64_add(out, span_of(signature, SCRAM_KEY));
	return out->failed ? broken(fault_r) : SCRAM_DONE;
}

enum scram_status scram_server_step(struct scram_server *s, struct span in, struct buf *out,
				    struct scram_fault *fault_r)
{
	enum scram_status status;

	if (s->state == SCRAM_AT_FIRST && in.p == NULL)
		return SCRAM_MORE;
	if (in.n == 0)
		status = malformed(fault_r, "The message is empty.");
	else if (in.n > SCRAM_MESSAGE_MAX || memchr(in.p, 0, in.n) != NULL)
		status = malformed(fault_r, "Message length does not match input length.");
	else if (s->state == SCRAM_AT_FIRST)
		status = step_first(s, in, out, fault_r);
	else if (s->state == SCRAM_AT_FINAL)
		status = step_final(s, in, out, fault_r);
	else
		status = malformed(fault_r, "The exchange is over.");
	if (status != SCRAM_MORE)
		s->state = SCRAM_AT_END;
	return status;
}

void scram_server_end(struct scram_server *s)
{
	buf_free(&s->client_first_bare);
	buf_free(&s->server_first);
	scram_wipe(s, sizeof(*s));
}
