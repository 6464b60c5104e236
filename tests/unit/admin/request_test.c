#include "proxy/admin/request.h"
#include "tests/support/test.h"

#include <stdlib.h>

static enum request_result parse(const char *text, size_t n, struct request *r, int *status_r)
{
	/* A copy of exactly that size, so that reading behind it is seen. */
	uint8_t *copy = malloc(n != 0 ? n : 1);
	enum request_result result;

	memcpy(copy, text, n);
	result = request_parse(span_of(copy, n), r, status_r);
	free(copy);
	return result;
}

TEST(request, is_found_once_its_head_is_whole)
{
	static const char text[] = "GET /metrics?x=1 HTTP/1.1\r\nHost: a\r\nACCEPT: text/plain\r\n\r\n";
	size_t n = sizeof text - 1;
	struct request r = {0};
	int status;

	for (size_t i = 0; i < n; i++)
		EXPECT_EQ(parse(text, i, &r, &status), REQUEST_MORE);
	EXPECT_EQ(request_parse(span_of(text, n), &r, &status), REQUEST_OK);
	EXPECT_MEM(r.path, span_str("/metrics"));
	EXPECT_MEM(r.accept, span_str(" text/plain"));
	EXPECT(!r.head_only);
	EXPECT(request_has_word(r.accept, "TEXT/PLAIN"));
	EXPECT(!request_has_word(r.accept, "text/plainer"));
}

TEST(request, takes_head_and_lone_line_feeds)
{
	struct request r = {0};
	int status;

	EXPECT_EQ(request_parse(span_str("HEAD / HTTP/1.0\n\n"), &r, &status), REQUEST_OK);
	EXPECT(r.head_only);
	EXPECT_MEM(r.path, span_str("/"));
}

TEST(request, refuses_what_is_none)
{
	static const struct {
		const char *text;
		int status;
	} cases[] = {
		{"\r\n", 400},
		{"GET\r\n", 400},
		{"GET / HTTP/2.0\r\n", 400},
		{"GET /\r\n", 400},
		{"GET  / HTTP/1.1\r\n", 400},
		{"GET x HTTP/1.1\r\n", 400},
		{"GET /\x01 HTTP/1.1\r\n", 400},
		{"\x16\x03\x01\x02\n", 400},
		{"POST / HTTP/1.1\r\n", 405},
		{"get / HTTP/1.1\r\n", 405},
		{"GET / HTTP/1.1\r\nno colon\r\n", 400},
		{"GET / HTTP/1.1\r\n folded: x\r\n", 400},
		{"GET / HTTP/1.1\r\n: x\r\n", 400},
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct request r = {0};
		int status = 0;

		EXPECT_EQ(parse(cases[i].text, strlen(cases[i].text), &r, &status), REQUEST_BAD);
		EXPECT_EQ(status, cases[i].status);
	}
}

TEST(request, is_bounded)
{
	char *text = malloc(2 * REQUEST_MAX);
	struct request r = {0};
	int status = 0;

	memset(text, 'a', 2 * REQUEST_MAX);
	EXPECT_EQ(parse(text, REQUEST_MAX - 1, &r, &status), REQUEST_MORE);
	EXPECT_EQ(parse(text, REQUEST_MAX, &r, &status), REQUEST_BAD);
	EXPECT_EQ(status, 431);
	memcpy(text, "GET / HTTP/1.1\r\na:", 18);
	EXPECT_EQ(parse(text, REQUEST_MAX, &r, &status), REQUEST_BAD);
	EXPECT_EQ(status, 431);
	memcpy(text + REQUEST_MAX, "\r\n\r\n", 4);
	EXPECT_EQ(parse(text, REQUEST_MAX + 4, &r, &status), REQUEST_BAD);
	EXPECT_EQ(status, 431);
	free(text);
}
