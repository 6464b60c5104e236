#include "proxy/auth/gate_private.h"

#include "protocol/back.h"
#include "protocol/front.h"
#include "protocol/md5.h"
#include "protocol/write.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdlib.h>

/* What PostgreSQL says to everybody: no user has an empty password, not even one whose verifier was made of it. */
static enum gate_step deny_empty(struct gate *g, struct err *err)
{
	return gate_deny(g, err, "28P01", "empty password returned by client", "empty password");
}

/* --- in clear --- */

static bool span_same(struct span a, struct span b)
{
	return a.n == b.n && CRYPTO_memcmp(a.p, b.p, a.n) == 0;
}

/* The cheap comparisons; a verifier needs PBKDF2. */
static bool fits_at_once(const struct gate *g, struct span password)
{
	char hash[MD5_TEXT];
	bool fits = false;

	if (g->secret == NULL)
		return false;
	if (g->secret->kind == SECRET_PLAIN)
		return span_same(span_str(g->secret->text), password);
	if (g->secret->kind == SECRET_MD5 && md5_hash(span_str(g->user), password, hash) == 0)
		fits = span_same(span_str(g->secret->text), span_str(hash));
	OPENSSL_cleanse(hash, sizeof hash);
	return fits;
}

/* The verifier that the typed password is tried on: the user's, or one that nothing fits. */
static bool verifier_to_try(const struct gate *g, struct scram_verifier *verifier_r)
{
	if (g->secret != NULL && g->secret->kind == SECRET_SCRAM &&
	    scram_verifier_parse(span_str(g->secret->text), verifier_r))
		return true;
	return gate_mock_verifier(g, verifier_r) == 0;
}

/* The password is good: with it every server that knows the user can be logged in to. */
static enum gate_step admit_with_password(struct gate *g, struct span password)
{
	struct secret *typed = secret_plain(password);

	if (typed != NULL) {
		secret_unref(g->secret);
		g->secret = typed;
	}
	return gate_admit(g);
}

static bool salted_fits(struct gate *g, const uint8_t salted[SCRAM_KEY])
{
	struct scram_verifier verifier;
	struct scram_keys keys;
	bool fits = g->secret != NULL && g->secret->kind == SECRET_SCRAM &&
		    scram_verifier_parse(span_str(g->secret->text), &verifier) && !verifier.mock &&
		    scram_keys_derive(salted, &keys) == 0 && scram_keys_fit(&keys, &verifier);

	OPENSSL_cleanse(&keys, sizeof keys);
	OPENSSL_cleanse(&verifier, sizeof verifier);
	return fits;
}

static void clear_salted(void *owner, struct slow *slow)
{
	struct gate *g = owner;

	g->slow = NULL;
	g->fits = slow->ok && salted_fits(g, slow->salted);
	/* Only what was right is kept. A server with the same verifier will ask for the same. */
	if (g->fits)
		secrets_keep_salted(g->secrets, slow->password, slow->salt, (unsigned)slow->salt_n,
				    slow->iterations, slow->salted);
	gate_wake(g);
}

static enum gate_step clear_judged(struct gate *g, struct buf *out, struct err *err)
{
	enum gate_step step;

	(void)out;
	(void)err;
	if (g->fits)
		step = admit_with_password(g, span_of(g->held, g->held_n));
	else
		step = gate_refuse_password(g, g->secret == NULL || g->secret->kind == SECRET_NONE
						       ? "no such user, or one without a password"
						       : "wrong password");
	gate_unhold(g);
	return step;
}

/* Also for what is wrong already and for users that do not exist: the same work for all. */
static enum gate_step clear_by_verifier(struct gate *g, struct span password, struct err *err)
{
	struct scram_verifier verifier = {0};
	uint8_t salted[SCRAM_KEY];
	struct slow *slow;
	bool ok;

	if (!gate_hold(g, password) || !verifier_to_try(g, &verifier))
		return gate_refuse_password(g, "password too long, or no memory");
	g->held[g->held_n] = '\0';
	if (secrets_salted(g->secrets, (const char *)g->held, verifier.salt, (unsigned)verifier.salt_n,
			   verifier.iterations, salted)) {
		g->fits = salted_fits(g, salted);
		OPENSSL_cleanse(salted, sizeof salted);
		return clear_judged(g, NULL, err);
	}
	slow = slow_new(clear_salted, g);
	ok = slow != NULL &&
	     slow_set_salt(slow, password, span_of(verifier.salt, verifier.salt_n), verifier.iterations);
	OPENSSL_cleanse(&verifier, sizeof verifier);
	if (!ok) {
		slow_free(&slow);
		return gate_refuse_password(g, "password too long, or no memory");
	}
	return gate_run_slow(g, g->offload, slow, clear_judged, err);
}

static enum gate_step clear_input(struct gate *g, struct span body, struct buf *out, struct err *err)
{
	struct span password;
	const char *why;

	(void)out;
	if (front_password_decode(body, &password, &why) != 0)
		return gate_deny(g, err, "08P01", why, why);
	if (password.n == 0)
		return deny_empty(g, err);
	if (fits_at_once(g, password))
		return admit_with_password(g, password);
	return clear_by_verifier(g, password, err);
}

enum gate_step gate_ask_clear(struct gate *g, struct buf *out)
{
	write_auth(out, BACK_AUTH_CLEARTEXT, span_of(NULL, 0));
	return gate_expect(g, clear_input);
}

/* --- md5 --- */

static bool md5_stored(const struct gate *g, char stored_r[MD5_TEXT])
{
	if (g->secret == NULL)
		return false;
	if (g->secret->kind == SECRET_PLAIN)
		return md5_hash(span_str(g->user), span_str(g->secret->text), stored_r) == 0;
	if (g->secret->kind != SECRET_MD5 || strlen(g->secret->text) >= MD5_TEXT)
		return false;
	strcpy(stored_r, g->secret->text);
	return true;
}

static enum gate_step md5_input(struct gate *g, struct span body, struct buf *out, struct err *err)
{
	char stored[MD5_TEXT];
	struct span answer;
	const char *why;
	bool fits;

	(void)out;
	if (front_password_decode(body, &answer, &why) != 0)
		return gate_deny(g, err, "08P01", why, why);
	if (answer.n == 0)
		return deny_empty(g, err);
	if (!md5_stored(g, stored))
		return gate_refuse_password(g, "no such user, or one without a password");
	fits = md5_check(span_str(stored), g->md5_salt, answer);
	OPENSSL_cleanse(stored, sizeof stored);
	return fits ? gate_admit(g) : gate_refuse_password(g, "wrong password");
}

enum gate_step gate_ask_md5(struct gate *g, struct buf *out, struct err *err)
{
	if (RAND_bytes(g->md5_salt, sizeof g->md5_salt) != 1)
		return gate_deny(g, err, "XX000", "no random numbers", "the random generator failed");
	g->shown = "md5";
	write_auth(out, BACK_AUTH_MD5, span_of(g->md5_salt, sizeof g->md5_salt));
	return gate_expect(g, md5_input);
}
