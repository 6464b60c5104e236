/* host.h - what backends and sessions need of the worker thread they live in.
 * Source  none.
 * Shape   pointers that the app fills before the worker's thread starts.
 * Owner   the app; outlives everything that lives in the worker.
 * Thread  the worker's, except `index` and `loop` (for loop_post).
 * Errors  none. */
#ifndef PROXY_BACKEND_HOST_H
#define PROXY_BACKEND_HOST_H

#include "proxy/auth/secrets.h"
#include "proxy/base/counters.h"
#include "proxy/base/offload.h"
#include "proxy/net/loop.h"

#define HOSTS_MAX 256

struct host {
	unsigned index;
	struct loop *loop;
	struct counters counters;
	struct offload *offload; /* work that needs a processor, and ends soon: PBKDF2 */
	struct offload *
		askers; /* work that waits for another machine, perhaps for long: look-ups of names and users */
	struct secrets *secrets;
	struct ring backends;	    /* all that live in this worker */
	struct ring server_cancels; /* all that are under way */
};

#endif
