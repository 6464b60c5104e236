/* server_cancel.h - a cancel request of ours to the server.
 * Source  PostgreSQL manual, "Canceling Requests in Progress"; libpq: when the server closes the connection, the signal
 *         has been sent, so a statement that starts later cannot be hit.
 * Shape   a connection of its own to the address that the backend is connected to.
 * Owner   the backend; one at a time.
 * Thread  the backend's worker.
 * Errors  a request that cannot be sent is over like any other. */
#ifndef PROXY_BACKEND_SERVER_CANCEL_H
#define PROXY_BACKEND_SERVER_CANCEL_H

#include "proxy/backend/backend.h"

/* Starts one, or has one more follow the one under way. */
void server_cancel_start(struct backend *b);
/* The backend goes: the request runs on alone. */
void server_cancel_forget(struct backend *b);
/* Shutdown. */
void server_cancel_close_all(struct host *host);

#endif
