#include "proxy/auth/gate_private.h"

#include "config/ident.h"
#include "config/users.h"
#include "proxy/base/check.h"
#include "proxy/base/clock.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Every refused password is told at this time after the client's last message, so that how long we took does not tell an unknown
 * user from a known one (PBKDF2 or none, kept or not). It is well above what PBKDF2 takes with the usual iterations. */
#define REFUSE_AFTER_US 50000u

/* Longest 'p' body that is looked at while something slow runs. */
#define HELD_MAX (SECRET_MAX + 1024u)

static enum gate_step start(struct gate *g, struct buf *out, struct err *err);

static void timer_fired(void *arg)
{
	gate_wake(arg);
}

static void copy_peer(struct gate *g, const struct sockaddr *peer)
{
	g->local = peer == NULL || (peer->sa_family != AF_INET && peer->sa_family != AF_INET6);
	g->peer.ss_family = AF_UNIX;
	if (!g->local)
		memcpy(&g->peer, peer,
		       peer->sa_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6));
}

struct gate *gate_new(const struct gate_client *client, struct loop *l, struct offload *o,
		      struct secrets *secrets, void (*ready)(void *arg), void *arg)
{
	struct gate *g = check_alloc(sizeof *g);

	g->config = config_ref(client->config);
	g->database = strdup(client->database);
	g->user = strdup(client->user);
	check(g->database != NULL && g->user != NULL);
	g->console = client->console;
	if (!g->console)
		g->db = config_database(g->config, client->database);
	copy_peer(g, client->peer);
	g->ssl = client->ssl;
	g->fd = client->fd;
	g->replication = client->replication;
	g->loop = l;
	g->offload = o;
	g->askers = client->askers;
	g->secrets = secrets;
	g->ready = ready;
	g->arg = arg;
	g->map = "";
	g->shown = "none";
	g->on_ready = start;
	timer_init(&g->timer, timer_fired, g);
	return g;
}

void gate_free(struct gate **gp)
{
	struct gate *g = *gp;

	*gp = NULL;
	if (g == NULL)
		return;
	slow_abandon(&g->slow);
	if (g->lookup != NULL)
		lookup_cancel(&g->lookup);
	timer_free(&g->timer);
	scram_server_end(&g->scram);
	gate_unhold(g);
	secret_unref(g->secret);
	config_unref(g->config);
	free(g->database);
	free(g->user);
	OPENSSL_cleanse(g, sizeof *g);
	free(g);
}

/* --- ends of a step --- */

enum gate_step gate_deny(struct gate *g, struct err *err, const char *sqlstate, const char *text,
			 const char *reason)
{
	snprintf(g->reason, sizeof g->reason, "%.255s", reason);
	err_state(err, sqlstate, "%s", text);
	return GATE_DENIED;
}

static enum gate_step tell_denial(struct gate *g, struct buf *out, struct err *err)
{
	(void)out;
	if (err != NULL)
		*err = g->denial;
	return GATE_DENIED;
}

enum gate_step gate_deny_later(struct gate *g, const char *sqlstate, const char *text, const char *reason)
{
	uint64_t took_us = clock_us() - g->asked_us;

	snprintf(g->reason, sizeof g->reason, "%.255s", reason);
	err_state(&g->denial, sqlstate, "%s", text);
	timer_set(g->loop, &g->timer, took_us < REFUSE_AFTER_US ? REFUSE_AFTER_US - took_us : 0);
	return gate_wait(g, tell_denial);
}

enum gate_step gate_refuse_password(struct gate *g, const char *reason)
{
	char text[sizeof g->denial.text];

	snprintf(text, sizeof text, "password authentication failed for user \"%.400s\"", g->user);
	return gate_deny_later(g, "28P01", text, reason);
}

enum gate_step gate_wait(struct gate *g, gate_ready_fn on_ready)
{
	g->on_ready = on_ready;
	return GATE_WAIT;
}

enum gate_step gate_expect(struct gate *g, gate_input_fn on_input)
{
	g->on_input = on_input;
	return GATE_CONTINUE;
}

enum gate_step gate_admit(struct gate *g)
{
	/* A stored verifier alone opens no server; keys that an earlier login has shown stay what is known. */
	if (g->secret != NULL && secret_usable(g->secret))
		secrets_learn(g->secrets, g->database, g->user, g->secret);
	return GATE_OK;
}

/* --- slow work --- */

void gate_wake(struct gate *g)
{
	g->ready(g->arg);
}

enum gate_step gate_run_slow(struct gate *g, struct offload *where, struct slow *slow, gate_ready_fn on_ready,
			     struct err *err)
{
	char why[sizeof err->text];
	struct err own;

	check(g->slow == NULL);
	if (slow_start(slow, g->loop, where, &own) != 0) {
		memcpy(why, own.text, sizeof why);
		return gate_deny(g, err, own.sqlstate, why, why);
	}
	g->slow = slow;
	return gate_wait(g, on_ready);
}

bool gate_hold(struct gate *g, struct span body)
{
	gate_unhold(g);
	if (body.n > HELD_MAX)
		return false;
	g->held = malloc(body.n + 1);
	if (g->held == NULL)
		return false;
	if (body.n != 0)
		memcpy(g->held, body.p, body.n);
	g->held_n = body.n;
	return true;
}

void gate_unhold(struct gate *g)
{
	if (g->held != NULL)
		OPENSSL_cleanse(g->held, g->held_n);
	free(g->held);
	g->held = NULL;
	g->held_n = 0;
}

/* --- which method --- */

static const char *peer_text(const struct gate *g, char *out, size_t n)
{
	char a[INET6_ADDRSTRLEN] = "?";

	if (g->local)
		return "[local]";
	if (g->peer.ss_family == AF_INET)
		inet_ntop(AF_INET, &((const struct sockaddr_in *)&g->peer)->sin_addr, a, sizeof a);
	else
		inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)&g->peer)->sin6_addr, a, sizeof a);
	snprintf(out, n, "%s", a);
	return out;
}

/* PostgreSQL's words, which people search for. */
static enum gate_step deny_by_hba(struct gate *g, const struct hba_rule *rule, struct err *err)
{
	const char *peer, *tls = g->ssl != NULL ? "SSL encryption" : "no encryption";
	char text[sizeof err->text], host[INET6_ADDRSTRLEN], reason[64];

	peer = peer_text(g, host, sizeof host);
	if (g->replication)
		snprintf(text, sizeof text, "%s host \"%s\", user \"%.100s\", %s",
			 rule != NULL ? "pg_hba.conf rejects replication connection for"
				      : "no pg_hba.conf entry for replication connection from",
			 peer, g->user, tls);
	else
		snprintf(text, sizeof text, "%s host \"%s\", user \"%.100s\", database \"%.100s\", %s",
			 rule != NULL ? "pg_hba.conf rejects connection for" : "no pg_hba.conf entry for",
			 peer, g->user, g->database, tls);
	if (rule != NULL)
		snprintf(reason, sizeof reason, "rejected by line %d of auth_hba_file", rule->line);
	else
		snprintf(reason, sizeof reason, "no line of auth_hba_file matches");
	return gate_deny(g, err, "28000", text, reason);
}

static enum hba_method method_of(enum config_auth_type type)
{
	switch (type) {
	case AUTH_TYPE_ANY:
	case AUTH_TYPE_TRUST: return HBA_TRUST;
	case AUTH_TYPE_PLAIN: return HBA_PASSWORD;
	case AUTH_TYPE_MD5: return HBA_MD5;
	case AUTH_TYPE_SCRAM: return HBA_SCRAM;
	case AUTH_TYPE_CERT: return HBA_CERT;
	case AUTH_TYPE_PEER: return HBA_PEER;
	case AUTH_TYPE_HBA: break;
	}
	return HBA_REJECT;
}

/* 0, or -1 = refused already. */
static int choose_method(struct gate *g, struct err *err)
{
	const struct hba_rule *rule;
	struct hba_facts facts = {
		.addr = g->local ? NULL : (const struct sockaddr *)&g->peer,
		.tls = g->ssl != NULL,
		.replication = g->replication,
		.database = g->database,
		.user = g->user,
	};

	if (g->config->auth_type != AUTH_TYPE_HBA) {
		g->method = method_of(g->config->auth_type);
	} else {
		rule = g->config->hba != NULL ? hba_match(g->config->hba, &facts) : NULL;
		if (rule == NULL || rule->method == HBA_REJECT) {
			g->method = HBA_REJECT;
			g->shown = "reject";
			deny_by_hba(g, rule, err);
			return -1;
		}
		g->method = rule->method;
		g->clientcert = rule->clientcert;
		g->map = rule->map;
	}
	g->shown = g->config->auth_type == AUTH_TYPE_ANY ? "any" : hba_method_name(g->method);
	return 0;
}

/* --- the way through --- */

/* Trusted, or proven by the system or a certificate: what is left is whether we know the name at all. As in PgBouncer it must be
 * in auth_file (or found by auth_query); where neither is configured there is nothing to look it up in. */
static enum gate_step admit_if_known(struct gate *g, struct err *err)
{
	static const char *const words[] = {
		[HBA_TRUST] = "\"trust\"", [HBA_CERT] = "certificate", [HBA_PEER] = "Peer"};
	char text[sizeof err->text];

	if (g->known)
		return gate_admit(g);
	snprintf(text, sizeof text, "%s authentication failed for user \"%.300s\"", words[g->method],
		 g->user);
	return gate_deny(g, err, "28000", text, "user is neither in auth_file nor found by auth_query");
}

static enum gate_step exchange(struct gate *g, struct buf *out, struct err *err)
{
	enum secret_kind kind = g->secret != NULL ? g->secret->kind : SECRET_NONE;

	if (kind == SECRET_NONE)
		kind = gate_mock_kind(g);
	switch (g->method) {
	case HBA_TRUST:
	case HBA_CERT:
	case HBA_PEER: return admit_if_known(g, err);
	case HBA_PASSWORD: return gate_ask_clear(g, out);
	case HBA_MD5: return kind == SECRET_SCRAM ? gate_ask_scram(g, out, err) : gate_ask_md5(g, out, err);
	case HBA_SCRAM: return gate_ask_scram(g, out, err);
	case HBA_REJECT: break;
	}
	return gate_deny(g, err, "28000", "authentication failed", "no method");
}

static enum gate_step find_user(struct gate *g, struct buf *out, struct err *err)
{
	return gate_find_user(g, exchange, out, err);
}

/* Whoever it is, servers see the user of the database entry only. */
static enum gate_step admit_any(struct gate *g, struct err *err)
{
	if (g->console || g->db == NULL || g->db->server_user[0] != '\0')
		return gate_admit(g);
	return gate_deny(g, err, "28000", "auth_type = any needs a user= in the entry of the database",
			 "auth_type = any, and the database's entry has no user=");
}

static enum gate_step start(struct gate *g, struct buf *out, struct err *err)
{
	enum gate_step step = GATE_DENIED;

	if (choose_method(g, err) != 0)
		return GATE_DENIED;
	if (gate_check_cert(g, err, &step) != 0)
		return step;
	if (g->config->auth_type == AUTH_TYPE_ANY)
		return admit_any(g, err);
	if (g->method == HBA_PEER)
		return gate_check_peer(g, find_user, err);
	return find_user(g, out, err);
}

/* --- what the session calls --- */

static enum gate_step ended(struct gate *g, enum gate_step step, struct buf *out, struct err *err)
{
	if (out->failed && (step == GATE_CONTINUE || step == GATE_OK))
		step = gate_deny(g, err, "53200", "out of memory", "no room for an authentication request");
	g->last = step;
	return step;
}

enum gate_step gate_step_again(struct gate *g, struct buf *out, struct err *err)
{
	gate_ready_fn fn = g->on_ready;

	/* Called without need: nothing has changed. */
	if (fn == NULL || g->slow != NULL || g->lookup != NULL)
		return g->last;
	if (g->asked_us == 0)
		g->asked_us = clock_us();
	g->on_ready = NULL;
	return ended(g, fn(g, out, err), out, err);
}

enum gate_step gate_input(struct gate *g, struct span body, struct buf *out, struct err *err)
{
	gate_input_fn fn = g->on_input;

	g->asked_us = clock_us();
	g->on_input = NULL;
	if (fn == NULL) {
		/* Whatever was under way has lost its purpose. */
		g->on_ready = NULL;
		return ended(g,
			     gate_deny(g, err, "08P01", "unexpected authentication message",
				       "authentication message that nobody asked for"),
			     out, err);
	}
	return ended(g, fn(g, body, out, err), out, err);
}

const char *gate_method(const struct gate *g)
{
	return g->shown;
}

const char *gate_reason(const struct gate *g)
{
	return g->reason;
}
