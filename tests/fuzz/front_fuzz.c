#include "tests/fuzz/fuzz.h"

#include "protocol/frame.h"
#include "protocol/front.h"
#include "protocol/scram.h"

static void walk_parse(struct span body)
{
	struct front_parse parse;
	const char *why;

	if (front_parse_decode(body, &parse, &why) != 0)
		return;
	fuzz_within(parse.query, body);
	fuzz_within(parse.param_oids, body);
	FUZZ_CHECK(parse.param_oids.n == 4u * parse.nparams);
}

static void walk_bind(struct span body)
{
	struct front_bind bind;
	struct span portal, stmt;
	const char *why;
	size_t at = 0, used;

	if (front_bind_decode(body, &bind, &why) != 0)
		return;
	FUZZ_CHECK(front_bind_names(body, &portal, &stmt, &used, &why) == 0);
	FUZZ_CHECK(span_eq(portal, bind.portal) && span_eq(stmt, bind.stmt));
	FUZZ_CHECK(bind.after_names.p == body.p + used);
	for (uint16_t i = 0; i < bind.nparams; i++)
		fuzz_within(front_bind_param(&bind, i, &at).value, body);
	FUZZ_CHECK(at == bind.params.n);
	front_bind_formats_known(&bind);
	front_bind_result_format(&bind, 7);
}

static void walk_small(char type, struct span body)
{
	struct front_target target;
	struct front_execute execute;
	struct span text, data;
	const char *why;

	if ((type == 'D' || type == 'C') && front_target_decode(body, &target, &why) == 0)
		fuzz_within(target.name, body);
	if (type == 'E' && front_execute_decode(body, &execute, &why) == 0)
		fuzz_within(execute.portal, body);
	if (type == 'Q' && front_query_decode(body, &text, &why) == 0)
		fuzz_within(text, body);
	if (type == 'p' && front_password_decode(body, &text, &why) == 0)
		fuzz_within(text, body);
	if (type == 'p' && scram_initial_decode(body, &text, &data, &why) == 0)
		fuzz_within(data, body);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct span left = span_of(p, n);
	struct frame frame;
	const char *why;
	size_t used;

	while (frame_next(left, 1 << 20, &frame, &used, &why) == FRAME_OK) {
		fuzz_within(frame.body, left);
		FUZZ_CHECK(used == frame.body.n + FRAME_HEADER);
		if (frame.type == 'P')
			walk_parse(frame.body);
		else if (frame.type == 'B')
			walk_bind(frame.body);
		else
			walk_small(frame.type, frame.body);
		left = span_skip(left, used);
	}
	return 0;
}
