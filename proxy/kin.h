/* kin.h - the way for cancel requests between processes that serve one port of one machine: the one that was replaced and still
 *         drains, and the one that has taken the port over and gets its clients' requests.
 * Source  unix(7), abstract sockets. docs/operation.md, "A new process takes over".
 * Shape   each takes the first free one of KIN_PLACES addresses, which are the same for one user, network namespace and listen_port;
 *         what comes in there is nothing but cancel requests. session/peer_cancel.h sends to the other places.
 * Owner   the listener is the caller's.
 * Thread  any.
 * Errors  no free place: NULL; requests for others then end as those that fit nothing. */
#ifndef PROXY_KIN_H
#define PROXY_KIN_H

#include "config/config.h"
#include "proxy/net/listener.h"
#include "proxy/session/peer_cancel.h"

struct listener *kin_listen(const struct config *cfg, struct kin *kin_r);

#endif
