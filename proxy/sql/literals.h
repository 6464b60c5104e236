/* literals.h - the literals of a text, so that one analysis serves all texts that differ only in them.
 * Source  PostgreSQL's own scanner through libpg_query (parse.h), or plain.h: where tokens begin and end.
 * Shape   the literals in order, and the skeleton: the text with each literal replaced by its kind, without comments. The
 *         grammar sees tokens, so texts with the same skeleton have the same parse tree but for the content of literals,
 *         and those literals that the grammar looks into are no constants of the tree (slots.h finds them).
 * Owner   the caller's bytes; `at` and `n` are places in the text.
 * Thread  any.
 * Errors  literals_scan: false when there are none, too many, or one whose value is not plainly its spelling. */
#ifndef PROXY_SQL_LITERALS_H
#define PROXY_SQL_LITERALS_H

#include "protocol/buf.h"

#define LITERALS_MAX 128u

struct literal {
	uint32_t at, n; /* its token in the text */
	uint8_t kind;	/* i = integer, f = number, s = '..', e = E'..' without backslash, d = $$..$$ */
	bool minus;	/* the token before it is a minus, */
	uint32_t minus_at;
};

struct literals {
	unsigned count;
	bool plain; /* literals_scan: the text is plain (plain.h) */
	struct literal list[LITERALS_MAX];
};

bool literals_scan(struct span text, struct literals *literals_r, struct buf *skeleton);
/* The same, by PostgreSQL's scanner also where the text is plain (plain.h). */
bool literals_scan_exact(struct span text, struct literals *literals_r, struct buf *skeleton);

/* The literals of a text that differs in nothing but their values from `model`, which is plain and has those `n`: the skeleton is the
 * same then. false = it differs, or that is not certain. Cheaper than a scan: most texts are like one that came a moment ago. */
bool literals_like(struct span text, struct span model, const struct literal *list, unsigned n,
		   struct literals *literals_r);

/* The value of one literal is appended to `out`; the bound of `out` must leave room for the token and a sign. */
void literal_value(struct span text, const struct literal *literal, bool negative, struct buf *out);

#endif
