#include "protocol/replication.h"

#include "protocol/read.h"

int replication_decode(struct span payload, struct replication_message *out_r, const char **why_r)
{
	struct read r = read_from(payload);
	struct replication_message out = {0};
	uint8_t type = read_u8(&r);

	switch (type) {
	case 'w':
		out.kind = REPLICATION_DATA;
		out.start = read_u64(&r);
		out.end = read_u64(&r);
		out.time_us = (int64_t)read_u64(&r);
		out.payload = read_rest(&r);
		break;
	case 'k':
		out.kind = REPLICATION_KEEPALIVE;
		out.end = read_u64(&r);
		out.time_us = (int64_t)read_u64(&r);
		out.reply_requested = read_u8(&r) != 0;
		break;
	default: *why_r = "unknown replication message"; return -1;
	}
	if (read_end(&r, why_r) != 0)
		return -1;
	*out_r = out;
	return 0;
}

static void add_u64(struct buf *out, uint64_t v)
{
	buf_add_u32(out, (uint32_t)(v >> 32));
	buf_add_u32(out, (uint32_t)v);
}

void replication_status(struct buf *out, uint64_t written, uint64_t flushed, uint64_t applied, int64_t now_us,
			bool reply_now)
{
	buf_add_u8(out, 'r');
	add_u64(out, written);
	add_u64(out, flushed);
	add_u64(out, applied);
	add_u64(out, (uint64_t)now_us);
	buf_add_u8(out, reply_now);
}
