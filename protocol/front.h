/* front.h - decode the messages that a frontend (client) sends.
 * Source  PostgreSQL manual, "Message Formats", F messages.
 * Shape   one function per message: body in, struct out; raw big-endian regions are kept as spans
 *         and walked by the iterators below.
 * Owner   the caller's bytes; every span points into the body.
 * Thread  pure; any.
 * Errors  -1 and *why_r (static text, fit for an 08P01 message); outputs untouched. */
#ifndef PROTOCOL_FRONT_H
#define PROTOCOL_FRONT_H

#include "protocol/span.h"

struct front_parse {
	struct span name;  /* "" = unnamed */
	struct span query; /* without the NUL */
	uint16_t nparams;
	struct span param_oids; /* nparams * 4 bytes */
};

struct front_bind {
	struct span portal;
	struct span stmt;
	uint16_t nformats;   /* 0 = all text, 1 = all the same, else nparams */
	struct span formats; /* nformats * 2 bytes */
	uint16_t nparams;
	struct span params; /* nparams * (int32 length, bytes) */
	uint16_t nresults;
	struct span result_formats; /* nresults * 2 bytes */
	struct span after_names;    /* the body from nformats to its end, for rewriting names */
};

/* Describe ('D') and Close ('C'). */
struct front_target {
	char kind; /* 'S' or 'P' */
	struct span name;
};

struct front_execute {
	struct span portal;
	uint32_t max_rows; /* 0 = all */
};

/* One parameter of a Bind. */
struct front_param {
	bool null;
	bool binary;
	struct span value;
};

int front_parse_decode(struct span body, struct front_parse *out_r, const char **why_r);
int front_bind_decode(struct span body, struct front_bind *out_r, const char **why_r);
int front_target_decode(struct span body, struct front_target *out_r, const char **why_r);
int front_execute_decode(struct span body, struct front_execute *out_r, const char **why_r);

/* 'Q': *text_r without the NUL. */
int front_query_decode(struct span body, struct span *text_r, const char **why_r);

/* 'p' as a password: *text_r without the NUL. (SASL bodies: see scram.h.) */
int front_password_decode(struct span body, struct span *text_r, const char **why_r);

/* Only the names of a Bind whose body may be cut after them: 0 = decoded, 1 = need more bytes,
 * -1 = bad. *used_r = bytes up to and including the second NUL. */
int front_bind_names(struct span cut_body, struct span *portal_r, struct span *stmt_r, size_t *used_r,
		     const char **why_r);

/* Parameter `i` of a decoded bind by walking from *at (start with at = 0); call for i = 0, 1, .. */
struct front_param front_bind_param(const struct front_bind *b, uint16_t i, size_t *at);
/* The result format that applies to column `col`: 0 text, 1 binary. */
uint16_t front_bind_result_format(const struct front_bind *b, uint16_t col);
/* Does `in` begin with Describe and Execute, of all rows, of the unnamed portal, and Sync? So nearly everybody goes on behind a Bind. */
#define FRONT_RUN_DESCRIBE 7u
#define FRONT_RUN_EXECUTE 10u
#define FRONT_RUN_SIZE (FRONT_RUN_DESCRIBE + FRONT_RUN_EXECUTE + 5u)
bool front_runs(struct span in);
/* Are all format codes 0 or 1? Of others the server says 22023 "unsupported format code". */
bool front_bind_formats_known(const struct front_bind *b);

#endif
