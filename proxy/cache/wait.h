/* wait.h - the states of position_wait and flight_wait.
 * Source  none.
 * Shape   a zeroed wait is idle; it changes under the lock of the list that it is on.
 * Owner   -
 * Thread  under that lock.
 * Errors  none. */
#ifndef PROXY_CACHE_WAIT_H
#define PROXY_CACHE_WAIT_H

enum wait_state {
	WAIT_IDLE,   /* never used, or cancelled */
	WAIT_LISTED, /* on a list; nothing posted */
	WAIT_POSTED, /* its mail was posted, once; stays so until it is used again */
};

#endif
