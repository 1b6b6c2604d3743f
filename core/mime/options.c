#include <mortise/option.h>

#include "log/log.h"
#include "mime/mime_int.h"

#include "base/object.h"
#include "base/banned.h"

static const struct mortise_option mime_option_table[] = {
    MORTISE_OPTION(struct mime_options, depth, UINT, "100", .min = "1", .max = "1000",
        .help = "levels of parts within parts that are told apart in a message"),
    MORTISE_OPTION(struct mime_options, parts, UINT, "10000", .min = "1", .max = "1000000",
        .help = "parts of one message that are told apart",
        .detail = "The last one then reaches to the end of the message. Nothing is lost: whoever fetches the "
                  "whole message gets all of it."),
    MORTISE_OPTION(struct mime_options, header_size, SIZE, "1M", .min = "4k", .max = "256M",
        .help = "octets of one header that are looked at"),
    MORTISE_OPTION(struct mime_options, header_fields, UINT, "10000", .min = "10", .max = "10000000",
        .help = "fields of one header that are looked at"),
    MORTISE_OPTION(struct mime_options, addresses, UINT, "10000", .min = "1", .max = "10000000",
        .help = "addresses of one field that are shown to clients"),
    MORTISE_OPTION(struct mime_options, parameters, UINT, "1000", .min = "1", .max = "1000000",
        .help = "parameters of one field that are shown to clients"),
    MORTISE_OPTION(struct mime_options, structure_size, SIZE, "16M", .min = "64k", .max = "1G",
        .help = "memory for what is known of one message's parts"),
    MORTISE_OPTION(struct mime_options, preview_size, SIZE, "256k", .min = "1k", .max = "64M",
        .help = "octets of a message's text that are looked at for its preview"),
};

const struct conf_group mime_conf_group = {
    .name = "message",
    .options = mime_option_table,
    .count = ARRAY_LEN(mime_option_table),
    .size = sizeof(struct mime_options),
    .summary = "how much of a message is understood before the rest is taken as it is",
};

struct mime_limits mime_limits_default = {.depth = 100,
    .parts = 10000,
    .header_size = 1024 * 1024,
    .header_fields = 10000,
    .addresses = 10000,
    .parameters = 1000,
    .structure_size = 16 * 1024 * 1024,
    .preview_size = 256 * 1024};

static uint32_t or_default(uint64_t v, uint32_t fallback)
{
	return v == 0 ? fallback : v < UINT32_MAX ? (uint32_t)v : UINT32_MAX;
}

struct mime_limits mime_limits_of(const struct mime_limits *l)
{
	const struct mime_limits *d = &mime_limits_default;

	if (l == NULL)
		return *d;
	return (struct mime_limits){.depth = or_default(l->depth, d->depth),
	    .parts = or_default(l->parts, d->parts),
	    .header_size = or_default(l->header_size, d->header_size),
	    .header_fields = or_default(l->header_fields, d->header_fields),
	    .addresses = or_default(l->addresses, d->addresses),
	    .parameters = or_default(l->parameters, d->parameters),
	    .structure_size = or_default(l->structure_size, d->structure_size),
	    .preview_size = or_default(l->preview_size, d->preview_size)};
}

void mime_limits_set(const struct mime_options *o)
{
	struct mime_limits *d = &mime_limits_default;

	d->depth = or_default(o->depth, d->depth);
	d->parts = or_default(o->parts, d->parts);
	d->header_size = or_default(o->header_size, d->header_size);
	d->header_fields = or_default(o->header_fields, d->header_fields);
	d->addresses = or_default(o->addresses, d->addresses);
	d->parameters = or_default(o->parameters, d->parameters);
	d->structure_size = or_default(o->structure_size, d->structure_size);
	d->preview_size = or_default(o->preview_size, d->preview_size);
}

void mime_limit_reached(const char *option, uint32_t value)
{
	log_msg(MSG_MIME_LIMIT, "a message has more than message.%s allows (%u)", option, value);
}
