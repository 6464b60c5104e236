#include "proxy/auth/gate_private.h"

#include "config/ident.h"
#include "proxy/net/tls.h"

#include <openssl/x509.h>
#include <stdio.h>
#include <sys/socket.h>

static bool has_verified_cert(SSL *ssl)
{
	return SSL_get0_peer_certificate(ssl) != NULL && SSL_get_verify_result(ssl) == X509_V_OK;
}

int gate_check_cert(struct gate *g, struct err *err, enum gate_step *step_r)
{
	bool by_name = g->method == HBA_CERT || g->clientcert == HBA_CERT_VERIFY_FULL;
	char name[256], text[sizeof err->text], reason[sizeof g->reason];

	if (!by_name && g->clientcert == HBA_CERT_NONE)
		return 0;
	if (g->ssl == NULL || !has_verified_cert(g->ssl)) {
		*step_r = gate_deny(g, err, "28000", "connection requires a valid client certificate",
				    g->ssl == NULL ? "a certificate is needed and the connection has no TLS"
						   : "no client certificate, or not one of our authority");
		return -1;
	}
	if (!by_name)
		return 0;
	if (tls_peer_name(g->ssl, name, sizeof name) != 0)
		snprintf(reason, sizeof reason, "the client's certificate has no common name");
	else if (!ident_allows(g->config->ident, g->map, name, g->user))
		snprintf(reason, sizeof reason, "the certificate is for \"%.100s\"", name);
	else
		return 0;
	snprintf(text, sizeof text, "certificate authentication failed for user \"%.300s\"", g->user);
	*step_r = gate_deny(g, err, "28000", text, reason);
	return -1;
}

static enum gate_step deny_peer(struct gate *g, struct err *err, const char *reason)
{
	char text[sizeof err->text];

	snprintf(text, sizeof text, "Peer authentication failed for user \"%.300s\"", g->user);
	return gate_deny(g, err, "28000", text, reason);
}

static void name_found(void *owner, struct slow *slow)
{
	struct gate *g = owner;
	char why[sizeof g->reason];

	g->slow = NULL;
	g->peer_ok = slow->ok && ident_allows(g->config->ident, g->map, slow->name, g->user);
	if (slow->ok)
		snprintf(why, sizeof why, "the system user is \"%.100s\"", slow->name);
	else
		snprintf(why, sizeof why, "system user %lu has no name", (unsigned long)slow->uid);
	if (!g->peer_ok)
		memcpy(g->reason, why, sizeof why);
	gate_wake(g);
}

static enum gate_step after_name(struct gate *g, struct buf *out, struct err *err)
{
	char why[sizeof g->reason];

	if (g->peer_ok)
		return g->then(g, out, err);
	memcpy(why, g->reason, sizeof why);
	return deny_peer(g, err, why);
}

enum gate_step gate_check_peer(struct gate *g, gate_ready_fn then, struct err *err)
{
	struct ucred cred;
	socklen_t n = sizeof cred;
	struct slow *slow;

	if (!g->local)
		return deny_peer(g, err, "peer needs a unix socket");
	if (getsockopt(g->fd, SOL_SOCKET, SO_PEERCRED, &cred, &n) != 0)
		return deny_peer(g, err, "the system does not say who the peer is");
	slow = slow_new(name_found, g);
	if (slow == NULL)
		return deny_peer(g, err, "no memory");
	slow_set_name(slow, cred.uid);
	g->then = then;
	return gate_run_slow(g, g->askers, slow, after_name, err);
}
