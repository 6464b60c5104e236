#include "protocol/frame.h"

#include "protocol/read.h"

enum frame_status frame_peek(struct span in, uint32_t max_body, char *type_r, uint32_t *body_n_r,
			     const char **why_r)
{
	struct read r = read_from(in);
	uint8_t type;
	uint32_t length;

	if (in.n < FRAME_HEADER)
		return FRAME_MORE;
	type = read_u8(&r);
	length = read_u32(&r);
	if (length < 4) {
		*why_r = "invalid message length";
		return FRAME_BAD;
	}
	if (length - 4 > max_body) {
		*why_r = "message is too long";
		return FRAME_BAD;
	}
	*type_r = (char)type;
	*body_n_r = length - 4;
	return FRAME_OK;
}

enum frame_status frame_next(struct span in, uint32_t max_body, struct frame *frame_r, size_t *used_r,
			     const char **why_r)
{
	char type;
	uint32_t body_n;
	enum frame_status status = frame_peek(in, max_body, &type, &body_n, why_r);

	if (status != FRAME_OK)
		return status;
	if (in.n - FRAME_HEADER < body_n)
		return FRAME_MORE;
	frame_r->type = type;
	frame_r->body = span_of(in.p + FRAME_HEADER, body_n);
	*used_r = FRAME_HEADER + body_n;
	return FRAME_OK;
}

size_t frame_run(struct span in, char type, uint32_t max_body)
{
	size_t at = 0;

	while (in.n - at >= FRAME_HEADER && in.p[at] == (uint8_t)type) {
		const uint8_t *p = in.p + at + 1;
		uint32_t length = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];

		if (length < 4 || length - 4 > max_body || length > in.n - at - 1)
			break;
		at += 1 + (size_t)length;
	}
	return at;
}
