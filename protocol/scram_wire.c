#include "protocol/scram_wire.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <openssl/sha.h>

bool scram_attribute(struct span *left, char *name_r, struct span *value_r)
{
	const uint8_t *comma;
	size_t n;
	char name;

	if (left->n < 2 || left->p[1] != '=')
		return false;
	name = (char)left->p[0];
	if (!((name >= 'a' && name <= 'z') || (name >= 'A' && name <= 'Z')))
		return false;
	comma = memchr(left->p, ',', left->n);
	n = comma == NULL ? left->n : (size_t)(comma - left->p);
	*name_r = name;
	*value_r = span_of(left->p + 2, n - 2);
	*left = span_skip(*left, comma == NULL ? n : n + 1);
	return true;
}

void scram_base64_add(struct buf *out, struct span raw)
{
	size_t n = (raw.n + 2) / 3 * 4;
	uint8_t *to;

	if (raw.n == 0 || raw.n > INT32_MAX / 2 || (to = buf_reserve(out, n + 1)) == NULL)
		return;
	EVP_EncodeBlock(to, raw.p, (int)raw.n);
	out->len += n;
}

static int base64_digit(uint8_t c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool scram_base64_decode(struct span text, uint8_t *to, size_t room, size_t *n_r)
{
	size_t padding = 0, n;
	uint32_t bits = 0;

	if (text.n == 0 || text.n % 4 != 0)
		return false;
	while (padding < 2 && text.p[text.n - 1 - padding] == '=')
		padding++;
	n = text.n / 4 * 3 - padding;
	if (n > room)
		return false;
	for (size_t i = 0, out = 0; i < text.n; i++) {
		int digit = i >= text.n - padding ? 0 : base64_digit(text.p[i]);

		if (digit < 0)
			return false;
		bits = bits << 6 | (uint32_t)digit;
		if (i % 4 != 3)
			continue;
		for (int shift = 16; shift >= 0; shift -= 8)
			if (out < n)
				to[out++] = (uint8_t)(bits >> shift);
	}
	*n_r = n;
	return true;
}

bool scram_hmac(const uint8_t key[SCRAM_KEY], struct span data, uint8_t out_r[SCRAM_KEY])
{
	unsigned n = 0;

	return HMAC(EVP_sha256(), key, SCRAM_KEY, data.p, data.n, out_r, &n) != NULL && n == SCRAM_KEY;
}

bool scram_hash(struct span data, uint8_t out_r[SCRAM_KEY])
{
	return SHA256(data.p, data.n, out_r) != NULL;
}

bool scram_same(const void *a, const void *b, size_t n)
{
	return CRYPTO_memcmp(a, b, n) == 0;
}

void scram_wipe(void *p, size_t n)
{
	OPENSSL_cleanse(p, n);
}

bool scram_sign(const uint8_t key[SCRAM_KEY], struct span first_bare, struct span server_first,
		struct span final_without_proof, uint8_t out_r[SCRAM_KEY])
{
	struct buf message;
	bool ok;

	buf_init(&message, 4 * SCRAM_MESSAGE_MAX);
	buf_add_span(&message, first_bare);
	buf_add_u8(&message, ',');
	buf_add_span(&message, server_first);
	buf_add_u8(&message, ',');
	buf_add_span(&message, final_without_proof);
	ok = !message.failed && scram_hmac(key, buf_span(&message), out_r);
	buf_free(&message);
	return ok;
}

const char *scram_gs2_header(char flag)
{
	return flag == 'p' ? "p=" SCRAM_CBIND_NAME ",," : flag == 'y' ? "y,," : "n,,";
}

void scram_cbind_add(struct buf *out, char flag, struct span cbind)
{
	uint8_t raw[sizeof("p=" SCRAM_CBIND_NAME ",,") + SCRAM_CBIND_MAX];
	struct span header = span_str(scram_gs2_header(flag));
	size_t n = flag == 'p' ? cbind.n : 0;

	memcpy(raw, header.p, header.n);
	if (n > 0)
		memcpy(raw + header.n, cbind.p, n);
	scram_base64_add(out, span_of(raw, header.n + n));
}

bool scram_nonce(char out_r[32])
{
	uint8_t raw[SCRAM_NONCE_RAW];

	if (RAND_bytes(raw, sizeof(raw)) != 1)
		return false;
	EVP_EncodeBlock((uint8_t *)out_r, raw, sizeof(raw));
	return true;
}

bool scram_nonce_printable(struct span nonce)
{
	for (size_t i = 0; i < nonce.n; i++)
		if (nonce.p[i] < 0x21 || nonce.p[i] > 0x7e || nonce.p[i] == ',')
			return false;
	return nonce.n > 0;
}

bool scram_iterations(struct span text, uint32_t *n_r)
{
	uint32_t n = 0;

	for (size_t i = 0; i < text.n; i++) {
		if (text.p[i] < '0' || text.p[i] > '9')
			return false;
		n = n * 10 + (text.p[i] - '0');
		if (n > SCRAM_ITERATIONS_MAX)
			return false;
	}
	*n_r = n;
	return n > 0;
}
