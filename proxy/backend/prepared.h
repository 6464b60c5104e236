/* prepared.h - which statements a backend holds under our names ("pgweir_<id>").
 * Source  PostgreSQL manual, "Extended Query"; PgBouncer's max_prepared_statements.
 * Shape   id -> state, least recently used first out.
 * Owner   the backend.
 * Thread  the backend's worker.
 * Errors  -1 when memory is gone. */
#ifndef PROXY_BACKEND_PREPARED_H
#define PROXY_BACKEND_PREPARED_H

#include "protocol/span.h"
#include "proxy/base/ring.h"

#define PREPARED_NAME_MAX 32

struct prepared_entry;

struct prepared {
	struct prepared_entry *table; /* owned, uthash */
	struct ring lru;	      /* oldest first */
	unsigned n;		      /* without those that are being closed */
};

void prepared_init(struct prepared *p);
void prepared_clear(struct prepared *p); /* all forgotten: the server has none any more */

/* The same for those whose Parse has been answered; the others are to come. */
void prepared_clear_held(struct prepared *p);

enum prepared_state {
	PREPARED_NOT,
	PREPARED_PENDING, /* Parse sent */
	PREPARED_HELD,
	PREPARED_CLOSING, /* Close sent: it may still turn out to be held */
};

/* Marks it as used when it is there. */
enum prepared_state prepared_look(struct prepared *p, uint64_t id);
/* A Parse has been sent, in that batch (expect.h). */
int prepared_sent(struct prepared *p, uint64_t id, uint64_t batch);
uint64_t prepared_batch(const struct prepared *p, uint64_t id);
void prepared_confirmed(struct prepared *p, uint64_t id); /* ParseComplete; Close skipped */
void prepared_closing(struct prepared *p, uint64_t id);	  /* Close sent */
void prepared_forget(struct prepared *p, uint64_t id);	  /* Parse failed or skipped; Close answered */
/* The oldest held one, 0 when there is none. */
uint64_t prepared_oldest(const struct prepared *p);
/* A held one that keep(arg, id) does not want kept, 0 when there is none. */
uint64_t prepared_held_but(const struct prepared *p, bool (*keep)(void *arg, uint64_t id), void *arg);
/* A look at the backend: none of the held ones has been seen yet (how many are there?), this one has, one that has not (0 = none). */
unsigned prepared_unsee(struct prepared *p);
void prepared_see(struct prepared *p, uint64_t id);
uint64_t prepared_unseen(const struct prepared *p);
/* "pgweir_<id>" into out, as a span of it. */
struct span prepared_name(uint64_t id, char out[PREPARED_NAME_MAX]);

#endif
