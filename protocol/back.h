/* back.h - decode the messages that a backend (server) sends.
 * Source  PostgreSQL manual, "Message Formats", B messages; "Error and Notice Message Fields".
 * Shape   body in, struct out; nothing is copied.
 * Owner   the caller's bytes.
 * Thread  pure; any.
 * Errors  -1 and *why_r; outputs untouched. */
#ifndef PROTOCOL_BACK_H
#define PROTOCOL_BACK_H

#include "protocol/span.h"

/* ErrorResponse and NoticeResponse; a field that is absent has p == NULL. */
struct back_error {
	struct span severity; /* 'V' if present, else 'S' */
	struct span sqlstate;
	struct span message;
	struct span detail;
	struct span hint;
};

struct back_param {
	struct span name;
	struct span value;
};

struct back_key {
	uint32_t pid;
	struct span secret; /* 4 bytes in 3.0, 4..256 in 3.2 */
};

struct back_notify {
	uint32_t pid;
	struct span channel;
	struct span payload;
};

/* One column of a RowDescription. */
struct back_column {
	struct span name;
	uint32_t table_oid;
	uint16_t attnum;
	uint32_t type_oid;
	uint16_t type_len;
	uint32_t type_mod;
	uint16_t format;
};

/* Authentication request: code and the rest of the body (salt, mechanisms, SASL data). */
enum back_auth_code {
	BACK_AUTH_OK = 0,
	BACK_AUTH_CLEARTEXT = 3,
	BACK_AUTH_MD5 = 5,
	BACK_AUTH_SASL = 10,
	BACK_AUTH_SASL_CONTINUE = 11,
	BACK_AUTH_SASL_FINAL = 12,
};

int back_error_decode(struct span body, struct back_error *out_r, const char **why_r);
int back_param_decode(struct span body, struct back_param *out_r, const char **why_r);
int back_key_decode(struct span body, struct back_key *out_r, const char **why_r);
int back_notify_decode(struct span body, struct back_notify *out_r, const char **why_r);
int back_auth_decode(struct span body, uint32_t *code_r, struct span *rest_r, const char **why_r);
/* 'Z': *status_r = 'I', 'T' or 'E'. */
int back_ready_decode(struct span body, char *status_r, const char **why_r);
/* 'C': the tag without NUL. */
int back_complete_decode(struct span body, struct span *tag_r, const char **why_r);
/* 'v': newest minor version and the count and raw list of unknown options. */
int back_negotiate_decode(struct span body, uint32_t *minor_r, uint32_t *noptions_r, const char **why_r);
/* Number of columns of a RowDescription ('T') or values of a DataRow ('D'); -1 = bad. */
int back_count(struct span body);
/* Column at *at of a RowDescription body (start with at = 2); 0 or -1. */
int back_column_next(struct span body, size_t *at, struct back_column *out_r);
/* Value at *at of a DataRow body (start with at = 2): 0, 1 = NULL, -1 = bad. */
int back_value_next(struct span body, size_t *at, struct span *value_r);

#endif
