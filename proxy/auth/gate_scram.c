#include "proxy/auth/gate_private.h"

#include "protocol/back.h"
#include "protocol/write.h"
#include "proxy/net/tls.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <stdlib.h>

/* A user with a plain password shows the same made-up salt as a user that does not exist; the keys are computed when the client's
 * proof is there, in an offload thread, and the verifier is kept. So neither the first message nor its time tells the two apart. */

static struct span binding(const struct gate *g, unsigned char data[64])
{
	return g->ssl != NULL ? span_of(data, tls_end_point(g->ssl, 1, data)) : span_of(NULL, 0);
}

static uint32_t own_iterations(const struct gate *g)
{
	uint32_t n = (uint32_t)g->config->scram_iterations;

	return n > SCRAM_ITERATIONS_MAX ? SCRAM_ITERATIONS_MAX : n;
}

int gate_mock_verifier(const struct gate *g, struct scram_verifier *verifier_r)
{
	return scram_verifier_mock(span_str(g->user), secrets_mock_key(g->secrets), own_iterations(g),
				   verifier_r);
}

static bool kept_verifier(struct gate *g, const struct scram_verifier *mock,
			  struct scram_verifier *verifier_r)
{
	char text[1024];
	struct scram_verifier kept;
	bool fits = secrets_verifier(g->secrets, g->user, g->secret->text, text, sizeof text) &&
		    scram_verifier_parse(span_str(text), &kept) && kept.iterations == mock->iterations &&
		    kept.salt_n == mock->salt_n && memcmp(kept.salt, mock->salt, mock->salt_n) == 0;

	if (fits)
		*verifier_r = kept;
	OPENSSL_cleanse(text, sizeof text);
	OPENSSL_cleanse(&kept, sizeof kept);
	return fits;
}

/* What the exchange runs against. */
static int choose_verifier(struct gate *g, struct scram_verifier *verifier_r)
{
	struct scram_verifier mock;

	g->scram_late = false;
	if (g->secret != NULL && g->secret->kind == SECRET_SCRAM &&
	    scram_verifier_parse(span_str(g->secret->text), verifier_r))
		return 0;
	if (gate_mock_verifier(g, &mock) != 0)
		return -1;
	if (g->secret != NULL && g->secret->kind == SECRET_PLAIN) {
		if (kept_verifier(g, &mock, verifier_r))
			return 0;
		g->scram_late = true;
	}
	*verifier_r = mock;
	return 0;
}

/* The proof is judged late for some users only, and so a malformed one must not be refused sooner for the others. */
static enum gate_step deny_fault(struct gate *g, const struct scram_fault *fault, bool later, struct err *err)
{
	const char *reason = fault->detail != NULL ? fault->detail : fault->message;

	return later ? gate_deny_later(g, fault->sqlstate, fault->message, reason)
		     : gate_deny(g, err, fault->sqlstate, fault->message, reason);
}

static const char *refusal(const struct gate *g)
{
	if (g->secret == NULL || g->secret->kind == SECRET_NONE)
		return "no such user, or one without a password";
	if (g->secret->kind == SECRET_MD5)
		return "the secret is an md5 hash, which does not do for scram-sha-256";
	if (g->secret->kind == SECRET_SCRAM && g->scram.verifier.mock)
		return "the stored SCRAM secret is malformed";
	return "wrong password";
}

/* The keys that this login has shown go with the verifier; a plain password is better than keys. */
static enum gate_step admit_scram(struct gate *g)
{
	struct secret *learned;

	if (g->secret->kind == SECRET_SCRAM) {
		learned =
			secret_with_keys(g->secret->text, g->scram.keys.client_key, g->scram.keys.server_key);
		if (learned != NULL) {
			secret_unref(g->secret);
			g->secret = learned;
		}
	}
	return gate_admit(g);
}

static enum gate_step scram_final(struct gate *g, struct span body, struct buf *out, struct err *err);

/* One payload in, at most one out. */
static enum gate_step advance(struct gate *g, struct span data, struct buf *out, struct err *err)
{
	struct scram_fault fault = {0};
	enum gate_step step = GATE_DENIED;
	bool at_proof = g->scram.state == SCRAM_AT_FINAL;
	struct buf said;

	buf_init(&said, SCRAM_MESSAGE_MAX);
	switch (scram_server_step(&g->scram, data, &said, &fault)) {
	case SCRAM_MORE:
		write_auth(out, BACK_AUTH_SASL_CONTINUE, buf_span(&said));
		step = gate_expect(g, scram_final);
		break;
	case SCRAM_DONE:
		write_auth(out, BACK_AUTH_SASL_FINAL, buf_span(&said));
		step = admit_scram(g);
		break;
	case SCRAM_REFUSED: step = gate_refuse_password(g, refusal(g)); break;
	case SCRAM_BAD: step = deny_fault(g, &fault, at_proof, err); break;
	}
	buf_free(&said);
	return step;
}

/* --- the verifier of a plain password, computed late --- */

static void keep_verifier(struct gate *g, const struct scram_verifier *verifier)
{
	struct buf text;

	buf_init(&text, 1024);
	scram_verifier_format(verifier, &text);
	buf_add_u8(&text, 0);
	if (!text.failed)
		secrets_keep_verifier(g->secrets, g->user, g->secret->text, (const char *)text.p);
	buf_free(&text);
}

static void late_salted(void *owner, struct slow *slow)
{
	struct gate *g = owner;
	struct scram_verifier *verifier = &g->scram.verifier;
	struct scram_keys keys;

	g->slow = NULL;
	if (slow->ok && scram_keys_derive(slow->salted, &keys) == 0) {
		SHA256(keys.client_key, sizeof keys.client_key, verifier->stored_key);
		memcpy(verifier->server_key, keys.server_key, sizeof verifier->server_key);
		verifier->mock = false;
		keep_verifier(g, verifier);
		OPENSSL_cleanse(&keys, sizeof keys);
	}
	gate_wake(g);
}

static enum gate_step late_judged(struct gate *g, struct buf *out, struct err *err)
{
	enum gate_step step = advance(g, span_of(g->held, g->held_n), out, err);

	gate_unhold(g);
	return step;
}

static enum gate_step derive_late(struct gate *g, struct span body, struct err *err)
{
	const struct scram_verifier *verifier = &g->scram.verifier;
	struct slow *slow;

	g->scram_late = false;
	if (!gate_hold(g, body))
		return gate_deny(g, err, "08P01", "malformed SCRAM message",
				 "the message is too long, or no memory");
	slow = slow_new(late_salted, g);
	if (slow == NULL || !slow_set_salt(slow, span_str(g->secret->text),
					   span_of(verifier->salt, verifier->salt_n), verifier->iterations)) {
		slow_free(&slow);
		return gate_deny(g, err, "53200", "out of memory", "no memory");
	}
	return gate_run_slow(g, g->offload, slow, late_judged, err);
}

/* --- the client's two messages --- */

static enum gate_step scram_final(struct gate *g, struct span body, struct buf *out, struct err *err)
{
	/* An initial response without data is followed by the first message, not by the proof. */
	if (g->scram_late && g->scram.state == SCRAM_AT_FINAL)
		return derive_late(g, body, err);
	return advance(g, span_of(body.p != NULL ? body.p : (const void *)"", body.n), out, err);
}

static enum gate_step scram_initial(struct gate *g, struct span body, struct buf *out, struct err *err)
{
	struct scram_verifier verifier = {0};
	struct scram_fault fault = {0};
	struct span mechanism, data;
	unsigned char cbind[64];
	enum scram_status status;
	const char *why;

	if (scram_initial_decode(body, &mechanism, &data, &why) != 0)
		return gate_deny(g, err, "08P01", why, why);
	if (choose_verifier(g, &verifier) != 0)
		return gate_deny(g, err, "XX000", "no random numbers", "the crypto library failed");
	status = scram_server_start(&g->scram, &verifier, mechanism, binding(g, cbind), &fault);
	OPENSSL_cleanse(&verifier, sizeof verifier);
	if (status != SCRAM_MORE)
		return deny_fault(g, &fault, false, err);
	g->shown = g->scram.plus ? "scram-sha-256-plus" : "scram-sha-256";
	return advance(g, data, out, err);
}

enum gate_step gate_ask_scram(struct gate *g, struct buf *out, struct err *err)
{
	unsigned char cbind[64];
	struct buf names;

	(void)err;
	buf_init(&names, 256);
	scram_server_mechanisms(binding(g, cbind), &names);
	g->shown = "scram-sha-256";
	write_auth(out, BACK_AUTH_SASL, buf_span(&names));
	if (names.failed)
		out->failed = true;
	buf_free(&names);
	return gate_expect(g, scram_initial);
}
