/* gate_private.h - what the files of the gate share.
 * Source  gate.h.
 * Shape   a gate is where its two function pointers say: on_input for the client's next message, on_ready for the end of
 *         something slow; at most one of them is set. NULL = nothing of that kind may come.
 * Owner   the gate.
 * Thread  the session's loop.
 * Errors  through gate_deny and gate_refuse_password only. */
#ifndef PROXY_AUTH_GATE_PRIVATE_H
#define PROXY_AUTH_GATE_PRIVATE_H

#include "proxy/auth/gate.h"
#include "proxy/auth/slow.h"
#include "proxy/origin/lookup.h"
#include "config/hba.h"
#include "protocol/scram.h"

typedef enum gate_step (*gate_ready_fn)(struct gate *g, struct buf *out, struct err *err);
typedef enum gate_step (*gate_input_fn)(struct gate *g, struct span body, struct buf *out, struct err *err);

struct gate {
	struct config *config;		  /* counted */
	const struct config_database *db; /* borrowed from config; NULL = console or unknown */
	bool console;
	char *database; /* owned */
	char *user;	/* owned */
	struct sockaddr_storage peer;
	bool local; /* unix socket */
	SSL *ssl;   /* borrowed, may be NULL */
	int fd;
	bool replication;
	struct loop *loop;
	struct offload *offload, *askers;
	struct secrets *secrets;
	void (*ready)(void *arg);
	void *arg;

	gate_ready_fn on_ready;
	gate_input_fn on_input;
	enum gate_step last; /* what the latest step said */
	struct slow *slow;   /* under way, or NULL */
	struct lookup_req *lookup;
	gate_ready_fn then;    /* where a lookup or the system's answer leads */
	struct err lookup_err; /* of a lookup that failed; text "" = none */
	struct timer timer;
	uint64_t asked_us; /* when the client's latest message came */

	enum hba_method method;
	enum hba_clientcert clientcert;
	const char *map;   /* borrowed from config */
	const char *shown; /* the method's name for logs; static */
	char reason[256];
	struct err denial; /* what will be told */

	struct secret *secret; /* counted; the stored one, later the learned one; NULL = none */
	bool peer_ok;	       /* the system user may log in as this one */
	bool fits;	       /* the typed password */
	bool known;	       /* auth_file or auth_query has the user */

	uint8_t md5_salt[4];
	struct scram_server scram;
	bool scram_late; /* the verifier's keys are not computed yet, only its salt stands */
	size_t held_n;	 /* a client's message that waits for something slow */
	uint8_t *held;	 /* owned, wiped */
};

/* --- gate.c --- */
enum gate_step gate_deny(struct gate *g, struct err *err, const char *sqlstate, const char *text,
			 const char *reason);
/* The same, told a fixed time after the client's message. */
enum gate_step gate_deny_later(struct gate *g, const char *sqlstate, const char *text, const char *reason);
/* Wrong password or unknown user: later, in the same words. */
enum gate_step gate_refuse_password(struct gate *g, const char *reason);
enum gate_step gate_wait(struct gate *g, gate_ready_fn on_ready);
enum gate_step gate_expect(struct gate *g, gate_input_fn on_input);
/* In. Learns g->secret. */
enum gate_step gate_admit(struct gate *g);
/* Wakes the session; from callbacks of slow work only. */
void gate_wake(struct gate *g);
enum gate_step gate_run_slow(struct gate *g, struct offload *where, struct slow *slow, gate_ready_fn on_ready,
			     struct err *err);
bool gate_hold(struct gate *g, struct span body);
void gate_unhold(struct gate *g);

/* --- gate_user.c: is the user known, and by which secret --- */
enum gate_step gate_find_user(struct gate *g, gate_ready_fn then, struct buf *out, struct err *err);
/* Which kind of secret a user that does not exist pretends to have. */
enum secret_kind gate_mock_kind(const struct gate *g);

/* --- gate_system.c: certificates and system users --- */
/* 0, or -1 = denied and *step_r says so. */
int gate_check_cert(struct gate *g, struct err *err, enum gate_step *step_r);
enum gate_step gate_check_peer(struct gate *g, gate_ready_fn then, struct err *err);

/* --- gate_password.c: in clear, md5 --- */
enum gate_step gate_ask_clear(struct gate *g, struct buf *out);
enum gate_step gate_ask_md5(struct gate *g, struct buf *out, struct err *err);

/* --- gate_scram.c --- */
enum gate_step gate_ask_scram(struct gate *g, struct buf *out, struct err *err);
/* The verifier that users who do not exist have; also the salt for those with a plain password. */
int gate_mock_verifier(const struct gate *g, struct scram_verifier *verifier_r);

#endif
