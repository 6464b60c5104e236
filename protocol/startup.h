/* startup.h - the packets that come before the typed messages.
 * Source  PostgreSQL manual, "Start-up", "SSL Session Encryption", "Canceling Requests in Progress",
 *         protocol 3.2 (negotiation, long cancel keys), direct TLS (first byte 0x16).
 * Shape   length(4, counts itself), code(4), body.
 * Owner   the caller's bytes.
 * Thread  pure; any.
 * Errors  STARTUP_BAD with static text. */
#ifndef PROTOCOL_STARTUP_H
#define PROTOCOL_STARTUP_H

#include "protocol/span.h"

#define STARTUP_MAX 10000u /* PostgreSQL's MAX_STARTUP_PACKET_LENGTH */
#define PROTOCOL_3_0 0x00030000u
#define PROTOCOL_3_2 0x00030002u

enum startup_status {
	STARTUP_MORE,
	STARTUP_BAD,
	STARTUP_HELLO,	/* a StartupMessage: version and params */
	STARTUP_SSL,	/* SSLRequest */
	STARTUP_GSS,	/* GSSENCRequest */
	STARTUP_CANCEL, /* CancelRequest: pid, secret */
	STARTUP_TLS,	/* the first byte of a TLS handshake (direct TLS); nothing is used */
};

struct startup {
	uint32_t version;
	struct span params; /* name NUL value NUL .. NUL; walk with startup_param_next */
	uint32_t pid;
	struct span secret;
};

enum startup_status startup_next(struct span in, struct startup *out_r, size_t *used_r, const char **why_r);

/* Pair at *at (start with 0); false at the end. The packet was checked by startup_next. */
bool startup_param_next(struct span params, size_t *at, struct span *name_r, struct span *value_r);

/* What we answer to a client's version: the minor we speak (0 or 2), or -1 = unsupported major.
 * *negotiate_r says whether NegotiateProtocolVersion must be sent (unknown minor, or any
 * `_pq_.` option). */
int startup_negotiate(uint32_t version, struct span params, bool *negotiate_r);

#endif
