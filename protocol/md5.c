#include "protocol/md5.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>

/* "md5" + hex(md5(first + second)) */
static int md5_pair(struct span first, struct span second, char out_r[MD5_TEXT])
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	uint8_t digest[EVP_MAX_MD_SIZE];
	unsigned n = 0;
	bool ok = ctx != NULL && EVP_DigestInit_ex(ctx, EVP_md5(), NULL) == 1 &&
		  EVP_DigestUpdate(ctx, first.p, first.n) == 1 &&
		  EVP_DigestUpdate(ctx, second.p, second.n) == 1 && EVP_DigestFinal_ex(ctx, digest, &n) == 1;

	EVP_MD_CTX_free(ctx);
	if (!ok || n != 16)
		return -1;
	memcpy(out_r, "md5", 3);
	for (unsigned i = 0; i < 16; i++)
		snprintf(out_r + 3 + 2 * i, 3, "%02x", digest[i]);
	OPENSSL_cleanse(digest, sizeof(digest));
	return 0;
}

bool md5_is_hash(struct span text)
{
	if (text.n != MD5_TEXT - 1 || memcmp(text.p, "md5", 3) != 0)
		return false;
	for (size_t i = 3; i < text.n; i++)
		if (!((text.p[i] >= '0' && text.p[i] <= '9') || (text.p[i] >= 'a' && text.p[i] <= 'f')))
			return false;
	return true;
}

int md5_hash(struct span user, struct span password, char out_r[MD5_TEXT])
{
	return md5_pair(password, user, out_r);
}

int md5_answer(struct span stored, const uint8_t salt[4], char out_r[MD5_TEXT])
{
	return md5_is_hash(stored) ? md5_pair(span_skip(stored, 3), span_of(salt, 4), out_r) : -1;
}

bool md5_check(struct span stored, const uint8_t salt[4], struct span answer)
{
	char wanted[MD5_TEXT];

	if (md5_answer(stored, salt, wanted) != 0 || answer.n != MD5_TEXT - 1)
		return false;
	return CRYPTO_memcmp(wanted, answer.p, MD5_TEXT - 1) == 0;
}
