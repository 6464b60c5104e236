#include "proxy/auth/secrets.h"

#include "proxy/base/check.h"
#include "proxy/base/map.h"
#include "config/users.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <string.h>

/* Rows per table; the oldest goes. Only successful logins make rows, so that nobody outside can push others out. */
#define ROWS_MAX 65536u
#define DIGEST 32u

/* What a row is found by never holds a password: it is a keyed digest of the parts. */
struct learned {
	uint8_t key[DIGEST];
	struct secret *secret; /* counted */
	UT_hash_handle hh;
};

struct kept {
	uint8_t key[DIGEST];
	unsigned n;
	UT_hash_handle hh;
	char bytes[]; /* a verifier with its NUL, or a salted password; wiped */
};

struct secrets {
	pthread_mutex_t lock;
	uint8_t digest_key[DIGEST];
	uint8_t mock_key[DIGEST];
	struct learned *learned;
	struct kept *verifiers;
	struct kept *salted;
};

/* --- one secret --- */

static struct secret *secret_alloc(enum secret_kind kind, const void *text, size_t n)
{
	struct secret *s;

	if (n > SECRET_MAX)
		return NULL;
	s = calloc(1, sizeof *s + n + 1);
	if (s == NULL)
		return NULL;
	atomic_init(&s->refs, 1);
	s->kind = kind;
	if (n != 0)
		memcpy(s->text, text, n);
	return s;
}

struct secret *secret_new(const char *text)
{
	enum secret_kind kind = SECRET_NONE;

	if (text[0] != '\0') {
		switch (users_kind_of(text)) {
		case USERS_PLAIN: kind = SECRET_PLAIN; break;
		case USERS_MD5: kind = SECRET_MD5; break;
		case USERS_SCRAM: kind = SECRET_SCRAM; break;
		}
	}
	return secret_alloc(kind, text, strlen(text));
}

struct secret *secret_plain(struct span password)
{
	if (password.n == 0 || memchr(password.p, 0, password.n) != NULL)
		return NULL;
	return secret_alloc(SECRET_PLAIN, password.p, password.n);
}

struct secret *secret_with_keys(const char *verifier, const uint8_t client_key[32],
				const uint8_t server_key[32])
{
	struct secret *s = secret_alloc(SECRET_SCRAM, verifier, strlen(verifier));

	if (s == NULL)
		return NULL;
	s->has_keys = true;
	memcpy(s->client_key, client_key, sizeof s->client_key);
	memcpy(s->server_key, server_key, sizeof s->server_key);
	return s;
}

bool secret_usable(const struct secret *s)
{
	return s->kind == SECRET_PLAIN || s->kind == SECRET_MD5 || (s->kind == SECRET_SCRAM && s->has_keys);
}

struct secret *secret_ref(struct secret *s)
{
	unsigned before = atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);

	check(before != 0);
	return s;
}

void secret_unref(struct secret *s)
{
	unsigned before;

	if (s == NULL)
		return;
	before = atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel);
	check(before != 0);
	if (before != 1)
		return;
	OPENSSL_cleanse(s, sizeof *s + strlen(s->text));
	free(s);
}

static bool secret_same(const struct secret *a, const struct secret *b)
{
	return a->kind == b->kind && a->has_keys == b->has_keys && strcmp(a->text, b->text) == 0 &&
	       CRYPTO_memcmp(a->client_key, b->client_key, sizeof a->client_key) == 0 &&
	       CRYPTO_memcmp(a->server_key, b->server_key, sizeof a->server_key) == 0;
}

/* --- the tables --- */

struct secrets *secrets_new(void)
{
	struct secrets *s = check_alloc(sizeof *s);

	check(pthread_mutex_init(&s->lock, NULL) == 0);
	if (RAND_bytes(s->digest_key, sizeof s->digest_key) != 1 ||
	    RAND_bytes(s->mock_key, sizeof s->mock_key) != 1) {
		pthread_mutex_destroy(&s->lock);
		free(s);
		return NULL;
	}
	return s;
}

static void learned_drop(struct secrets *s, struct learned *row)
{
	HASH_DEL(s->learned, row);
	secret_unref(row->secret);
	free(row);
}

static void kept_drop(struct kept **table, struct kept *row)
{
	HASH_DEL(*table, row);
	OPENSSL_cleanse(row->bytes, row->n);
	free(row);
}

void secrets_free(struct secrets **sp)
{
	struct secrets *s = *sp;

	*sp = NULL;
	if (s == NULL)
		return;
	while (s->learned != NULL)
		learned_drop(s, s->learned);
	while (s->verifiers != NULL)
		kept_drop(&s->verifiers, s->verifiers);
	while (s->salted != NULL)
		kept_drop(&s->salted, s->salted);
	pthread_mutex_destroy(&s->lock);
	OPENSSL_cleanse(s, sizeof *s);
	free(s);
}

struct span secrets_mock_key(const struct secrets *s)
{
	return span_of(s->mock_key, sizeof s->mock_key);
}

/* Lengths go in as well, so that ("ab", "c") and ("a", "bc") differ. False = no memory in the library. */
static bool digest(const struct secrets *s, const struct span *parts, unsigned nparts, uint8_t key_r[DIGEST])
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	bool ok = md != NULL && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1 &&
		  EVP_DigestUpdate(md, s->digest_key, sizeof s->digest_key) == 1;

	for (unsigned i = 0; ok && i < nparts; i++) {
		uint64_t n = parts[i].n;

		ok = EVP_DigestUpdate(md, &n, sizeof n) == 1 &&
		     (n == 0 || EVP_DigestUpdate(md, parts[i].p, parts[i].n) == 1);
	}
	ok = ok && EVP_DigestFinal_ex(md, key_r, NULL) == 1;
	EVP_MD_CTX_free(md);
	return ok;
}

static bool digest_names(const struct secrets *s, const char *a, const char *b, uint8_t key_r[DIGEST])
{
	const struct span parts[] = {span_str(a), span_str(b)};

	return digest(s, parts, 2, key_r);
}

static bool digest_salted(const struct secrets *s, const char *password, const void *salt, unsigned nsalt,
			  unsigned iterations, uint8_t key_r[DIGEST])
{
	const struct span parts[] = {span_str(password), span_of(salt, nsalt),
				     span_of(&iterations, sizeof iterations)};

	return digest(s, parts, 3, key_r);
}

void secrets_learn(struct secrets *s, const char *database, const char *user, struct secret *secret)
{
	uint8_t key[DIGEST];
	struct learned *row;

	if (!digest_names(s, database, user, key))
		return;
	pthread_mutex_lock(&s->lock);
	HASH_FIND(hh, s->learned, key, DIGEST, row);
	if (row != NULL) {
		/* An equal one stays, so that all sessions of a user share one object. */
		if (!secret_same(row->secret, secret)) {
			secret_unref(row->secret);
			row->secret = secret_ref(secret);
		}
	} else {
		if (HASH_COUNT(s->learned) >= ROWS_MAX)
			learned_drop(s, s->learned);
		row = check_alloc(sizeof *row);
		memcpy(row->key, key, DIGEST);
		row->secret = secret_ref(secret);
		HASH_ADD(hh, s->learned, key, DIGEST, row);
	}
	pthread_mutex_unlock(&s->lock);
}

struct secret *secrets_find(struct secrets *s, const char *database, const char *user)
{
	uint8_t key[DIGEST];
	struct learned *row;
	struct secret *found = NULL;

	if (!digest_names(s, database, user, key))
		return NULL;
	pthread_mutex_lock(&s->lock);
	HASH_FIND(hh, s->learned, key, DIGEST, row);
	if (row != NULL)
		found = secret_ref(row->secret);
	pthread_mutex_unlock(&s->lock);
	return found;
}

static void keep(struct secrets *s, struct kept **table, const uint8_t key[DIGEST], const void *bytes,
		 size_t n)
{
	struct kept *row, *old;

	row = calloc(1, sizeof *row + n);
	if (row == NULL)
		return;
	memcpy(row->key, key, DIGEST);
	memcpy(row->bytes, bytes, n);
	row->n = (unsigned)n;
	pthread_mutex_lock(&s->lock);
	HASH_FIND(hh, *table, key, DIGEST, old);
	if (old != NULL)
		kept_drop(table, old);
	else if (HASH_COUNT(*table) >= ROWS_MAX)
		kept_drop(table, *table);
	HASH_ADD(hh, *table, key, DIGEST, row);
	pthread_mutex_unlock(&s->lock);
}

static bool recall(struct secrets *s, struct kept **table, const uint8_t key[DIGEST], void *out, size_t outsz)
{
	struct kept *row;
	bool fits;

	pthread_mutex_lock(&s->lock);
	HASH_FIND(hh, *table, key, DIGEST, row);
	fits = row != NULL && row->n <= outsz;
	if (fits)
		memcpy(out, row->bytes, row->n);
	pthread_mutex_unlock(&s->lock);
	return fits;
}

void secrets_keep_verifier(struct secrets *s, const char *user, const char *password, const char *verifier)
{
	uint8_t key[DIGEST];

	if (digest_names(s, user, password, key))
		keep(s, &s->verifiers, key, verifier, strlen(verifier) + 1);
}

bool secrets_verifier(struct secrets *s, const char *user, const char *password, char *out, unsigned outsz)
{
	uint8_t key[DIGEST];

	return digest_names(s, user, password, key) && recall(s, &s->verifiers, key, out, outsz);
}

void secrets_keep_salted(struct secrets *s, const char *password, const void *salt, unsigned nsalt,
			 unsigned iterations, const uint8_t salted[32])
{
	uint8_t key[DIGEST];

	if (digest_salted(s, password, salt, nsalt, iterations, key))
		keep(s, &s->salted, key, salted, 32);
}

bool secrets_salted(struct secrets *s, const char *password, const void *salt, unsigned nsalt,
		    unsigned iterations, uint8_t salted_r[32])
{
	uint8_t key[DIGEST];

	return digest_salted(s, password, salt, nsalt, iterations, key) &&
	       recall(s, &s->salted, key, salted_r, 32);
}
