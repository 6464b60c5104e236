#include "protocol/startup.h"

#include "protocol/read.h"

#define CODE_CANCEL 80877102u
#define CODE_SSL 80877103u
#define CODE_GSS 80877104u
#define TLS_HANDSHAKE 0x16

/* Pairs of strings up to an empty name, which must be the very last byte. */
static bool params_well_formed(struct span params)
{
	struct read r = read_from(params);

	for (;;) {
		struct span name = read_cstr(&r);

		if (r.why != NULL)
			return false;
		if (name.n == 0)
			return r.left.n == 0;
		read_cstr(&r);
	}
}

static enum startup_status startup_bad(const char **why_r, const char *why)
{
	*why_r = why;
	return STARTUP_BAD;
}

static enum startup_status startup_body(uint32_t code, struct span body, struct startup *out_r,
					const char **why_r)
{
	struct startup out = {.version = code};
	struct read r = read_from(body);

	switch (code) {
	case CODE_SSL:
	case CODE_GSS:
		if (body.n != 0)
			return startup_bad(why_r, "invalid length of startup packet");
		return code == CODE_SSL ? STARTUP_SSL : STARTUP_GSS;
	case CODE_CANCEL:
		if (body.n < 8 || body.n > 4 + 256)
			return startup_bad(why_r, "invalid length of startup packet");
		out.pid = read_u32(&r);
		out.secret = read_rest(&r);
		*out_r = out;
		return STARTUP_CANCEL;
	default: break;
	}
	/* Of another major version we know nothing but its number; startup_negotiate refuses it. */
	if (code >> 16 == 3) {
		if (!params_well_formed(body))
			return startup_bad(why_r,
					   "invalid startup packet layout: expected terminator as last byte");
		out.params = body;
	}
	*out_r = out;
	return STARTUP_HELLO;
}

enum startup_status startup_next(struct span in, struct startup *out_r, size_t *used_r, const char **why_r)
{
	struct read r = read_from(in);
	enum startup_status status;
	uint32_t length, code;

	if (in.n == 0)
		return STARTUP_MORE;
	if (in.p[0] == TLS_HANDSHAKE) {
		*used_r = 0;
		return STARTUP_TLS;
	}
	if (in.n < 4)
		return STARTUP_MORE;
	length = read_u32(&r);
	if (length < 8 || length > STARTUP_MAX + 4)
		return startup_bad(why_r, "invalid length of startup packet");
	if (in.n < length)
		return STARTUP_MORE;
	code = read_u32(&r);
	status = startup_body(code, span_of(in.p + 8, length - 8), out_r, why_r);
	if (status != STARTUP_BAD)
		*used_r = length;
	return status;
}

bool startup_param_next(struct span params, size_t *at, struct span *name_r, struct span *value_r)
{
	struct read r;
	struct span name, value;

	if (*at >= params.n)
		return false;
	r = read_from(span_skip(params, *at));
	name = read_cstr(&r);
	if (r.why != NULL || name.n == 0)
		return false;
	value = read_cstr(&r);
	if (r.why != NULL)
		return false;
	*at = params.n - r.left.n;
	*name_r = name;
	*value_r = value;
	return true;
}

int startup_negotiate(uint32_t version, struct span params, bool *negotiate_r)
{
	struct span name, value;
	uint32_t asked = version & 0xffff;
	int minor = asked >= 2 ? 2 : 0;
	bool negotiate = asked != (uint32_t)minor;
	size_t at = 0;

	if (version >> 16 != 3)
		return -1;
	while (!negotiate && startup_param_next(params, &at, &name, &value))
		negotiate = name.n >= 5 && memcmp(name.p, "_pq_.", 5) == 0;
	*negotiate_r = negotiate;
	return minor;
}
