#include "tests/fuzz/fuzz.h"

#include "protocol/back.h"
#include "protocol/frame.h"
#include "protocol/scram.h"

static void walk_rows(char type, struct span body)
{
	int count = back_count(body);
	size_t at = 2;

	for (int i = 0; i < count; i++) {
		struct back_column column;
		struct span value;

		if (type == 'T' ? back_column_next(body, &at, &column) != 0
				: back_value_next(body, &at, &value) < 0)
			return;
		FUZZ_CHECK(at <= body.n);
		fuzz_within(type == 'T' ? column.name : value, body);
	}
}

static void walk_auth(struct span body)
{
	struct scram_client client;
	struct span rest;
	const char *why;
	uint32_t code;

	if (back_auth_decode(body, &code, &rest, &why) != 0)
		return;
	fuzz_within(rest, body);
	if (code == BACK_AUTH_SASL &&
	    scram_client_start(&client, rest, span_of(NULL, 0), SCRAM_BIND_PREFER, &why) == 0)
		scram_client_end(&client);
}

/* The two halves of SCRAM that a server may send at any time. */
static void walk_scram(struct span body)
{
	static const struct scram_keys keys;
	struct scram_client client;
	const char *why;
	struct buf out;

	buf_init(&out, 4 * SCRAM_MESSAGE_MAX);
	FUZZ_CHECK(scram_client_start(&client, span_of("SCRAM-SHA-256\0", 15), span_of(NULL, 0),
				      SCRAM_BIND_PREFER, &why) == 0);
	strcpy(client.client_nonce, "abc");
	scram_client_first(&client, &out);
	if (scram_client_challenge(&client, body, &why) == 0) {
		FUZZ_CHECK(client.iterations > 0 && client.salt_n > 0);
		FUZZ_CHECK(scram_client_final(&client, &keys, &out) == 0);
		FUZZ_CHECK(scram_client_verify(&client, body, &why) != 0);
	}
	scram_client_end(&client);
	buf_free(&out);
}

static void walk(char type, struct span body)
{
	struct back_error error;
	struct back_param param;
	struct back_key key;
	struct back_notify notify;
	struct span tag;
	const char *why;
	uint32_t minor, count;
	char status;

	switch (type) {
	case 'T':
	case 'D': walk_rows(type, body); break;
	case 'R': walk_auth(body); break;
	case 'p': walk_scram(body); break;
	case 'E':
	case 'N':
		if (back_error_decode(body, &error, &why) == 0)
			fuzz_within(error.message, body);
		break;
	case 'S':
		if (back_param_decode(body, &param, &why) == 0)
			fuzz_within(param.value, body);
		break;
	case 'K':
		if (back_key_decode(body, &key, &why) == 0)
			FUZZ_CHECK(key.secret.n >= 4 && key.secret.n <= 256);
		break;
	case 'A':
		if (back_notify_decode(body, &notify, &why) == 0)
			fuzz_within(notify.payload, body);
		break;
	case 'Z': back_ready_decode(body, &status, &why); break;
	case 'v': back_negotiate_decode(body, &minor, &count, &why); break;
	case 'C':
		if (back_complete_decode(body, &tag, &why) == 0)
			fuzz_within(tag, body);
		break;
	default: break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct span left = span_of(p, n);
	struct frame frame;
	const char *why;
	size_t used;

	while (frame_next(left, 1 << 20, &frame, &used, &why) == FRAME_OK) {
		walk(frame.type, frame.body);
		left = span_skip(left, used);
	}
	return 0;
}
