#include "proxy/sql/verdict.h"

#include <stddef.h>

static const struct {
	const char *name;
	const char *text;
} reasons[] = {
#define REASON(name, text) {#name, text},
#include "proxy/sql/reasons.def"
#undef REASON
};

const char *reason_name(enum reason r)
{
	return (unsigned)r < NREASONS ? reasons[r].name : "?";
}

const char *reason_text(enum reason r)
{
	return (unsigned)r < NREASONS ? reasons[r].text : "?";
}
