/* settle.h - a backend's way back from a session to its pool.
 * Source  docs/isolation.md, "a client that vanishes", "cancel".
 * Shape   part of the backend; its state is SETTLING meanwhile.
 * Owner   the backend.
 * Thread  its worker's.
 * Errors  what cannot be settled in time is closed. */
#ifndef PROXY_BACKEND_SETTLE_H
#define PROXY_BACKEND_SETTLE_H

#include "proxy/backend/backend.h"
#include "protocol/frame.h"

/* The next thing to do, if the backend is settling and nothing is under way. */
void settle_go_on(struct backend *b);
/* b->free_later: nothing is left to settle. */
void settle_end(struct later *later);
void settle_message(struct backend *b, const struct frame *f);
/* Throws away long messages that nobody wants, as they come. true = come back with more input. */
bool settle_skip(struct backend *b);
void settle_timed_out(struct backend *b);
/* Moves a free backend to another worker and offers it to the pool there. */
void backend_move(struct backend *b, struct host *to);

#endif
