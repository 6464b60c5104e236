#include "protocol/front.h"

#include "protocol/read.h"

int front_parse_decode(struct span body, struct front_parse *out_r, const char **why_r)
{
	struct read r = read_from(body);
	struct front_parse out;

	out.name = read_cstr(&r);
	out.query = read_cstr(&r);
	out.nparams = read_u16(&r);
	out.param_oids = read_bytes(&r, 4u * out.nparams);
	if (read_end(&r, why_r) != 0)
		return -1;
	*out_r = out;
	return 0;
}

static struct span bind_params(struct read *r, uint16_t n)
{
	const uint8_t *from = r->left.p;

	for (uint16_t i = 0; i < n && r->why == NULL; i++) {
		uint32_t length = read_u32(r);

		if (length != UINT32_MAX) /* anything else below zero is longer than any body */
			read_bytes(r, length);
	}
	return r->why == NULL ? span_of(from, (size_t)(r->left.p - from)) : span_of(NULL, 0);
}

int front_bind_decode(struct span body, struct front_bind *out_r, const char **why_r)
{
	struct read r = read_from(body);
	struct front_bind out;

	out.portal = read_cstr(&r);
	out.stmt = read_cstr(&r);
	out.after_names = r.left;
	out.nformats = read_u16(&r);
	out.formats = read_bytes(&r, 2u * out.nformats);
	out.nparams = read_u16(&r);
	if (r.why == NULL && out.nformats > 1 && out.nformats != out.nparams)
		r.why = "bind message has not as many parameter formats as parameters";
	out.params = bind_params(&r, out.nparams);
	out.nresults = read_u16(&r);
	out.result_formats = read_bytes(&r, 2u * out.nresults);
	if (read_end(&r, why_r) != 0)
		return -1;
	*out_r = out;
	return 0;
}

int front_target_decode(struct span body, struct front_target *out_r, const char **why_r)
{
	struct read r = read_from(body);
	struct front_target out;

	out.kind = (char)read_u8(&r);
	out.name = read_cstr(&r);
	if (read_end(&r, why_r) != 0)
		return -1;
	if (out.kind != 'S' && out.kind != 'P') {
		*why_r = "invalid message subtype";
		return -1;
	}
	*out_r = out;
	return 0;
}

int front_execute_decode(struct span body, struct front_execute *out_r, const char **why_r)
{
	struct read r = read_from(body);
	struct front_execute out;

	out.portal = read_cstr(&r);
	out.max_rows = read_u32(&r);
	if (read_end(&r, why_r) != 0)
		return -1;
	if (out.max_rows > INT32_MAX) /* the server takes zero and below for "all" */
		out.max_rows = 0;
	*out_r = out;
	return 0;
}

static int only_string(struct span body, struct span *text_r, const char **why_r)
{
	struct read r = read_from(body);
	struct span text = read_cstr(&r);

	if (read_end(&r, why_r) != 0)
		return -1;
	*text_r = text;
	return 0;
}

int front_query_decode(struct span body, struct span *text_r, const char **why_r)
{
	return only_string(body, text_r, why_r);
}

int front_password_decode(struct span body, struct span *text_r, const char **why_r)
{
	return only_string(body, text_r, why_r);
}

int front_bind_names(struct span cut_body, struct span *portal_r, struct span *stmt_r, size_t *used_r,
		     const char **why_r)
{
	struct read r = read_from(cut_body);
	struct span portal = read_cstr(&r);
	struct span stmt = read_cstr(&r);

	(void)why_r; /* a missing NUL may still come; the caller bounds how long it waits */
	if (r.why != NULL)
		return 1;
	*portal_r = portal;
	*stmt_r = stmt;
	*used_r = cut_body.n - r.left.n;
	return 0;
}

bool front_runs(struct span in)
{
	static const char run[] = "D\0\0\0\6P\0"
				  "E\0\0\0\11\0\0\0\0\0"
				  "S\0\0\0\4";

	_Static_assert(sizeof run - 1 == FRONT_RUN_SIZE, "three messages");
	return in.n >= FRONT_RUN_SIZE && memcmp(in.p, run, FRONT_RUN_SIZE) == 0;
}

static uint16_t u16_at(struct span s, size_t i)
{
	return (uint16_t)(s.p[2 * i] << 8 | s.p[2 * i + 1]);
}

struct front_param front_bind_param(const struct front_bind *b, uint16_t i, size_t *at)
{
	struct read r = read_from(span_skip(b->params, *at));
	struct front_param out = {0};
	uint32_t length = read_u32(&r);

	if (b->nformats > 0)
		out.binary = u16_at(b->formats, b->nformats == 1 ? 0 : i) != 0;
	out.null = length == UINT32_MAX;
	if (!out.null)
		out.value = read_bytes(&r, length);
	*at = b->params.n - r.left.n;
	return out;
}

bool front_bind_formats_known(const struct front_bind *b)
{
	for (uint16_t i = 0; i < b->nformats; i++)
		if (u16_at(b->formats, i) > 1)
			return false;
	for (uint16_t i = 0; i < b->nresults; i++)
		if (u16_at(b->result_formats, i) > 1)
			return false;
	return true;
}

uint16_t front_bind_result_format(const struct front_bind *b, uint16_t col)
{
	if (b->nresults == 0)
		return 0;
	if (b->nresults == 1)
		return u16_at(b->result_formats, 0);
	return col < b->nresults ? u16_at(b->result_formats, col) : 0;
}
