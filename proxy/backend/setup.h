/* setup.h - what a backend is asked, and told, between its login and its first loan.
 * Source  docs/isolation.md; connect_query is PgBouncer's.
 * Shape   one query at a time: setup_begin, then setup_next behind each answer until it says that there is no other.
 * Owner   the backend.
 * Thread  its worker's.
 * Errors  setup_row: -1, too many settings, or no memory. An error of the server is the backend's. */
#ifndef PROXY_BACKEND_SETUP_H
#define PROXY_BACKEND_SETUP_H

#include "proxy/backend/backend.h"

void setup_begin(struct backend *b);
int setup_row(struct backend *b, struct span body);
/* false = that was the last answer; b->defaults and b->base are complete. */
bool setup_next(struct backend *b);

#endif
