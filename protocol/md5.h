/* md5.h - PostgreSQL's md5 password scheme.
 * Source  PostgreSQL manual, "Password Authentication", AuthenticationMD5Password.
 * Shape   "md5" + 32 hex digits; stored = md5(password + user), answer = md5(stored hex + salt).
 * Owner   the caller's arrays.
 * Thread  pure; any.
 * Errors  -1 when the crypto library has no MD5 (FIPS) or `stored` is not of that form. */
#ifndef PROTOCOL_MD5_H
#define PROTOCOL_MD5_H

#include "protocol/span.h"

#define MD5_TEXT 36u /* with NUL */

/* Is it "md5" and 32 lower-case hex digits? */
bool md5_is_hash(struct span text);
int md5_hash(struct span user, struct span password, char out_r[MD5_TEXT]);
int md5_answer(struct span stored, const uint8_t salt[4], char out_r[MD5_TEXT]);
/* Constant time. */
bool md5_check(struct span stored, const uint8_t salt[4], struct span answer);

#endif
