/*
 * tls-client: does to a TLS server what scripting languages cannot.
 *
 *     tls-client PORT key-updates N    TLS 1.3: N KeyUpdate messages in a row, then NOOP
 *     tls-client PORT renegotiate      TLS 1.2: asks for a new handshake, then NOOP
 *     tls-client PORT early            TLS 1.3: how much early data the server's tickets allow, and how many come
 *
 * Prints what the server answers to the NOOP, or "closed".
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/ssl.h>

static int tickets;
static unsigned early;

static int on_ticket(SSL *ssl, SSL_SESSION *session)
{
	(void)ssl;
	tickets++;
	early += SSL_SESSION_get_max_early_data(session);
	return 0;
}

static int connect_to(int port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
	struct timeval limit = {.tv_sec = 10};
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) != 0) {
		perror("connect");
		exit(2);
	}
	return fd;
}

static void noop(SSL *ssl)
{
	char line[512];
	int n;

	if (SSL_write(ssl, "a NOOP\r\n", 8) != 8 || (n = SSL_read(ssl, line, sizeof(line) - 1)) <= 0) {
		puts("closed");
		return;
	}
	line[n] = '\0';
	printf("%s", line);
}

int main(int argc, char **argv)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	int old = argc > 2 && strcmp(argv[2], "renegotiate") == 0, i, fd;
	char greeting[512];
	SSL *ssl;

	if (argc < 3)
		return 2;
	fd = connect_to((int)strtol(argv[1], NULL, 10));
	SSL_CTX_set_max_proto_version(ctx, old ? TLS1_2_VERSION : TLS1_3_VERSION);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT);
	SSL_CTX_sess_set_new_cb(ctx, on_ticket);
	ssl = SSL_new(ctx);
	SSL_set_fd(ssl, fd);
	if (SSL_connect(ssl) != 1 || SSL_read(ssl, greeting, sizeof(greeting)) <= 0)
		return 2;
	if (old) {
		if (SSL_renegotiate(ssl) != 1 || SSL_do_handshake(ssl) != 1) {
			puts("refused");
			goto done;
		}
	} else if (strcmp(argv[2], "key-updates") == 0) {
		for (i = 0; i < strtol(argv[3], NULL, 10); i++)
			if (SSL_key_update(ssl, SSL_KEY_UPDATE_NOT_REQUESTED) != 1 || SSL_do_handshake(ssl) != 1)
				break;
	}
	noop(ssl);
	if (strcmp(argv[2], "early") == 0)
		printf("%d tickets, %u octets early\n", tickets, early);
done:
	SSL_free(ssl);
	SSL_CTX_free(ctx);
	close(fd);
	return 0;
}
