/* log_min_duration_statement: statements that took long, with what was decided about them and where the time went. */
#include "proxy/session/session_private.h"

#include "proxy/base/log.h"
#include "proxy/sql/parse.h"

#define SLOW_TEXT 2048u		    /* that is shown */
#define SLOW_SCANNED (128u * 1024u) /* a text that is cut may end within a literal, and is not shown then */

struct redacted {
	struct span text;
	struct buf out;
	uint32_t end; /* of the token before */
};

/* Literals become ?, comments go: nothing of what users typed in is left, only names. */
static bool add_token(void *arg, enum parse_token token, uint32_t from, uint32_t to)
{
	struct redacted *r = arg;

	if (token == TOKEN_COMMENT)
		return true;
	if (r->end != 0 && from > r->end)
		buf_add_u8(&r->out, ' ');
	r->end = to;
	if (token == TOKEN_OTHER || token == TOKEN_MINUS)
		buf_add(&r->out, r->text.p + from, to - from);
	else
		buf_add_u8(&r->out, '?');
	return r->out.len < SLOW_TEXT;
}

/* What does not scan is not shown: a literal may begin anywhere in it. */
static struct span redact(struct redacted *r, struct span text)
{
	r->text = text;
	buf_init(&r->out, SLOW_SCANNED + SLOW_TEXT);
	parse_tokens(text, add_token, r);
	if (r->out.failed)
		return span_of(NULL, 0);
	return buf_span(&r->out);
}

static const char *verdict(const struct session *s)
{
	switch (s->outcome) {
	case OUTCOME_HIT: return "hit";
	case OUTCOME_MISS: return "miss";
	case OUTCOME_PASS: return reason_name(s->outcome_reason);
	case OUTCOME_OWN: break;
	}
	return "answered by the proxy";
}

void slow_log(struct session *s, uint64_t took_us)
{
	struct log_who who = session_who(s);
	struct redacted r = {0};
	struct span text = s->latest != NULL ? s->latest->text : span_of(NULL, 0);

	if (text.n > SLOW_SCANNED)
		text.n = SLOW_SCANNED;
	if (!s->config->log_statement_literals && text.n > 0)
		text = redact(&r, text);
	if (text.n > SLOW_TEXT * 8)
		text.n = SLOW_TEXT * 8;
	log_info(&who, "slow statement", F_US("duration", took_us), F_STR("verdict", verdict(s)),
		 F_US("waited", s->waited_us), F_US("proof", s->proof_us), F_SPAN("statement", text));
	buf_free(&r.out);
}
