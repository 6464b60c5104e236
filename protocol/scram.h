/* scram.h - SCRAM-SHA-256 and SCRAM-SHA-256-PLUS, both roles, as message-in message-out steps.
 * Source  RFC 5802, RFC 7677, RFC 5929 (tls-server-end-point); PostgreSQL manual, "SASL Authentication".
 * Shape   SASL payloads in and out, without the 'R'/'p' framing (see back_auth_decode, write_auth,
 *         write_sasl_initial, write_sasl_response; scram_initial_decode is below).
 *         No step runs PBKDF2: the functions marked "slow" do (milliseconds), and may run in
 *         any thread.
 * Owner   keys and verifiers are plain values; they are secrets: scram_wipe() them when done. The two
 *         exchange structs own buffers: scram_server_end(), scram_client_end(), which also wipe.
 * Thread  one at a time per struct.
 * Errors  a step returns its status and fills struct scram_fault with static text. */
#ifndef PROTOCOL_SCRAM_H
#define PROTOCOL_SCRAM_H

#include "protocol/buf.h"

#define SCRAM_KEY 32u
#define SCRAM_SALT_MAX 256u
#define SCRAM_NONCE_MAX 512u	/* client's + server's; longer ones are refused */
#define SCRAM_MESSAGE_MAX 2048u /* longest SASL payload that we take */
#define SCRAM_CBIND_MAX 64u	/* tls-server-end-point: at most a SHA-512 */
#define SCRAM_ITERATIONS_MAX 10000000u
#define SCRAM_NAME "SCRAM-SHA-256"
#define SCRAM_NAME_PLUS "SCRAM-SHA-256-PLUS"

/* What proves a login without the password. A server that has checked a login knows both; a client
 * with both can log in to every server that holds the same verifier (pass-through). */
struct scram_keys {
	uint8_t client_key[SCRAM_KEY];
	uint8_t server_key[SCRAM_KEY];
};

/* SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>, decoded. */
struct scram_verifier {
	uint32_t iterations;
	size_t salt_n;
	uint8_t salt[SCRAM_SALT_MAX];
	uint8_t stored_key[SCRAM_KEY];
	uint8_t server_key[SCRAM_KEY];
	bool mock; /* of an unknown user: the exchange runs to its end and is refused there */
};

enum scram_status {
	SCRAM_MORE,    /* send `out`, wait for the peer's next payload */
	SCRAM_DONE,    /* server: send `out` as the final payload; the login is good */
	SCRAM_REFUSED, /* wrong password or unknown user (28P01); nothing to send but the error */
	SCRAM_BAD,     /* malformed or not allowed; fault has all three texts */
};

struct scram_fault {
	const char *sqlstate;
	const char *message; /* PostgreSQL's words */
	const char *detail;  /* may be NULL */
};

/* --- verifiers and keys --- */

/* False when `text` is no well-formed verifier (it may be a plain or md5 password). */
bool scram_verifier_parse(struct span text, struct scram_verifier *out_r);
void scram_verifier_format(const struct scram_verifier *v, struct buf *out);
/* Slow. From a plain password; random salt of 16 bytes. -1 = no randomness or memory. */
int scram_verifier_make(struct span password, uint32_t iterations, struct scram_verifier *out_r);
/* Slow. The same with a given salt. */
int scram_verifier_derive(struct span password, struct span salt, uint32_t iterations,
			  struct scram_verifier *out_r);
/* Slow. Does a plain password fit? On true *keys_r (may be NULL) has the keys. */
bool scram_verifier_check(const struct scram_verifier *v, struct span password, struct scram_keys *keys_r);
/* For a user that does not exist: the same salt each time for the same user and secret. */
int scram_verifier_mock(struct span user, struct span secret, uint32_t iterations,
			struct scram_verifier *out_r);
/* Slow. SaltedPassword = PBKDF2(SASLprep(password)); a password that is not valid UTF-8 or that
 * SASLprep forbids is taken as raw bytes, as PostgreSQL does. */
int scram_salt_password(struct span password, struct span salt, uint32_t iterations,
			uint8_t salted_r[SCRAM_KEY]);
int scram_keys_derive(const uint8_t salted[SCRAM_KEY], struct scram_keys *keys_r);
/* Do the keys belong to the verifier? (The client key may have been learned from an older one.) */
bool scram_keys_fit(const struct scram_keys *keys, const struct scram_verifier *v);
void scram_wipe(void *p, size_t n);

/* --- server --- */

struct scram_server {
	struct scram_verifier verifier;
	enum { SCRAM_AT_FIRST, SCRAM_AT_FINAL, SCRAM_AT_END } state;
	bool plus;     /* the client chose -PLUS */
	bool have_tls; /* we advertised -PLUS */
	char gs2_flag; /* n, y or p of the client's first message */
	size_t cbind_n;
	uint8_t cbind[SCRAM_CBIND_MAX];
	char server_nonce[32]; /* drawn by start; a test may overwrite it */
	struct buf client_first_bare;
	struct buf server_first;
	struct scram_keys keys; /* set at SCRAM_DONE */
};

/* Body of SASLInitialResponse ('p'); data_r->p == NULL when the client sent none. */
int scram_initial_decode(struct span body, struct span *mechanism_r, struct span *data_r, const char **why_r);

/* The list for AuthenticationSASL: -PLUS is offered when there is binding data. */
void scram_server_mechanisms(struct span cbind_data, struct buf *out);

/* `cbind_data` is the hash for tls-server-end-point, .n == 0 without TLS. SCRAM_MORE = go on with
 * scram_server_step(initial data); SCRAM_BAD = mechanism that was not offered, or no randomness. */
enum scram_status scram_server_start(struct scram_server *s, const struct scram_verifier *v,
				     struct span mechanism, struct span cbind_data,
				     struct scram_fault *fault_r);
/* `in.p` NULL = the initial response without data: out stays empty, send it as the challenge. */
enum scram_status scram_server_step(struct scram_server *s, struct span in, struct buf *out,
				    struct scram_fault *fault_r);
void scram_server_end(struct scram_server *s); /* frees, wipes; also for a zeroed struct */

/* --- client --- */

struct scram_client {
	enum { SCRAM_FROM_FIRST, SCRAM_FROM_CHALLENGE, SCRAM_FROM_FINAL, SCRAM_FROM_END } state;
	const char *mechanism; /* what to name in SASLInitialResponse */
	char gs2_flag;
	size_t cbind_n;
	uint8_t cbind[SCRAM_CBIND_MAX];
	char client_nonce[32]; /* drawn by start; a test may overwrite it */
	size_t nonce_n;
	char nonce[SCRAM_NONCE_MAX]; /* both halves */
	/* From the challenge; what scram_salt_password needs. */
	uint32_t iterations;
	size_t salt_n;
	uint8_t salt[SCRAM_SALT_MAX];
	struct buf first_bare;
	struct buf server_first;
	uint8_t server_signature[SCRAM_KEY];
};

enum scram_bind { SCRAM_BIND_DISABLE, SCRAM_BIND_PREFER, SCRAM_BIND_REQUIRE };

/* Chooses from the server's list (the rest of AuthenticationSASL). `cbind_data` .n == 0 without TLS.
 * 0, or -1 and *why_r. */
int scram_client_start(struct scram_client *c, struct span mechanisms, struct span cbind_data,
		       enum scram_bind bind, const char **why_r);
/* Data of the SASLInitialResponse. */
void scram_client_first(struct scram_client *c, struct buf *out);
/* The server's first payload: checks the nonce, learns salt and iterations. 0 / -1. */
int scram_client_challenge(struct scram_client *c, struct span in, const char **why_r);
/* Our final payload, from the keys (learned, or scram_salt_password + scram_keys_derive). 0 / -1. */
int scram_client_final(struct scram_client *c, const struct scram_keys *keys, struct buf *out);
/* The server's final payload: is it the server that holds our verifier? 0 / -1. */
int scram_client_verify(struct scram_client *c, struct span in, const char **why_r);
void scram_client_end(struct scram_client *c); /* frees, wipes; also for a zeroed struct */

#endif
