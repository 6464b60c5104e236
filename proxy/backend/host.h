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
#include "proxy/base/hist.h"
#include "proxy/base/offload.h"
#include "proxy/net/loop.h"

#define HOSTS_MAX 256

struct host {
	unsigned index;
	struct loop *loop;
	struct counters counters;
	struct hist query_time;	  /* statement arrived -> answered */
	struct hist wait_time;	  /* wait for a backend */
	struct hist fresh_time;	  /* wait for the proof of freshness */
	struct hist connect_time; /* backend connect and login */
	struct offload *offload;
	struct secrets *secrets;
	struct ring backends;	    /* all that live in this worker */
	struct ring server_cancels; /* all that are under way */
};

#endif
