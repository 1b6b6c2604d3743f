#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "proc/notify.h"
#include "base/banned.h"

static struct sockaddr_un target;
static socklen_t target_size;

void notify_start(void)
{
	const char *path = getenv("NOTIFY_SOCKET");
	size_t n = path != NULL ? strlen(path) : 0;

	if (n < 2 || n >= sizeof(target.sun_path) || (path[0] != '/' && path[0] != '@'))
		return;
	target.sun_family = AF_UNIX;
	memcpy(target.sun_path, path, n);
	if (path[0] == '@')
		target.sun_path[0] = '\0';
	target_size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
}

void notify_send(const char *state)
{
	AUTO_CLOSE int fd = -1;

	if (target_size == 0)
		return;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd >= 0)
		(void)sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&target, target_size);
}

void notify_reloading(void)
{
	char text[80];

	(void)snprintf(
	    text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%llu", (unsigned long long)clock_ms() * 1000);
	notify_send(text);
}
