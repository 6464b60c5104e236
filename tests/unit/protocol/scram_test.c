#include "tests/unit/protocol/tools.h"

#include "protocol/scram.h"
#include "protocol/write.h"

/* The example of RFC 7677. */
#define RFC_SALT "\x5b\x6d\x99\x68\x9d\x12\x35\x8e\xec\xa0\x4b\x14\x12\x36\xfa\x81"
#define RFC_SERVER_NONCE "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
#define RFC_NONCE "rOprNGfwEbeRWgbNEkqO" RFC_SERVER_NONCE
#define RFC_FIRST "n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
#define RFC_CHALLENGE "r=" RFC_NONCE ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
#define RFC_FINAL "c=biws,r=" RFC_NONCE ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
#define RFC_SIGNATURE "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="

/* What PostgreSQL stores for that password and salt (computed by another implementation). */
#define RFC_VERIFIER                                                                                \
	"SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:" \
	"wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="

#define CBIND "0123456789abcdef0123456789abcdef"

static struct scram_verifier rfc_verifier(void)
{
	struct scram_verifier v = {0};

	REQUIRE(scram_verifier_parse(BYTES(RFC_VERIFIER), &v));
	return v;
}

/* A server with the nonce of the example. */
static struct scram_server rfc_server(const struct scram_verifier *v, const char *mechanism,
				      struct span cbind)
{
	struct scram_server s;
	struct scram_fault fault;

	REQUIRE(scram_server_start(&s, v, span_str(mechanism), cbind, &fault) == SCRAM_MORE);
	strcpy(s.server_nonce, RFC_SERVER_NONCE);
	return s;
}

static enum scram_status step(struct scram_server *s, struct span in, struct buf *out,
			      struct scram_fault *fault)
{
	buf_clear(out);
	*fault = (struct scram_fault){"", "", ""};
	return scram_server_step(s, in, out, fault);
}

TEST(scram, derives_what_postgresql_stores)
{
	struct scram_verifier v = {0};
	struct scram_keys keys;
	struct buf text;

	buf_init(&text, 1000);
	REQUIRE(scram_verifier_derive(BYTES("pencil"), BYTES(RFC_SALT), 4096, &v) == 0);
	scram_verifier_format(&v, &text);
	EXPECT_MEM(buf_span(&text), BYTES(RFC_VERIFIER));
	EXPECT(scram_verifier_check(&v, BYTES("pencil"), &keys));
	EXPECT(scram_keys_fit(&keys, &v));
	EXPECT(!scram_verifier_check(&v, BYTES("pencils"), NULL));
	EXPECT(!scram_verifier_check(&v, BYTES(""), NULL));
	keys.client_key[31] ^= 1;
	EXPECT(!scram_keys_fit(&keys, &v));
	buf_free(&text);
}

TEST(scram, makes_verifiers_with_fresh_salt)
{
	struct scram_verifier a, b;

	REQUIRE(scram_verifier_make(BYTES("x"), 2, &a) == 0 && scram_verifier_make(BYTES("x"), 2, &b) == 0);
	EXPECT_EQ(a.salt_n, 16);
	EXPECT(memcmp(a.salt, b.salt, 16) != 0);
	EXPECT(memcmp(a.stored_key, b.stored_key, SCRAM_KEY) != 0);
	EXPECT(scram_verifier_check(&a, BYTES("x"), NULL));
	EXPECT_EQ(scram_verifier_make(BYTES("x"), 0, &a), -1);
}

TEST(scram, refuses_text_that_is_no_verifier)
{
	static const char *const bad[] = {
		"",
		"secret",
		"md5aaaabbbbccccddddaaaabbbbccccdddd",
		"SCRAM-SHA-256",
		"SCRAM-SHA-256$",
		"SCRAM-SHA-256$4096:",
		"SCRAM-SHA-256$x:W22ZaJ0SNY7soEsUEjb6gQ==$AAAA:AAAA",
		"SCRAM-SHA-256$0:W22ZaJ0SNY7soEsUEjb6gQ==$AAAA:AAAA",
		"SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$AAAA:AAAA",
	};
	struct scram_verifier v = {.iterations = 9};
	struct span whole = BYTES(RFC_VERIFIER);

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		EXPECT(!scram_verifier_parse(span_str(bad[i]), &v));
	for (size_t n = 0; n < whole.n; n++)
		EXPECT(!scram_verifier_parse(span_of(whole.p, n), &v));
	EXPECT(!scram_verifier_parse(BYTES(RFC_VERIFIER "="), &v));
	EXPECT_EQ(v.iterations, 9);
}

TEST(scram, server_plays_the_example_of_the_rfc)
{
	struct scram_verifier v = rfc_verifier();
	struct scram_server s = rfc_server(&v, SCRAM_NAME, span_of(NULL, 0));
	struct scram_fault fault;
	struct buf out;

	buf_init(&out, 4096);
	EXPECT_EQ(step(&s, span_of(NULL, 0), &out, &fault), SCRAM_MORE);
	EXPECT_EQ(out.len, 0);
	EXPECT_EQ(step(&s, BYTES(RFC_FIRST), &out, &fault), SCRAM_MORE);
	EXPECT_MEM(buf_span(&out), BYTES(RFC_CHALLENGE));
	EXPECT_EQ(step(&s, BYTES(RFC_FINAL), &out, &fault), SCRAM_DONE);
	EXPECT_MEM(buf_span(&out), BYTES(RFC_SIGNATURE));
	EXPECT(scram_keys_fit(&s.keys, &v));
	EXPECT_EQ(step(&s, BYTES(RFC_FINAL), &out, &fault), SCRAM_BAD);
	scram_server_end(&s);
	buf_free(&out);
}

TEST(scram, client_plays_the_example_of_the_rfc)
{
	struct scram_client c;
	struct scram_keys keys;
	uint8_t salted[SCRAM_KEY];
	const char *why = NULL;
	struct buf out;

	buf_init(&out, 4096);
	REQUIRE(scram_client_start(&c, BYTES("SCRAM-SHA-256\0\0"), span_of(NULL, 0), SCRAM_BIND_PREFER,
				   &why) == 0);
	strcpy(c.client_nonce, "rOprNGfwEbeRWgbNEkqO");
	scram_client_first(&c, &out);
	EXPECT_MEM(buf_span(&out), BYTES("n,,n=,r=rOprNGfwEbeRWgbNEkqO"));
	buf_clear(&c.first_bare); /* the example names the user, PostgreSQL's clients do not */
	buf_add_span(&c.first_bare, span_skip(BYTES(RFC_FIRST), 3));
	REQUIRE(scram_client_challenge(&c, BYTES(RFC_CHALLENGE), &why) == 0);
	EXPECT_EQ(c.iterations, 4096);
	EXPECT_MEM(span_of(c.salt, c.salt_n), BYTES(RFC_SALT));
	REQUIRE(scram_salt_password(BYTES("pencil"), span_of(c.salt, c.salt_n), c.iterations, salted) == 0);
	REQUIRE(scram_keys_derive(salted, &keys) == 0);
	buf_clear(&out);
	REQUIRE(scram_client_final(&c, &keys, &out) == 0);
	EXPECT_MEM(buf_span(&out), BYTES(RFC_FINAL));
	EXPECT_EQ(scram_client_verify(&c, BYTES("v=7rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="), &why), -1);
	EXPECT_STR(why, "incorrect SCRAM server signature");
	EXPECT_EQ(scram_client_verify(&c, BYTES("e=other-error"), &why), -1);
	EXPECT_EQ(scram_client_verify(&c, BYTES(RFC_SIGNATURE), &why), 0);
	scram_client_end(&c);
	buf_free(&out);
}

/* Both roles against each other; the keys are the client's. */
static enum scram_status login(const struct scram_verifier *v, const struct scram_keys *keys,
			       struct span server_cbind, struct span client_cbind, enum scram_bind bind,
			       struct scram_keys *learned_r, struct scram_fault *fault)
{
	struct scram_client c;
	struct scram_server s;
	struct buf list, to_server, to_client;
	const char *why = NULL;
	enum scram_status status;

	buf_init(&list, 1000);
	buf_init(&to_server, 4096);
	buf_init(&to_client, 4096);
	scram_server_mechanisms(server_cbind, &list);
	REQUIRE(scram_client_start(&c, buf_span(&list), client_cbind, bind, &why) == 0);
	REQUIRE(scram_server_start(&s, v, span_str(c.mechanism), server_cbind, fault) == SCRAM_MORE);
	scram_client_first(&c, &to_server);
	status = step(&s, buf_span(&to_server), &to_client, fault);
	if (status == SCRAM_MORE) {
		REQUIRE(scram_client_challenge(&c, buf_span(&to_client), &why) == 0);
		buf_clear(&to_server);
		REQUIRE(scram_client_final(&c, keys, &to_server) == 0);
		status = step(&s, buf_span(&to_server), &to_client, fault);
	}
	if (status == SCRAM_DONE) {
		EXPECT_EQ(scram_client_verify(&c, buf_span(&to_client), &why), 0);
		*learned_r = s.keys;
	}
	scram_client_end(&c);
	scram_server_end(&s);
	buf_free(&list);
	buf_free(&to_server);
	buf_free(&to_client);
	return status;
}

static void keys_of(const struct scram_verifier *v, const char *password, struct scram_keys *keys_r)
{
	uint8_t salted[SCRAM_KEY];

	REQUIRE(scram_salt_password(span_str(password), span_of(v->salt, v->salt_n), v->iterations, salted) ==
		0);
	REQUIRE(scram_keys_derive(salted, keys_r) == 0);
}

TEST(scram, a_login_teaches_the_keys_that_log_in_again)
{
	struct span none = {0}, cbind = BYTES(CBIND);
	struct scram_verifier v;
	struct scram_keys keys, learned, again;
	struct scram_fault fault;

	REQUIRE(scram_verifier_make(BYTES("secret"), 10, &v) == 0);
	keys_of(&v, "secret", &keys);
	REQUIRE(login(&v, &keys, none, none, SCRAM_BIND_PREFER, &learned, &fault) == SCRAM_DONE);
	EXPECT_MEM(span_of(&learned, sizeof(learned)), span_of(&keys, sizeof(keys)));
	/* pass-through: to the next server without the password, with channel binding */
	REQUIRE(login(&v, &learned, cbind, cbind, SCRAM_BIND_REQUIRE, &again, &fault) == SCRAM_DONE);
	EXPECT_MEM(span_of(&again, sizeof(again)), span_of(&keys, sizeof(keys)));
}

TEST(scram, refuses_a_wrong_password_and_an_unknown_user_alike)
{
	struct span none = {0};
	struct scram_verifier v, mock;
	struct scram_keys keys, learned;
	struct scram_fault fault;

	REQUIRE(scram_verifier_make(BYTES("secret"), 10, &v) == 0);
	keys_of(&v, "Secret", &keys);
	EXPECT_EQ(login(&v, &keys, none, none, SCRAM_BIND_PREFER, &learned, &fault), SCRAM_REFUSED);
	EXPECT_STR(fault.sqlstate, "28P01");
	REQUIRE(scram_verifier_mock(BYTES("nobody"), BYTES("server secret"), 10, &mock) == 0);
	keys_of(&mock, "secret", &keys);
	EXPECT_EQ(login(&mock, &keys, none, none, SCRAM_BIND_PREFER, &learned, &fault), SCRAM_REFUSED);
	EXPECT_STR(fault.sqlstate, "28P01");
}

TEST(scram, refuses_even_the_key_of_a_mock)
{
	/* Whoever knew a preimage of the mock's stored key must still not get in. */
	struct scram_verifier v = rfc_verifier();
	struct scram_server s;
	struct scram_fault fault;
	struct buf out;

	buf_init(&out, 4096);
	v.mock = true;
	s = rfc_server(&v, SCRAM_NAME, span_of(NULL, 0));
	EXPECT_EQ(step(&s, BYTES(RFC_FIRST), &out, &fault), SCRAM_MORE);
	EXPECT_EQ(step(&s, BYTES(RFC_FINAL), &out, &fault), SCRAM_REFUSED);
	scram_server_end(&s);
	buf_free(&out);
}

TEST(scram, mocks_the_same_salt_for_the_same_user)
{
	struct scram_verifier a, b, c, d;

	REQUIRE(scram_verifier_mock(BYTES("u"), BYTES("s"), 4096, &a) == 0);
	REQUIRE(scram_verifier_mock(BYTES("u"), BYTES("s"), 4096, &b) == 0);
	REQUIRE(scram_verifier_mock(BYTES("v"), BYTES("s"), 4096, &c) == 0);
	REQUIRE(scram_verifier_mock(BYTES("u"), BYTES("t"), 4096, &d) == 0);
	EXPECT_MEM(span_of(a.salt, a.salt_n), span_of(b.salt, b.salt_n));
	EXPECT(memcmp(a.salt, c.salt, 16) != 0);
	EXPECT(memcmp(a.salt, d.salt, 16) != 0);
	EXPECT_EQ(a.salt_n, 16);
	EXPECT_EQ(a.iterations, 4096);
}

TEST(scram, binds_to_the_channel)
{
	struct span none = {0}, cbind = BYTES(CBIND), other = BYTES("0123456789abcdef0123456789abcdeX");
	struct scram_verifier v;
	struct scram_keys keys, learned;
	struct scram_fault fault;

	REQUIRE(scram_verifier_make(BYTES("secret"), 10, &v) == 0);
	keys_of(&v, "secret", &keys);
	EXPECT_EQ(login(&v, &keys, cbind, cbind, SCRAM_BIND_PREFER, &learned, &fault), SCRAM_DONE);
	/* somebody in the middle, with a certificate of his own */
	EXPECT_EQ(login(&v, &keys, cbind, other, SCRAM_BIND_PREFER, &learned, &fault), SCRAM_BAD);
	EXPECT_STR(fault.message, "SCRAM channel binding check failed");
	EXPECT_STR(fault.sqlstate, "28000");
	/* a client that cannot bind, on TLS */
	EXPECT_EQ(login(&v, &keys, cbind, none, SCRAM_BIND_PREFER, &learned, &fault), SCRAM_DONE);
	/* a client that could, and a server that does not offer it */
	EXPECT_EQ(login(&v, &keys, none, cbind, SCRAM_BIND_PREFER, &learned, &fault), SCRAM_DONE);
}

TEST(scram, client_chooses_the_mechanism)
{
	struct scram_client c;
	struct span both = BYTES("SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0"), plain = BYTES("SCRAM-SHA-256\0\0");
	const char *why = NULL;

	REQUIRE(scram_client_start(&c, both, BYTES(CBIND), SCRAM_BIND_PREFER, &why) == 0);
	EXPECT_STR(c.mechanism, SCRAM_NAME_PLUS);
	EXPECT_EQ(c.gs2_flag, 'p');
	scram_client_end(&c);
	REQUIRE(scram_client_start(&c, plain, BYTES(CBIND), SCRAM_BIND_PREFER, &why) == 0);
	EXPECT_STR(c.mechanism, SCRAM_NAME);
	EXPECT_EQ(c.gs2_flag, 'y');
	scram_client_end(&c);
	REQUIRE(scram_client_start(&c, both, BYTES(CBIND), SCRAM_BIND_DISABLE, &why) == 0);
	EXPECT_EQ(c.gs2_flag, 'n');
	scram_client_end(&c);
	REQUIRE(scram_client_start(&c, both, span_of(NULL, 0), SCRAM_BIND_PREFER, &why) == 0);
	EXPECT_EQ(c.gs2_flag, 'n');
	scram_client_end(&c);
	EXPECT_EQ(scram_client_start(&c, plain, BYTES(CBIND), SCRAM_BIND_REQUIRE, &why), -1);
	EXPECT_EQ(scram_client_start(&c, both, span_of(NULL, 0), SCRAM_BIND_REQUIRE, &why), -1);
	EXPECT_EQ(scram_client_start(&c, BYTES("OAUTHBEARER\0\0"), BYTES(CBIND), SCRAM_BIND_PREFER, &why),
		  -1);
	EXPECT_STR(why, "none of the server's SASL mechanisms is supported");
	EXPECT_EQ(scram_client_start(&c, BYTES("SCRAM-SHA-256"), BYTES(CBIND), SCRAM_BIND_PREFER, &why), -1);
}

static void expect_first(const char *mechanism, struct span cbind, struct span message, const char *sqlstate,
			 const char *text)
{
	struct scram_verifier v = rfc_verifier();
	struct scram_server s = rfc_server(&v, mechanism, cbind);
	struct scram_fault fault;
	struct buf out;

	buf_init(&out, 4096);
	EXPECT_EQ(step(&s, message, &out, &fault), SCRAM_BAD);
	EXPECT_STR(fault.sqlstate, sqlstate);
	EXPECT_STR(fault.message, text);
	EXPECT_EQ(out.len, 0);
	/* and the exchange cannot be taken up again */
	EXPECT_EQ(step(&s, BYTES(RFC_FIRST), &out, &fault), SCRAM_BAD);
	scram_server_end(&s);
	buf_free(&out);
}

TEST(scram, server_keeps_the_rules_of_the_header)
{
	struct span none = {0}, cbind = BYTES(CBIND);
	static const char *const malformed = "malformed SCRAM message";

	/* downgrade: the client would bind, thinks we do not offer it, but we did */
	expect_first(SCRAM_NAME, cbind, BYTES("y,,n=,r=abc"), "28000",
		     "SCRAM channel binding negotiation error");
	expect_first(SCRAM_NAME, cbind, BYTES("p=tls-server-end-point,,n=,r=abc"), "08P01", malformed);
	expect_first(SCRAM_NAME_PLUS, cbind, BYTES("n,,n=,r=abc"), "08P01", malformed);
	expect_first(SCRAM_NAME_PLUS, cbind, BYTES("y,,n=,r=abc"), "08P01", malformed);
	expect_first(SCRAM_NAME_PLUS, cbind, BYTES("p=tls-unique,,n=,r=abc"), "08P01",
		     "unsupported SCRAM channel-binding type");
	expect_first(SCRAM_NAME, none, BYTES("n,a=bob,n=,r=abc"), "0A000",
		     "client uses authorization identity, but it is not supported");
	expect_first(SCRAM_NAME, none, BYTES("n,,m=x,n=,r=abc"), "0A000",
		     "client requires an unsupported SCRAM extension");
	expect_first(SCRAM_NAME, none, BYTES("n,,n=,r=a\tc"), "08P01",
		     "non-printable characters in SCRAM nonce");
	expect_first(SCRAM_NAME, none, BYTES("n,,n=,r="), "08P01", "non-printable characters in SCRAM nonce");
	expect_first(SCRAM_NAME, none, BYTES("n,,r=abc"), "08P01", malformed);
	expect_first(SCRAM_NAME, none, BYTES("n,,n=,s=abc"), "08P01", malformed);
	expect_first(SCRAM_NAME, none, BYTES("x,,n=,r=abc"), "08P01", malformed);
	expect_first(SCRAM_NAME, none, BYTES("n"), "08P01", malformed);
	expect_first(SCRAM_NAME, none, BYTES("n,"), "08P01", malformed);
	expect_first(SCRAM_NAME, none, BYTES("n,,n=,r=abc\0"), "08P01", malformed);
	expect_first(SCRAM_NAME, none, BYTES(""), "08P01", malformed);
}

TEST(scram, server_offers_and_takes_plus_only_on_tls)
{
	struct scram_verifier v = rfc_verifier();
	struct scram_server s;
	struct scram_fault fault;
	struct buf list;

	buf_init(&list, 100);
	scram_server_mechanisms(span_of(NULL, 0), &list);
	EXPECT_MEM(buf_span(&list), BYTES("SCRAM-SHA-256\0\0"));
	buf_clear(&list);
	scram_server_mechanisms(BYTES(CBIND), &list);
	EXPECT_MEM(buf_span(&list), BYTES("SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0"));
	EXPECT_EQ(scram_server_start(&s, &v, BYTES(SCRAM_NAME_PLUS), span_of(NULL, 0), &fault), SCRAM_BAD);
	EXPECT_STR(fault.message, "client selected an invalid SASL authentication mechanism");
	scram_server_end(&s);
	EXPECT_EQ(scram_server_start(&s, &v, BYTES("SCRAM-SHA-1"), BYTES(CBIND), &fault), SCRAM_BAD);
	scram_server_end(&s);
	buf_free(&list);
}

static enum scram_status final_of(const struct scram_verifier *v, struct span message,
				  struct scram_fault *fault)
{
	struct scram_server s = rfc_server(v, SCRAM_NAME, span_of(NULL, 0));
	enum scram_status status;
	struct buf out;

	buf_init(&out, 4096);
	REQUIRE(step(&s, BYTES(RFC_FIRST), &out, fault) == SCRAM_MORE);
	status = step(&s, message, &out, fault);
	EXPECT_EQ(out.len > 0, status == SCRAM_DONE);
	scram_server_end(&s);
	buf_free(&out);
	return status;
}

TEST(scram, server_refuses_a_final_that_was_tampered_with)
{
	struct scram_verifier v = rfc_verifier();
	struct scram_fault fault;

	EXPECT_EQ(final_of(&v, BYTES(RFC_FINAL), &fault), SCRAM_DONE);
	EXPECT_EQ(final_of(&v,
			   BYTES("c=biws,r=" RFC_NONCE "X,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="),
			   &fault),
		  SCRAM_BAD);
	EXPECT_STR(fault.detail, "Nonce does not match.");
	EXPECT_EQ(
		final_of(
			&v,
			BYTES("c=biws,r=rOprNGfwEbeRWgbNEkqO,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="),
			&fault),
		SCRAM_BAD);
	EXPECT_STR(fault.detail, "Nonce does not match.");
	EXPECT_EQ(final_of(&v, BYTES("c=eSws,r=" RFC_NONCE ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="),
			   &fault),
		  SCRAM_BAD);
	EXPECT_STR(fault.message, "unexpected SCRAM channel-binding attribute in client-final-message");
	EXPECT_EQ(final_of(&v, BYTES("c=biws,r=" RFC_NONCE ",p=eHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="),
			   &fault),
		  SCRAM_REFUSED);
	EXPECT_EQ(final_of(&v,
			   BYTES("c=biws,r=" RFC_NONCE ",x=y,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="),
			   &fault),
		  SCRAM_REFUSED);
	EXPECT_EQ(final_of(&v, BYTES(RFC_FINAL ",x=y"), &fault), SCRAM_BAD);
	EXPECT_EQ(final_of(&v, BYTES("c=biws,r=" RFC_NONCE ",p=dHzb"), &fault), SCRAM_BAD);
	EXPECT_STR(fault.detail, "Malformed proof in client-final-message.");
}

static bool probe_final(struct span message)
{
	struct scram_verifier v = rfc_verifier();
	struct scram_fault fault;

	return final_of(&v, message, &fault) == SCRAM_DONE;
}

static bool probe_first(struct span message)
{
	struct scram_verifier v = rfc_verifier();
	struct scram_server s = rfc_server(&v, SCRAM_NAME, span_of(NULL, 0));
	struct scram_fault fault;
	enum scram_status status;
	struct buf out;

	buf_init(&out, 4096);
	status = step(&s, message, &out, &fault);
	scram_server_end(&s);
	buf_free(&out);
	return status == SCRAM_MORE;
}

TEST(scram, server_survives_hurt_messages)
{
	EXPECT_EQ(probe_cuts(probe_final, BYTES(RFC_FINAL)), 0);
	EXPECT_EQ(probe_corrupt(probe_final, BYTES(RFC_FINAL)), 0);
	probe_cuts(probe_first, BYTES(RFC_FIRST));
	probe_corrupt(probe_first, BYTES(RFC_FIRST));
}

static int challenge(struct span in)
{
	struct scram_client c;
	const char *why = NULL;
	struct buf out;
	int rc;

	buf_init(&out, 4096);
	REQUIRE(scram_client_start(&c, BYTES("SCRAM-SHA-256\0\0"), span_of(NULL, 0), SCRAM_BIND_PREFER,
				   &why) == 0);
	strcpy(c.client_nonce, "rOprNGfwEbeRWgbNEkqO");
	scram_client_first(&c, &out);
	rc = scram_client_challenge(&c, in, &why);
	EXPECT(rc == 0 || why != NULL);
	scram_client_end(&c);
	buf_free(&out);
	return rc;
}

static bool probe_challenge(struct span in)
{
	return challenge(in) == 0;
}

TEST(scram, client_refuses_a_bad_challenge)
{
	EXPECT_EQ(challenge(BYTES(RFC_CHALLENGE)), 0);
	EXPECT_EQ(challenge(BYTES("r=rOprNGfwEbeRWgbNEkqO,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096")),
		  -1); /* nothing added */
	EXPECT_EQ(challenge(BYTES("r=sOprNGfwEbeRWgbNEkqOxx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096")), -1);
	EXPECT_EQ(challenge(BYTES("r=" RFC_NONCE ",s=W22ZaJ0SNY7soEsUEjb6gQ=,i=4096")), -1);
	EXPECT_EQ(challenge(BYTES("r=" RFC_NONCE ",s=,i=4096")), -1);
	EXPECT_EQ(challenge(BYTES("r=" RFC_NONCE ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=0")), -1);
	EXPECT_EQ(challenge(BYTES("r=" RFC_NONCE ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=99999999999")), -1);
	EXPECT_EQ(challenge(BYTES("m=x,r=" RFC_NONCE ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096")), -1);
	EXPECT_EQ(challenge(BYTES("e=other-error")), -1);
	probe_cuts(probe_challenge, BYTES(RFC_CHALLENGE));
	probe_corrupt(probe_challenge, BYTES(RFC_CHALLENGE));
}

TEST(scram, client_keeps_the_order_of_the_steps)
{
	struct scram_client c;
	struct scram_keys keys = {0};
	const char *why = NULL;
	struct buf out;

	buf_init(&out, 4096);
	REQUIRE(scram_client_start(&c, BYTES("SCRAM-SHA-256\0\0"), span_of(NULL, 0), SCRAM_BIND_PREFER,
				   &why) == 0);
	EXPECT_EQ(scram_client_challenge(&c, BYTES(RFC_CHALLENGE), &why), -1);
	EXPECT_EQ(scram_client_final(&c, &keys, &out), -1);
	EXPECT_EQ(scram_client_verify(&c, BYTES(RFC_SIGNATURE), &why), -1);
	scram_client_end(&c);
	buf_free(&out);
}

static bool salts_alike(const char *a, const char *b)
{
	uint8_t salted_a[SCRAM_KEY], salted_b[SCRAM_KEY];

	REQUIRE(scram_salt_password(span_str(a), BYTES("salt"), 1, salted_a) == 0);
	REQUIRE(scram_salt_password(span_str(b), BYTES("salt"), 1, salted_b) == 0);
	return memcmp(salted_a, salted_b, SCRAM_KEY) == 0;
}

TEST(scram, prepares_passwords_as_postgresql_does)
{
	/* RFC 4013, section 3 */
	EXPECT(salts_alike("I\xc2\xadX", "IX"));
	EXPECT(salts_alike("\xc2\xaa", "a"));
	EXPECT(salts_alike("\xe2\x85\xa8", "IX"));
	EXPECT(!salts_alike("USER", "user"));
	/* a decomposed umlaut, a no-break space */
	EXPECT(salts_alike("u\xcc\x88", "\xc3\xbc"));
	EXPECT(salts_alike("a\xc2\xa0"
			   "b",
			   "a b"));
	/* forbidden, or not UTF-8: the bytes as they are */
	EXPECT(!salts_alike("\xd8\xa7"
			    "1\xc2\xad",
			    "\xd8\xa7"
			    "1"));
	EXPECT(!salts_alike("\xc2\xad\xff", "\xff"));
	EXPECT(!salts_alike("\xc2\xad", ""));
	/* pure ASCII is never touched */
	EXPECT(!salts_alike("a\x07", "a"));
}

static bool probe_initial(struct span body)
{
	struct span mechanism, data;
	const char *why = NULL;

	if (scram_initial_decode(body, &mechanism, &data, &why) != 0) {
		EXPECT(why != NULL);
		return false;
	}
	EXPECT(within(mechanism, body) && within(data, body));
	return true;
}

TEST(scram, reads_the_initial_response)
{
	struct span mechanism, data;
	const char *why;
	struct buf b;

	buf_init(&b, 1000);
	write_sasl_initial(&b, SCRAM_NAME, BYTES("n,,"));
	REQUIRE(scram_initial_decode(span_skip(buf_span(&b), 5), &mechanism, &data, &why) == 0);
	EXPECT_MEM(mechanism, BYTES("SCRAM-SHA-256"));
	EXPECT_MEM(data, BYTES("n,,"));
	EXPECT_EQ(probe_cuts(probe_initial, span_skip(buf_span(&b), 5)), 0);
	probe_corrupt(probe_initial, span_skip(buf_span(&b), 5));
	REQUIRE(scram_initial_decode(BYTES("X\0\xff\xff\xff\xff"), &mechanism, &data, &why) == 0);
	EXPECT(data.p == NULL);
	buf_free(&b);
}
