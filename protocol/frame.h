/* frame.h - cut a byte stream into PostgreSQL v3 messages.
 * Source  PostgreSQL manual, "Message Formats": type(1), length(4, counts itself), body.
 * Shape   in = zero or more whole messages and perhaps a cut one; nothing is copied.
 * Owner   the caller's bytes; frame_r->body points into them.
 * Thread  pure; any.
 * Errors  FRAME_MORE: come back with more bytes. FRAME_BAD: final, *why_r is static text. */
#ifndef PROTOCOL_FRAME_H
#define PROTOCOL_FRAME_H

#include "protocol/span.h"

enum frame_status { FRAME_OK, FRAME_MORE, FRAME_BAD };

struct frame {
	char type;
	struct span body; /* without type and length */
};

#define FRAME_HEADER 5u

/* The first whole message of `in`; *used_r is its size with header. */
enum frame_status frame_next(struct span in, uint32_t max_body, struct frame *frame_r, size_t *used_r,
			     const char **why_r);

/* As it stands in a header, with its own four bytes. */
static inline uint32_t frame_length(const uint8_t *header)
{
	return (uint32_t)header[1] << 24 | (uint32_t)header[2] << 16 | (uint32_t)header[3] << 8 | header[4];
}

/* Only the header: type and body length, for messages that are streamed and not held whole.
 * FRAME_OK as soon as five bytes are there. */
static inline enum frame_status frame_peek(struct span in, uint32_t max_body, char *type_r,
					   uint32_t *body_n_r, const char **why_r)
{
	uint32_t length;

	if (in.n < FRAME_HEADER)
		return FRAME_MORE;
	length = frame_length(in.p);
	if (length < 4) {
		*why_r = "invalid message length";
		return FRAME_BAD;
	}
	if (length - 4 > max_body) {
		*why_r = "message is too long";
		return FRAME_BAD;
	}
	*type_r = (char)in.p[0];
	*body_n_r = length - 4;
	return FRAME_OK;
}

/* How many bytes of whole messages of that type `in` begins with. Stops in front of a length that is wrong or above max_body. */
size_t frame_run(struct span in, char type, uint32_t max_body);

#endif
