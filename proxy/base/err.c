#include "proxy/base/err.h"

#include <stdio.h>
#include <string.h>

/* The arguments may point into *err itself (a reason wrapped in a longer one), hence the copy. */
static void err_fill(struct err *err, const char *sqlstate, const char *fmt, va_list ap)
{
	struct err made;

	memset(&made, 0, sizeof made);
	for (size_t i = 0; i < 5 && sqlstate[i] != '\0'; i++)
		made.sqlstate[i] = sqlstate[i];
	vsnprintf(made.text, sizeof made.text, fmt, ap);
	*err = made;
}

int err_set(struct err *err, const char *fmt, ...)
{
	va_list ap;

	if (err != NULL) {
		va_start(ap, fmt);
		err_fill(err, "", fmt, ap);
		va_end(ap);
	}
	return -1;
}

int err_state(struct err *err, const char *sqlstate, const char *fmt, ...)
{
	va_list ap;

	if (err != NULL) {
		va_start(ap, fmt);
		err_fill(err, sqlstate, fmt, ap);
		va_end(ap);
	}
	return -1;
}
