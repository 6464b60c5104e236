#include "protocol/scram.h"

#include "protocol/scram_wire.h"

#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <stringprep.h>

#define SALT_NEW 16u

/* Takes what stands before `sep` off the front of *left. */
static bool cut(struct span *left, char sep, struct span *part_r)
{
	const uint8_t *at = left->n == 0 ? NULL : memchr(left->p, sep, left->n);

	if (at == NULL)
		return false;
	*part_r = span_of(left->p, (size_t)(at - left->p));
	*left = span_skip(*left, part_r->n + 1);
	return true;
}

bool scram_verifier_parse(struct span text, struct scram_verifier *out_r)
{
	struct scram_verifier v = {0};
	struct span left = text, part;
	size_t n;

	if (!cut(&left, '$', &part) || !span_eq(part, span_str(SCRAM_NAME)))
		return false;
	if (!cut(&left, ':', &part) || !scram_iterations(part, &v.iterations))
		return false;
	if (!cut(&left, '$', &part) || !scram_base64_decode(part, v.salt, sizeof(v.salt), &v.salt_n))
		return false;
	if (!cut(&left, ':', &part) || !scram_base64_decode(part, v.stored_key, SCRAM_KEY, &n) ||
	    n != SCRAM_KEY)
		return false;
	if (!scram_base64_decode(left, v.server_key, SCRAM_KEY, &n) || n != SCRAM_KEY)
		return false;
	*out_r = v;
	return true;
}

void scram_verifier_format(const struct scram_verifier *v, struct buf *out)
{
	char head[48];
	int n = snprintf(head, sizeof(head), SCRAM_NAME "$%u:", v->iterations);

	buf_add(out, head, (size_t)n);
	scram_base64_add(out, span_of(v->salt, v->salt_n));
	buf_add_u8(out, '$');
	scram_base64_add(out, span_of(v->stored_key, SCRAM_KEY));
	buf_add_u8(out, ':');
	scram_base64_add(out, span_of(v->server_key, SCRAM_KEY));
}

int scram_verifier_derive(struct span password, struct span salt, uint32_t iterations,
			  struct scram_verifier *out_r)
{
	struct scram_verifier v = {.iterations = iterations, .salt_n = salt.n};
	struct scram_keys keys;
	uint8_t salted[SCRAM_KEY];
	int failed;

	if (salt.n == 0 || salt.n > sizeof(v.salt))
		return -1;
	memcpy(v.salt, salt.p, salt.n);
	failed = scram_salt_password(password, salt, iterations, salted) != 0 ||
		 scram_keys_derive(salted, &keys) != 0 ||
		 !scram_hash(span_of(keys.client_key, SCRAM_KEY), v.stored_key);
	if (!failed) {
		memcpy(v.server_key, keys.server_key, SCRAM_KEY);
		*out_r = v;
	}
	scram_wipe(salted, sizeof(salted));
	scram_wipe(&keys, sizeof(keys));
	return failed ? -1 : 0;
}

int scram_verifier_make(struct span password, uint32_t iterations, struct scram_verifier *out_r)
{
	uint8_t salt[SALT_NEW];

	if (RAND_bytes(salt, sizeof(salt)) != 1)
		return -1;
	return scram_verifier_derive(password, span_of(salt, sizeof(salt)), iterations, out_r);
}

bool scram_verifier_check(const struct scram_verifier *v, struct span password, struct scram_keys *keys_r)
{
	struct scram_keys keys;
	uint8_t salted[SCRAM_KEY];
	bool fits = scram_salt_password(password, span_of(v->salt, v->salt_n), v->iterations, salted) == 0 &&
		    scram_keys_derive(salted, &keys) == 0 && scram_keys_fit(&keys, v);

	if (fits && keys_r != NULL)
		*keys_r = keys;
	scram_wipe(salted, sizeof(salted));
	scram_wipe(&keys, sizeof(keys));
	return fits;
}

int scram_verifier_mock(struct span user, struct span secret, uint32_t iterations,
			struct scram_verifier *out_r)
{
	struct scram_verifier v = {.iterations = iterations, .salt_n = SALT_NEW, .mock = true};
	uint8_t key[SCRAM_KEY], digest[SCRAM_KEY];

	if (!scram_hash(secret, key) || !scram_hmac(key, user, digest))
		return -1;
	memcpy(v.salt, digest, SALT_NEW);
	*out_r = v;
	return 0;
}

static bool is_ascii(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] >= 0x80)
			return false;
	return true;
}

/* The normalised password, to be freed, or NULL: take it as it is. */
static char *saslprep(struct span password)
{
	char *text, *prepared = NULL;
	int rc;

	if (is_ascii(password) || memchr(password.p, 0, password.n) != NULL)
		return NULL;
	text = strndup((const char *)password.p, password.n);
	if (text == NULL)
		return NULL;
	rc = stringprep_profile(text, &prepared, "SASLprep", STRINGPREP_NO_UNASSIGNED);
	scram_wipe(text, password.n);
	free(text);
	if (rc == STRINGPREP_OK && prepared[0] != 0)
		return prepared;
	if (rc == STRINGPREP_OK)
		free(prepared);
	return NULL;
}

int scram_salt_password(struct span password, struct span salt, uint32_t iterations,
			uint8_t salted_r[SCRAM_KEY])
{
	char *prepared = saslprep(password);
	const char *text = prepared != NULL ? prepared : (const char *)password.p;
	size_t n = prepared != NULL ? strlen(prepared) : password.n;
	int ok = 0;

	if (n <= INT32_MAX && salt.n <= INT32_MAX && iterations > 0 && iterations <= SCRAM_ITERATIONS_MAX)
		ok = PKCS5_PBKDF2_HMAC(n == 0 ? "" : text, (int)n, salt.p, (int)salt.n, (int)iterations,
				       EVP_sha256(), SCRAM_KEY, salted_r);
	if (prepared != NULL)
		scram_wipe(prepared, n);
	free(prepared);
	return ok == 1 ? 0 : -1;
}

int scram_keys_derive(const uint8_t salted[SCRAM_KEY], struct scram_keys *keys_r)
{
	if (!scram_hmac(salted, span_str("Client Key"), keys_r->client_key) ||
	    !scram_hmac(salted, span_str("Server Key"), keys_r->server_key))
		return -1;
	return 0;
}

bool scram_keys_fit(const struct scram_keys *keys, const struct scram_verifier *v)
{
	uint8_t stored[SCRAM_KEY];

	return !v->mock && scram_hash(span_of(keys->client_key, SCRAM_KEY), stored) &&
	       scram_same(stored, v->stored_key, SCRAM_KEY) &&
	       scram_same(keys->server_key, v->server_key, SCRAM_KEY);
}
