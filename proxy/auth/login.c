#include "proxy/auth/login.h"

#include "proxy/auth/slow.h"
#include "proxy/base/check.h"
#include "proxy/net/tls.h"
#include "protocol/back.h"
#include "protocol/md5.h"
#include "protocol/scram.h"
#include "protocol/write.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

/* What the server may say next. */
enum login_state {
	LOGIN_AT_REQUEST,   /* any request, or Ok */
	LOGIN_AT_OK,	    /* a password was sent */
	LOGIN_AT_CHALLENGE, /* SASL: the server's first payload */
	LOGIN_AT_SALT,	    /* nothing: PBKDF2 runs */
	LOGIN_AT_FINAL,	    /* SASL: the server's proof */
	LOGIN_AT_END,	    /* nothing */
};

struct login {
	enum login_state state;
	char *user;	       /* owned */
	struct secret *secret; /* counted, may be NULL */
	SSL *ssl;	       /* borrowed, may be NULL */
	struct loop *loop;
	struct offload *offload;
	struct secrets *secrets;
	void (*ready)(void *arg);
	void *arg;
	struct scram_client scram;
	struct slow *slow; /* under way, or NULL */
	bool salted_ok;
	uint8_t salted[SCRAM_KEY];
};

struct login *login_new(const char *user, struct secret *secret, SSL *ssl, struct loop *l, struct offload *o,
			struct secrets *secrets, void (*ready)(void *arg), void *arg)
{
	struct login *g = check_alloc(sizeof *g);

	g->user = strdup(user);
	check(g->user != NULL);
	g->secret = secret != NULL ? secret_ref(secret) : NULL;
	g->ssl = ssl;
	g->loop = l;
	g->offload = o;
	g->secrets = secrets;
	g->ready = ready;
	g->arg = arg;
	return g;
}

void login_free(struct login **gp)
{
	struct login *g = *gp;

	*gp = NULL;
	if (g == NULL)
		return;
	slow_abandon(&g->slow);
	scram_client_end(&g->scram);
	secret_unref(g->secret);
	free(g->user);
	OPENSSL_cleanse(g, sizeof *g);
	free(g);
}

/* --- errors --- */

static enum login_step fail_protocol(struct err *err, const char *why)
{
	err_state(err, "08P01", "server broke the login protocol: %s", why);
	return LOGIN_FAILED;
}

static enum login_step fail_no_secret(const struct login *g, const char *asked, struct err *err)
{
	static const char *const have[] = {
		[SECRET_NONE] = "none is known",
		[SECRET_PLAIN] = "it does not take the one that is known",
		[SECRET_MD5] = "only its md5 hash is known",
		[SECRET_SCRAM] = "only its SCRAM verifier is known",
	};
	enum secret_kind kind = g->secret != NULL ? g->secret->kind : SECRET_NONE;

	err_state(err, "28P01", "server asks for %s for user \"%s\" and %s", asked, g->user,
		  kind == SECRET_SCRAM && g->secret->has_keys ? "only SCRAM keys are known" : have[kind]);
	return LOGIN_FAILED;
}

static enum login_step fail_unsupported(uint32_t code, struct err *err)
{
	const char *name = code == 7 || code == 8 ? "GSSAPI"
			   : code == 9		  ? "SSPI"
			   : code == 2		  ? "Kerberos"
						  : NULL;

	if (name != NULL)
		err_state(err, "28000", "server asks for %s authentication, which is not supported", name);
	else
		err_state(err, "28000", "server asks for authentication %u, which is not supported",
			  (unsigned)code);
	return LOGIN_FAILED;
}

/* --- in clear, md5 --- */

static enum login_step send_clear(struct login *g, struct buf *out, struct err *err)
{
	if (g->secret == NULL || g->secret->kind != SECRET_PLAIN)
		return fail_no_secret(g, "a password", err);
	write_password(out, span_str(g->secret->text));
	g->state = LOGIN_AT_OK;
	return LOGIN_CONTINUE;
}

static enum login_step send_md5(struct login *g, struct span rest, struct buf *out, struct err *err)
{
	char stored[MD5_TEXT], answer[MD5_TEXT];
	struct span text;
	bool ok;

	if (rest.n != 4)
		return fail_protocol(err, "md5 request without a salt of 4 bytes");
	if (g->secret == NULL || (g->secret->kind != SECRET_PLAIN && g->secret->kind != SECRET_MD5))
		return fail_no_secret(g, "an md5 password", err);
	text = span_str(g->secret->text);
	if (g->secret->kind == SECRET_PLAIN) {
		if (md5_hash(span_str(g->user), text, stored) != 0)
			return fail_protocol(err, "md5 is not available here");
		text = span_str(stored);
	}
	ok = md5_answer(text, rest.p, answer) == 0;
	if (ok)
		write_password(out, span_str(answer));
	OPENSSL_cleanse(stored, sizeof stored);
	if (!ok)
		return fail_protocol(err, "md5 is not available here");
	g->state = LOGIN_AT_OK;
	return LOGIN_CONTINUE;
}

/* --- SCRAM --- */

static enum login_step send_first(struct login *g, struct span mechanisms, struct buf *out, struct err *err)
{
	unsigned char cbind[64];
	struct span binding = span_of(NULL, 0);
	struct buf data;
	const char *why;

	if (g->secret == NULL || (g->secret->kind != SECRET_PLAIN && !g->secret->has_keys))
		return fail_no_secret(g, "a SCRAM password", err);
	if (g->ssl != NULL)
		binding = span_of(cbind, tls_end_point(g->ssl, 0, cbind));
	if (scram_client_start(&g->scram, mechanisms, binding, SCRAM_BIND_PREFER, &why) != 0)
		return fail_protocol(err, why);
	buf_init(&data, SCRAM_MESSAGE_MAX);
	scram_client_first(&g->scram, &data);
	write_sasl_initial(out, g->scram.mechanism, buf_span(&data));
	if (data.failed)
		out->failed = true;
	buf_free(&data);
	g->state = LOGIN_AT_CHALLENGE;
	return LOGIN_CONTINUE;
}

static enum login_step send_final(struct login *g, const struct scram_keys *keys, struct buf *out,
				  struct err *err)
{
	struct buf data;
	int rc;

	buf_init(&data, SCRAM_MESSAGE_MAX);
	rc = scram_client_final(&g->scram, keys, &data);
	if (rc == 0 && !data.failed)
		write_sasl_response(out, buf_span(&data));
	else
		err_state(err, "53200", "out of memory");
	rc = data.failed ? -1 : rc;
	buf_free(&data);
	if (rc != 0)
		return LOGIN_FAILED;
	g->state = LOGIN_AT_FINAL;
	return LOGIN_CONTINUE;
}

static enum login_step send_final_salted(struct login *g, const uint8_t salted[SCRAM_KEY], struct buf *out,
					 struct err *err)
{
	struct scram_keys keys;
	enum login_step step;

	if (scram_keys_derive(salted, &keys) != 0) {
		err_state(err, "53200", "out of memory");
		return LOGIN_FAILED;
	}
	step = send_final(g, &keys, out, err);
	OPENSSL_cleanse(&keys, sizeof keys);
	return step;
}

/* Learned keys belong to one salt: a server with another verifier would only say "wrong password". */
static enum login_step send_final_learned(struct login *g, struct buf *out, struct err *err)
{
	struct scram_verifier v;
	struct scram_keys keys;
	enum login_step step;
	bool same;

	same = scram_verifier_parse(span_str(g->secret->text), &v) && v.iterations == g->scram.iterations &&
	       v.salt_n == g->scram.salt_n && memcmp(v.salt, g->scram.salt, v.salt_n) == 0;
	OPENSSL_cleanse(&v, sizeof v);
	if (!same) {
		err_state(
			err, "28P01",
			"server has another SCRAM secret for user \"%s\" than the one the client has logged in with",
			g->user);
		return LOGIN_FAILED;
	}
	memcpy(keys.client_key, g->secret->client_key, sizeof keys.client_key);
	memcpy(keys.server_key, g->secret->server_key, sizeof keys.server_key);
	step = send_final(g, &keys, out, err);
	OPENSSL_cleanse(&keys, sizeof keys);
	return step;
}

static void salted_done(void *owner, struct slow *slow)
{
	struct login *g = owner;

	g->slow = NULL;
	g->salted_ok = slow->ok;
	memcpy(g->salted, slow->salted, sizeof g->salted);
	g->ready(g->arg);
}

static enum login_step begin_salt(struct login *g, struct err *err)
{
	struct slow *slow = slow_new(salted_done, g);

	if (slow == NULL || !slow_set_salt(slow, span_str(g->secret->text),
					   span_of(g->scram.salt, g->scram.salt_n), g->scram.iterations)) {
		slow_free(&slow);
		err_state(err, "53200", "out of memory");
		return LOGIN_FAILED;
	}
	if (slow_start(slow, g->loop, g->offload, err) != 0)
		return LOGIN_FAILED;
	g->slow = slow;
	g->state = LOGIN_AT_SALT;
	return LOGIN_WAIT;
}

static enum login_step take_challenge(struct login *g, struct span data, struct buf *out, struct err *err)
{
	uint8_t salted[SCRAM_KEY];
	enum login_step step;
	const char *why;

	if (scram_client_challenge(&g->scram, data, &why) != 0)
		return fail_protocol(err, why);
	if (g->secret->kind != SECRET_PLAIN)
		return send_final_learned(g, out, err);
	if (!secrets_salted(g->secrets, g->secret->text, g->scram.salt, (unsigned)g->scram.salt_n,
			    g->scram.iterations, salted))
		return begin_salt(g, err);
	step = send_final_salted(g, salted, out, err);
	OPENSSL_cleanse(salted, sizeof salted);
	return step;
}

static enum login_step take_final(struct login *g, struct span data, struct err *err)
{
	const char *why;

	if (scram_client_verify(&g->scram, data, &why) != 0) {
		err_state(err, "28000", "server did not prove that it knows user \"%s\": %s", g->user, why);
		return LOGIN_FAILED;
	}
	/* Kept only now: a wrong password, or a server that draws a salt for each login, leaves nothing behind. */
	if (g->salted_ok)
		secrets_keep_salted(g->secrets, g->secret->text, g->scram.salt, (unsigned)g->scram.salt_n,
				    g->scram.iterations, g->salted);
	g->state = LOGIN_AT_OK;
	return LOGIN_CONTINUE;
}

/* --- the server's messages --- */

static enum login_step take_request(struct login *g, uint32_t code, struct span rest, struct buf *out,
				    struct err *err)
{
	switch (code) {
	case BACK_AUTH_CLEARTEXT: return send_clear(g, out, err);
	case BACK_AUTH_MD5: return send_md5(g, rest, out, err);
	case BACK_AUTH_SASL: return send_first(g, rest, out, err);
	case BACK_AUTH_SASL_CONTINUE:
	case BACK_AUTH_SASL_FINAL: return fail_protocol(err, "SASL data without a SASL request");
	default: return fail_unsupported(code, err);
	}
}

static enum login_step take(struct login *g, uint32_t code, struct span rest, struct buf *out,
			    struct err *err)
{
	if (code == BACK_AUTH_OK && (g->state == LOGIN_AT_REQUEST || g->state == LOGIN_AT_OK)) {
		g->state = LOGIN_AT_END;
		return LOGIN_OK;
	}
	if (g->state == LOGIN_AT_REQUEST)
		return take_request(g, code, rest, out, err);
	if (g->state == LOGIN_AT_CHALLENGE && code == BACK_AUTH_SASL_CONTINUE)
		return take_challenge(g, rest, out, err);
	if (g->state == LOGIN_AT_FINAL && code == BACK_AUTH_SASL_FINAL)
		return take_final(g, rest, err);
	if (code == BACK_AUTH_OK)
		return fail_protocol(err, "login accepted before the server had proven itself");
	return fail_protocol(err, "authentication request out of order");
}

static enum login_step ended(struct login *g, enum login_step step, struct buf *out, struct err *err)
{
	if (step != LOGIN_FAILED && out->failed) {
		err_state(err, "53200", "out of memory");
		step = LOGIN_FAILED;
	}
	if (step == LOGIN_FAILED)
		g->state = LOGIN_AT_END;
	return step;
}

enum login_step login_input(struct login *g, struct span body, struct buf *out, struct err *err)
{
	struct span rest;
	uint32_t code;
	const char *why;

	if (back_auth_decode(body, &code, &rest, &why) != 0)
		return ended(g, fail_protocol(err, why), out, err);
	return ended(g, take(g, code, rest, out, err), out, err);
}

enum login_step login_step_again(struct login *g, struct buf *out, struct err *err)
{
	if (g->state != LOGIN_AT_SALT)
		return g->state == LOGIN_AT_END ? ended(g, fail_protocol(err, "the login is over"), out, err)
						: LOGIN_CONTINUE;
	if (g->slow != NULL)
		return LOGIN_WAIT;
	if (!g->salted_ok) {
		err_state(err, "53200", "out of memory");
		return ended(g, LOGIN_FAILED, out, err);
	}
	return ended(g, send_final_salted(g, g->salted, out, err), out, err);
}
