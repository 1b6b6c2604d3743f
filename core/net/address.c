#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

#include "net/listen.h"
#include "base/banned.h"

/* IPv4 inside IPv6 becomes IPv4: one peer, one name. */
static struct sockaddr_storage plain_form(const struct sockaddr_storage *a)
{
	struct sockaddr_storage out = *a;
	const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)a;

	if (a->ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&six->sin6_addr)) {
		struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = six->sin6_port};

		memcpy(&four.sin_addr, six->sin6_addr.s6_addr + 12, 4);
		memset(&out, 0, sizeof(out));
		memcpy(&out, &four, sizeof(four));
	}
	return out;
}

static void write_host(const struct sockaddr_storage *a, char out[ADDRESS_TEXT])
{
	const char *text = NULL;

	if (a->ss_family == AF_INET)
		text = inet_ntop(AF_INET, &((const struct sockaddr_in *)a)->sin_addr, out, ADDRESS_TEXT);
	else if (a->ss_family == AF_INET6)
		text = inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)a)->sin6_addr, out, ADDRESS_TEXT);
	if (text == NULL)
		(void)snprintf(out, ADDRESS_TEXT, "unix");
}

void address_host(const struct sockaddr_storage *a, char out[ADDRESS_TEXT])
{
	struct sockaddr_storage p = plain_form(a);

	write_host(&p, out);
}

void address_full(const struct sockaddr_storage *a, char out[ADDRESS_TEXT])
{
	struct sockaddr_storage p = plain_form(a);
	char host[ADDRESS_TEXT];

	write_host(&p, host);
	if (p.ss_family == AF_INET)
		(void)snprintf(out, ADDRESS_TEXT, "%.45s:%u", host,
		    (unsigned)ntohs(((const struct sockaddr_in *)&p)->sin_port));
	else if (p.ss_family == AF_INET6)
		(void)snprintf(out, ADDRESS_TEXT, "[%.45s]:%u", host,
		    (unsigned)ntohs(((const struct sockaddr_in6 *)&p)->sin6_port));
	else
		(void)snprintf(out, ADDRESS_TEXT, "unix");
}

void address_key(const struct sockaddr_storage *a, char out[ADDRESS_TEXT])
{
	struct sockaddr_storage p = plain_form(a);

	if (p.ss_family == AF_INET6)
		memset(((struct sockaddr_in6 *)&p)->sin6_addr.s6_addr + 8, 0, 8);
	write_host(&p, out);
}
