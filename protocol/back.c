#include "protocol/back.h"

#include "protocol/read.h"

int back_error_decode(struct span body, struct back_error *out_r, const char **why_r)
{
	struct read r = read_from(body);
	struct back_error out = {0};
	struct span severity = {0};

	for (;;) {
		char code = (char)read_u8(&r);
		struct span text;

		if (r.why != NULL || code == 0)
			break;
		text = read_cstr(&r);
		switch (code) {
		case 'S': severity = text; break;
		case 'V': out.severity = text; break;
		case 'C': out.sqlstate = text; break;
		case 'M': out.message = text; break;
		case 'D': out.detail = text; break;
		case 'H': out.hint = text; break;
		default: break; /* the manual: unknown fields are to be ignored */
		}
	}
	if (read_end(&r, why_r) != 0)
		return -1;
	if (out.severity.p == NULL)
		out.severity = severity;
	*out_r = out;
	return 0;
}

int back_param_decode(struct span body, struct back_param *out_r, const char **why_r)
{
	struct read r = read_from(body);
	struct back_param out;

	out.name = read_cstr(&r);
	out.value = read_cstr(&r);
	if (read_end(&r, why_r) != 0)
		return -1;
	*out_r = out;
	return 0;
}

int back_key_decode(struct span body, struct back_key *out_r, const char **why_r)
{
	struct read r = read_from(body);
	struct back_key out;

	out.pid = read_u32(&r);
	out.secret = read_rest(&r);
	if (read_end(&r, why_r) != 0)
		return -1;
	if (out.secret.n < 4 || out.secret.n > 256) {
		*why_r = "invalid length of the cancel key";
		return -1;
	}
	*out_r = out;
	return 0;
}

int back_notify_decode(struct span body, struct back_notify *out_r, const char **why_r)
{
	struct read r = read_from(body);
	struct back_notify out;

	out.pid = read_u32(&r);
	out.channel = read_cstr(&r);
	out.payload = read_cstr(&r);
	if (read_end(&r, why_r) != 0)
		return -1;
	*out_r = out;
	return 0;
}

int back_auth_decode(struct span body, uint32_t *code_r, struct span *rest_r, const char **why_r)
{
	struct read r = read_from(body);
	uint32_t code = read_u32(&r);
	struct span rest = read_rest(&r);

	if (read_end(&r, why_r) != 0)
		return -1;
	if ((code == BACK_AUTH_MD5 && rest.n != 4) ||
	    ((code == BACK_AUTH_OK || code == BACK_AUTH_CLEARTEXT) && rest.n != 0)) {
		*why_r = "invalid length of the authentication request";
		return -1;
	}
	*code_r = code;
	*rest_r = rest;
	return 0;
}

int back_ready_decode(struct span body, char *status_r, const char **why_r)
{
	struct read r = read_from(body);
	char status = (char)read_u8(&r);

	if (read_end(&r, why_r) != 0)
		return -1;
	if (status != 'I' && status != 'T' && status != 'E') {
		*why_r = "unknown transaction status";
		return -1;
	}
	*status_r = status;
	return 0;
}

int back_complete_decode(struct span body, struct span *tag_r, const char **why_r)
{
	struct read r = read_from(body);
	struct span tag = read_cstr(&r);

	if (read_end(&r, why_r) != 0)
		return -1;
	*tag_r = tag;
	return 0;
}

int back_negotiate_decode(struct span body, uint32_t *minor_r, uint32_t *noptions_r, const char **why_r)
{
	struct read r = read_from(body);
	uint32_t minor = read_u32(&r);
	uint32_t noptions = read_u32(&r);

	for (uint32_t i = 0; i < noptions && r.why == NULL; i++)
		read_cstr(&r);
	if (read_end(&r, why_r) != 0)
		return -1;
	*minor_r = minor & 0xffff; /* servers send the whole version number */
	*noptions_r = noptions;
	return 0;
}

int back_count(struct span body)
{
	struct read r = read_from(body);
	uint16_t n = read_u16(&r);

	return r.why == NULL ? n : -1;
}

int back_column_next(struct span body, size_t *at, struct back_column *out_r)
{
	struct read r;
	struct back_column out;

	if (*at > body.n)
		return -1;
	r = read_from(span_skip(body, *at));
	out.name = read_cstr(&r);
	out.table_oid = read_u32(&r);
	out.attnum = read_u16(&r);
	out.type_oid = read_u32(&r);
	out.type_len = read_u16(&r);
	out.type_mod = read_u32(&r);
	out.format = read_u16(&r);
	if (r.why != NULL)
		return -1;
	*at = body.n - r.left.n;
	*out_r = out;
	return 0;
}

int back_value_next(struct span body, size_t *at, struct span *value_r)
{
	struct read r;
	struct span value = {0};
	uint32_t length;

	if (*at > body.n)
		return -1;
	r = read_from(span_skip(body, *at));
	length = read_u32(&r);
	if (length != UINT32_MAX)
		value = read_bytes(&r, length);
	if (r.why != NULL)
		return -1;
	*at = body.n - r.left.n;
	*value_r = value;
	return length == UINT32_MAX ? 1 : 0;
}
