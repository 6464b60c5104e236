/* scram_wire.h - what both SCRAM roles share; private to scram*.c.
 * Source  RFC 5802 section 7 (attributes), section 3 (HMAC, H, signatures).
 * Shape   attributes "x=value" separated by commas; base64 with padding.
 * Owner   the caller's bytes.
 * Thread  pure; any.
 * Errors  false. */
#ifndef PROTOCOL_SCRAM_WIRE_H
#define PROTOCOL_SCRAM_WIRE_H

#include "protocol/scram.h"

#define SCRAM_CBIND_NAME "tls-server-end-point"
#define SCRAM_NONCE_RAW 18u

/* Takes "x=value" and the comma behind it off the front of *left. */
bool scram_attribute(struct span *left, char *name_r, struct span *value_r);

void scram_base64_add(struct buf *out, struct span raw);
/* *n_r bytes into to[0..room). */
bool scram_base64_decode(struct span text, uint8_t *to, size_t room, size_t *n_r);

bool scram_hmac(const uint8_t key[SCRAM_KEY], struct span data, uint8_t out_r[SCRAM_KEY]);
bool scram_hash(struct span data, uint8_t out_r[SCRAM_KEY]);
bool scram_same(const void *a, const void *b, size_t n); /* constant time */

/* HMAC(key, client-first-bare "," server-first "," client-final-without-proof) */
bool scram_sign(const uint8_t key[SCRAM_KEY], struct span first_bare, struct span server_first,
		struct span final_without_proof, uint8_t out_r[SCRAM_KEY]);

/* The gs2 header that goes with the flag, and base64 of header and binding data: the "c" attribute. */
const char *scram_gs2_header(char flag);
void scram_cbind_add(struct buf *out, char flag, struct span cbind);

/* 24 printable characters and NUL. */
bool scram_nonce(char out_r[32]);
/* Only bytes that may be in a nonce, and at least one. */
bool scram_nonce_printable(struct span nonce);

/* Decimal iteration count within our bounds. */
bool scram_iterations(struct span text, uint32_t *n_r);

#endif
