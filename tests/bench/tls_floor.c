/* What OpenSSL alone keeps for one idle TLS client: a server's SSL objects behind their handshake, with nothing around them.
 *   tls_floor CERTIFICATE KEY    prints the bytes of the heap for each, with malloc's own */
#include <fcntl.h>
#include <malloc.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define SESSIONS 200
#define WARM 20 /* the first ones make what all share */

static void fail(const char *what)
{
	fprintf(stderr, "tls_floor: %s\n", what);
	exit(1);
}

/* As pgweir's: no buffers while nothing is under way, no cache of sessions, one ticket. */
static SSL_CTX *server_context(const char *cert, const char *key)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

	if (ctx == NULL || SSL_CTX_use_certificate_chain_file(ctx, cert) != 1 ||
	    SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1)
		fail("cannot load the certificate or its key");
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_num_tickets(ctx, 1);
	return ctx;
}

static void shake(SSL *server, SSL *client)
{
	char byte;

	for (int i = 0; i < 20 && !(SSL_is_init_finished(server) && SSL_is_init_finished(client)); i++) {
		SSL_do_handshake(client);
		SSL_do_handshake(server);
	}
	if (SSL_write(client, "x", 1) != 1 || SSL_read(server, &byte, 1) != 1 ||
	    SSL_read(server, &byte, 1) > 0)
		fail("the handshake has failed");
}

/* Leaves the server's side idle; the client's is freed, and with it all that is not counted. */
static void one(SSL_CTX *server, SSL_CTX *client)
{
	SSL *s = SSL_new(server), *c = SSL_new(client);
	int fd[2];

	if (s == NULL || c == NULL || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd) != 0 ||
	    SSL_set_fd(s, fd[0]) != 1 || SSL_set_fd(c, fd[1]) != 1)
		fail("no memory or no sockets");
	SSL_set_accept_state(s);
	SSL_set_connect_state(c);
	shake(s, c);
	SSL_free(c);
	close(fd[1]);
}

int main(int argc, char **argv)
{
	SSL_CTX *server, *client = SSL_CTX_new(TLS_client_method());
	size_t before = 0;

	if (argc != 3 || client == NULL)
		fail("usage: tls_floor CERTIFICATE KEY");
	server = server_context(argv[1], argv[2]);
	for (int i = 0; i < WARM + SESSIONS; i++) {
		if (i == WARM)
			before = mallinfo2().uordblks;
		one(server, client);
	}
	printf("%zu\n", (mallinfo2().uordblks - before) / SESSIONS);
	return 0;
}
