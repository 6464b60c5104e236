/* help.h - what the tests of net/ share: waiting for a condition, certificates, connected pairs.
 * Source  none.
 * Shape   run_until runs the loop until the condition holds, or fails the test after 20 s.
 * Owner   the test.
 * Thread  the test's.
 * Errors  fail the test. */
#ifndef TESTS_UNIT_NET_HELP_H
#define TESTS_UNIT_NET_HELP_H

#include "proxy/net/loop.h"
#include "proxy/net/tls.h"

#include <stdbool.h>

/* False when the deadline came first. */
bool run_until(struct loop *l, bool (*done)(void *arg), void *arg);
/* The same for a flag. */
bool run_until_set(struct loop *l, const bool *flag);
/* As many rounds as happen in that time: to see that something does not happen. */
void run_for(struct loop *l, unsigned ms);

/* A connected pair of non-blocking sockets; TCP over loopback, or a socketpair. */
void pair_unix(int fds[2]);
void pair_tcp(int fds[2]);

/* Files in a directory of their own: an authority, a server (localhost, 127.0.0.1, db.example) and a client
 * (common name "mike") that it has signed, and a stranger that signed itself. */
struct certs {
	char dir[64];
	char ca[96], server[96], server_key[96], client[96], client_key[96], stranger[96], stranger_key[96];
};

void certs_make(struct certs *certs);
void certs_remove(struct certs *certs);
/* Settings with the files filled in. */
struct tls_settings certs_server(const struct certs *certs, enum tls_mode mode);
struct tls_settings certs_client(const struct certs *certs, enum tls_mode mode);

#endif
