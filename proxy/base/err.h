/* err.h - the reason why a call failed, carried upwards.
 * Source  none.
 * Shape   text for people, and the SQLSTATE a client should see ("" = XX000).
 * Owner   the caller's struct, usually on the stack.
 * Thread  one at a time.
 * Errors  text that does not fit is cut. */
#ifndef PROXY_BASE_ERR_H
#define PROXY_BASE_ERR_H

#include <stdarg.h>

struct err {
	char sqlstate[6];
	char text[506];
};

/* Fills *err (which may be NULL) and returns -1, so that `return err_set(..)` reads well. */
int err_set(struct err *err, const char *fmt, ...) __attribute__((cold, format(printf, 2, 3)));

/* The same with a SQLSTATE of five characters. */
int err_state(struct err *err, const char *sqlstate, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#endif
