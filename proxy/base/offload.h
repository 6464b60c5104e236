/* offload.h - a few threads for work that would stall a loop (SCRAM's PBKDF2, blocking lookups).
 * Source  none.
 * Shape   FIFO of jobs; `work` runs in a helper thread, then the job's mail goes to `reply_to`.
 * Owner   the job is the caller's until submitted, then offload's until its mail is run.
 * Thread  offload_submit from any.
 * Errors  -1 from offload_submit when `max_queued` jobs wait already. */
#ifndef PROXY_BASE_OFFLOAD_H
#define PROXY_BASE_OFFLOAD_H

#include "proxy/base/mailbox.h"

struct offload;

struct offload_job {
	void (*work)(struct offload_job *job); /* in the helper thread */
	struct mailbox *reply_to;
	struct mail mail; /* .run is set by the caller; find the job by offsetof */
	struct offload_job *next;
};

struct offload *offload_new(unsigned nthreads, unsigned max_queued, struct err *err);
void offload_free(struct offload **o); /* finishes what is queued, joins the threads */
int offload_submit(struct offload *o, struct offload_job *job);

#endif
