/* inspect.h - pgweir --check-config: would a process start here, now, with this configuration?
 * Source  what the start does: prepare.h, entrance.h, identity.h.
 * Shape   everything that can be found out without taking a port, making a file, or asking a server; all findings, not only the
 *         first one.
 * Owner   nothing is kept.
 * Thread  the main thread, before there is any other: root looks at the files as the option user.
 * Errors  are the findings. */
#ifndef PROXY_INSPECT_H
#define PROXY_INSPECT_H

#include "config/config.h"

#include <stdbool.h>

/* `text` is "file:line: option: reason"; bad = the start would fail. Returns how many of those there are. */
unsigned inspect(const struct config *cfg, void (*say)(void *arg, bool bad, const char *text), void *arg);

#endif
