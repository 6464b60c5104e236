#include "tests/support/test.h"
#include "tests/unit/auth/world.h"

#include "protocol/write.h"

#include <stdio.h>
#include <stdlib.h>

static char userlist[1024];

static const char *users(const char *name, const char *secret)
{
	snprintf(userlist, sizeof userlist, "\"%s\" \"%s\"\n", name, secret);
	return userlist;
}

TEST(login, keys_learned_from_a_client_open_a_server_with_the_same_verifier)
{
	struct world near, far;
	struct meeting m, onward;
	char verifier[512];

	snprintf(verifier, sizeof verifier, "%s", scram_of("pencil"));
	world_begin(&near, "auth_type = scram-sha-256", users("ann", verifier), NULL, NULL);
	world_begin(&far, "auth_type = scram-sha-256", users("ann", verifier), NULL, NULL);
	m = world_try(&near, "ann", "pencil");
	EXPECT_EQ(m.gate, GATE_OK);
	REQUIRE(m.secret != NULL && m.secret->has_keys);
	onward = world_meet(&far, "ann", m.secret);
	EXPECT_STR(onward.login_err.text, "");
	EXPECT_EQ(onward.gate, GATE_OK);
	EXPECT_EQ(onward.login, LOGIN_OK);
	meeting_end(&onward);

	/* Also bound to a TLS channel of its own. */
	world_tls(&far, NULL);
	onward = world_meet(&far, "ann", m.secret);
	EXPECT_EQ(onward.login, LOGIN_OK);
	EXPECT_STR(onward.method, "scram-sha-256-plus");
	meeting_end(&onward);
	meeting_end(&m);
	world_end(&near);
	world_end(&far);
}

TEST(login, says_when_the_server_has_another_verifier)
{
	struct world near, far;
	struct meeting m, onward;

	world_begin(&near, "auth_type = scram-sha-256", users("ann", scram_of("pencil")), NULL, NULL);
	world_begin(&far, "auth_type = scram-sha-256", users("ann", scram_of("pencil")), NULL, NULL);
	m = world_try(&near, "ann", "pencil");
	REQUIRE(m.secret != NULL);
	onward = world_meet(&far, "ann", m.secret);
	EXPECT_EQ(onward.login, LOGIN_FAILED);
	EXPECT_STR(onward.login_err.sqlstate, "28P01");
	EXPECT_STR(
		onward.login_err.text,
		"server has another SCRAM secret for user \"ann\" than the one the client has logged in with");
	meeting_end(&m);
	meeting_end(&onward);
	world_end(&near);
	world_end(&far);
}

TEST(login, an_md5_hash_opens_an_md5_server)
{
	struct world w;
	struct meeting m;

	world_begin(&w, "auth_type = md5", "\"ann\" \"pencil\"", NULL, NULL);
	m = world_try(&w, "ann", md5_of("ann", "pencil"));
	EXPECT_EQ(m.login, LOGIN_OK);
	meeting_end(&m);
	m = world_try(&w, "ann", md5_of("ann", "other"));
	EXPECT_EQ(m.gate, GATE_DENIED);
	meeting_end(&m);
	world_end(&w);
}

TEST(login, says_what_is_asked_and_what_is_known)
{
	static const struct {
		const char *auth_type;
		enum secret_kind have;
		const char *text;
	} cases[] = {
		{"plain", SECRET_NONE, "server asks for a password for user \"ann\" and none is known"},
		{"plain", SECRET_MD5,
		 "server asks for a password for user \"ann\" and only its md5 hash is known"},
		{"plain", SECRET_SCRAM,
		 "server asks for a password for user \"ann\" and only its SCRAM verifier is known"},
		{"md5", SECRET_NONE, "server asks for an md5 password for user \"ann\" and none is known"},
		{"md5", SECRET_SCRAM,
		 "server asks for an md5 password for user \"ann\" and only its SCRAM verifier is known"},
		{"scram-sha-256", SECRET_NONE,
		 "server asks for a SCRAM password for user \"ann\" and none is known"},
		{"scram-sha-256", SECRET_MD5,
		 "server asks for a SCRAM password for user \"ann\" and only its md5 hash is known"},
		{"scram-sha-256", SECRET_SCRAM,
		 "server asks for a SCRAM password for user \"ann\" and only its SCRAM verifier is known"},
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct world w;
		struct meeting m;
		char options[64];

		snprintf(options, sizeof options, "auth_type = %s", cases[i].auth_type);
		world_begin(&w, options, "\"ann\" \"pencil\"", NULL, NULL);
		m = world_try(&w, "ann",
			      cases[i].have == SECRET_NONE  ? NULL
			      : cases[i].have == SECRET_MD5 ? md5_of("ann", "pencil")
							    : scram_of("pencil"));
		EXPECT_EQ(m.login, LOGIN_FAILED);
		EXPECT_STR(m.login_err.sqlstate, "28P01");
		EXPECT_STR(m.login_err.text, cases[i].text);
		meeting_end(&m);
		world_end(&w);
	}
}

/* --- servers that misbehave --- */

struct lone {
	struct world w;
	struct login *login;
	struct buf out;
	struct err err;
};

static void lone_begin(struct lone *s, const char *secret)
{
	struct secret *made = secret_new(secret);

	memset(s, 0, sizeof *s);
	world_begin(&s->w, "auth_type = trust", NULL, NULL, NULL);
	s->login = login_new("ann", made, NULL, s->w.loop, s->w.offload, s->w.secrets, world_ready, &s->w);
	buf_init(&s->out, 4096);
	secret_unref(made);
}

static void lone_end(struct lone *s)
{
	login_free(&s->login);
	buf_free(&s->out);
	world_end(&s->w);
}

static enum login_step say(struct lone *s, uint32_t code, const char *rest, size_t n)
{
	uint8_t *body = malloc(4 + n);
	enum login_step step;

	body[0] = body[1] = 0;
	body[2] = (uint8_t)(code >> 8);
	body[3] = (uint8_t)code;
	if (n != 0)
		memcpy(body + 4, rest, n);
	step = login_input(s->login, span_of(body, 4 + n), &s->out, &s->err);
	free(body);
	return step;
}

TEST(login, refuses_methods_that_it_has_not)
{
	static const struct {
		uint32_t code;
		const char *text;
	} cases[] = {
		{2, "server asks for Kerberos authentication, which is not supported"},
		{6, "server asks for authentication 6, which is not supported"},
		{7, "server asks for GSSAPI authentication, which is not supported"},
		{9, "server asks for SSPI authentication, which is not supported"},
		{13, "server asks for authentication 13, which is not supported"},
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct lone s;

		lone_begin(&s, "pencil");
		EXPECT_EQ(say(&s, cases[i].code, "", 0), LOGIN_FAILED);
		EXPECT_STR(s.err.text, cases[i].text);
		EXPECT_STR(s.err.sqlstate, "28000");
		EXPECT_EQ(s.out.len, 0);
		lone_end(&s);
	}
}

TEST(login, a_server_that_trusts_asks_nothing)
{
	struct lone s;

	lone_begin(&s, "");
	EXPECT_EQ(say(&s, 0, "", 0), LOGIN_OK);
	lone_end(&s);
}

TEST(login, a_server_must_prove_itself_before_it_says_ok)
{
	struct lone s;
	static const char list[] = "SCRAM-SHA-256\0";

	lone_begin(&s, "pencil");
	EXPECT_EQ(say(&s, 10, list, sizeof list), LOGIN_CONTINUE);
	EXPECT_EQ(say(&s, 0, "", 0), LOGIN_FAILED);
	EXPECT_STR(s.err.sqlstate, "08P01");
	lone_end(&s);

	/* Later too: when our proof is sent. */
	lone_begin(&s, "pencil");
	char challenge[256];
	EXPECT_EQ(say(&s, 10, list, sizeof list), LOGIN_CONTINUE);
	buf_add_u8(&s.out, 0);
	const char *nonce = strstr((const char *)s.out.p + 5 + 14 + 4, "r=");
	REQUIRE(nonce != NULL);
	int n = snprintf(challenge, sizeof challenge, "%sXYZ,s=c2FsdHNhbHQ=,i=4096", nonce);
	EXPECT_EQ(say(&s, 11, challenge, (size_t)n), LOGIN_WAIT);
	EXPECT_EQ(login_step_again(s.login, &s.out, &s.err), LOGIN_WAIT);
	world_wait(&s.w);
	EXPECT_EQ(login_step_again(s.login, &s.out, &s.err), LOGIN_CONTINUE);
	EXPECT_EQ(say(&s, 12, "v=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", 46), LOGIN_FAILED);
	EXPECT_STR(s.err.sqlstate, "28000");
	EXPECT_EQ(say(&s, 0, "", 0), LOGIN_FAILED);
	lone_end(&s);
}

TEST(login, refuses_what_is_out_of_order_or_cut)
{
	static const char list[] = "SCRAM-SHA-256\0";
	struct lone s;

	lone_begin(&s, "pencil");
	EXPECT_EQ(login_input(s.login, span_of("\0\0", 2), &s.out, &s.err), LOGIN_FAILED);
	lone_end(&s);

	lone_begin(&s, "pencil");
	EXPECT_EQ(say(&s, 5, "abc", 3), LOGIN_FAILED); /* a salt of three bytes */
	lone_end(&s);

	lone_begin(&s, "pencil");
	EXPECT_EQ(say(&s, 11, "r=x", 3), LOGIN_FAILED);
	EXPECT_STR(s.err.sqlstate, "08P01");
	lone_end(&s);

	lone_begin(&s, "pencil");
	EXPECT_EQ(say(&s, 3, "", 0), LOGIN_CONTINUE);
	EXPECT_EQ(say(&s, 3, "", 0), LOGIN_FAILED); /* asked twice */
	lone_end(&s);

	lone_begin(&s, "pencil");
	EXPECT_EQ(say(&s, 10, "SCRAM-SHA-1\0", 13), LOGIN_FAILED);
	lone_end(&s);

	lone_begin(&s, "pencil");
	EXPECT_EQ(say(&s, 10, "SCRAM-SHA-256", 13), LOGIN_FAILED); /* the list has no end */
	lone_end(&s);

	lone_begin(&s, "pencil");
	EXPECT_EQ(say(&s, 10, list, sizeof list), LOGIN_CONTINUE);
	EXPECT_EQ(say(&s, 11, "r=other,s=c2FsdA==,i=4096", 25), LOGIN_FAILED); /* not our nonce */
	lone_end(&s);
}

TEST(login, may_be_freed_while_pbkdf2_runs)
{
	static const char list[] = "SCRAM-SHA-256\0";
	struct lone s;
	char challenge[256];
	const char *nonce;
	int n;

	lone_begin(&s, "pencil");
	EXPECT_EQ(say(&s, 10, list, sizeof list), LOGIN_CONTINUE);
	buf_add_u8(&s.out, 0);
	nonce = strstr((const char *)s.out.p + 5 + 14 + 4, "r=");
	REQUIRE(nonce != NULL);
	n = snprintf(challenge, sizeof challenge, "%sXYZ,s=c2FsdHNhbHQ=,i=4096", nonce);
	EXPECT_EQ(say(&s, 11, challenge, (size_t)n), LOGIN_WAIT);
	lone_end(&s);
}
