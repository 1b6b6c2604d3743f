/*
 * @NAME@: a SASL mechanism. Begin by changing this paragraph: what is proved, and how?
 *
 * As it stands the mechanism "@UPPER@" works as PLAIN does (RFC 4616): one message from the client,
 *
 *     [authorisation identity] NUL authentication identity NUL password
 *
 * so it shows the password to the server and is offered under TLS only. A mechanism with more steps returns
 * MORTISE_SASL_CONTINUE with a challenge in *out and keeps what it needs in conv->state, in memory of
 * MORTISE_LIFE_BOX, which is wiped after dispose. Base64, the "*" that gives up, limits and delays are the
 * server's. What may be returned stands in <mortise/sasl.h>.
 */
#include <string.h>

#include <mortise/sasl.h>

#define IDENTITY_MAX 255

/* ---- options: sasl = ( { type = "@NAME@"; } ); ---- */

struct options {
	bool allow_authorisation;
};

static const struct mortise_option option_table[] = {
	MORTISE_OPTION(struct options, allow_authorisation, BOOL, "yes", .since = "0.1",
		.help = "whether a client may ask to act as another user",
		.detail = "Whether that user may be acted for is decided by the server all the same."),
};

/* A part of the message as a string in memory that is wiped; NULL when it is too long. */
static char *take(struct mortise_call *call, const char *from, const char *to)
{
	size_t n = (size_t)(to - from);
	char *s;

	if (n > IDENTITY_MAX)
		return NULL;
	s = call->host->alloc(call, MORTISE_LIFE_BOX, n + 1);
	memcpy(s, from, n);
	return s;
}

/* Cuts the message into its three parts and asks the server's backends. */
static int judge(struct mortise_call *call, struct mortise_conversation *conv, struct mortise_octets in)
{
	const struct options *o = call->instance->options;
	const char *p = in.data, *end = p + in.size, *first, *second;
	char *authorisation, *authentication, *password;

	first = memchr(p, '\0', in.size);
	second = first != NULL ? memchr(first + 1, '\0', (size_t)(end - first - 1)) : NULL;
	if (second == NULL || memchr(second + 1, '\0', (size_t)(end - second - 1)) != NULL)
		return MORTISE_SASL_BAD;
	authorisation = take(call, p, first);
	authentication = take(call, first + 1, second);
	password = take(call, second + 1, end);
	if (authorisation == NULL || authentication == NULL || password == NULL || *authentication == '\0' ||
		*password == '\0')
		return MORTISE_SASL_BAD;
	if (*authorisation != '\0' && !o->allow_authorisation && strcmp(authorisation, authentication) != 0)
		return MORTISE_SASL_FAIL;
	switch (conv->verify(conv, call, authentication, password, strlen(password))) {
	case MORTISE_AUTH_OK:
		conv->authentication = authentication;
		conv->authorisation = authorisation;
		return MORTISE_SASL_DONE;
	case MORTISE_AUTH_TEMP:
	case MORTISE_AUTH_INTERNAL:
		return MORTISE_SASL_TEMP;
	default: /* why, is nobody's business but the server's */
		return MORTISE_SASL_FAIL;
	}
}

static int start(struct mortise_call *call, struct mortise_conversation *conv, struct mortise_octets in,
	struct mortise_octets *out)
{
	out->data = NULL;
	out->size = 0;
	if (in.data != NULL)
		return judge(call, conv, in);
	/* No initial response: an empty challenge asks for it. */
	out->data = "";
	return MORTISE_SASL_CONTINUE;
}

static int step(struct mortise_call *call, struct mortise_conversation *conv, struct mortise_octets in,
	struct mortise_octets *out)
{
	out->data = NULL;
	out->size = 0;
	return in.data != NULL ? judge(call, conv, in) : MORTISE_SASL_BAD;
}

static void dispose(struct mortise_call *call, struct mortise_conversation *conv)
{
	(void)call;
	conv->state = NULL; /* its memory is the server's to wipe */
}

/* ---- the module ---- */

static const struct mortise_mechanism mechanisms[] = {
	{.name = "@UPPER@",
		.flags = MORTISE_MECHANISM_PLAINTEXT | MORTISE_MECHANISM_CLIENT_FIRST,
		.needs = MORTISE_CREDENTIAL_VERIFY},
	{.name = NULL},
};

static const struct mortise_sasl_ops ops = {
	.size = sizeof(struct mortise_sasl_ops),
	.mechanisms = mechanisms,
	.start = start,
	.step = step,
	.dispose = dispose,
};

MORTISE_MODULE(@IDENT@,
	.kind = MORTISE_KIND_SASL,
	.api_major = MORTISE_SASL_MAJOR,
	.api_minor = MORTISE_SASL_MINOR,
	.name = "@NAME@",
	.version = "0.1",
	.summary = "one message with identity and password",
	.licence = "Apache-2.0",
	.url = "https://example.org/mortise-@NAME@",
	.options = option_table,
	.option_count = sizeof(option_table) / sizeof(option_table[0]),
	.instance_size = sizeof(struct options),
	.ops = &ops);
