#include "protocol/frame.h"

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
		uint32_t length = frame_length(in.p + at);

		if (length < 4 || length - 4 > max_body || length > in.n - at - 1)
			break;
		at += 1 + (size_t)length;
	}
	return at;
}
