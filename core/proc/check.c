#include "auth/auth.h"
#include "base/io.h"
#include "conf/commands.h"
#include "conf/log_options.h"
#include "imap/session.h"
#include "log/log.h"
#include "mime/mime.h"
#include "module/module.h"
#include "net/listen.h"
#include "net/tls.h"
#include "proc/options.h"
#include "proc/roles.h"
#include "store/quota.h"
#include "store/store.h"
#include "base/banned.h"

const struct conf_group *const all_conf_groups[] = {&log_conf_group, &process_conf_group, &limit_conf_group,
    &listen_conf_group, &tls_conf_group, &module_conf_group, &auth_conf_group, &store_conf_group,
    &quota_conf_group, &mime_conf_group, &imap_conf_group};
const size_t all_conf_group_count = ARRAY_LEN(all_conf_groups);

/* The parts of the configuration that are in files of their own: certificate and modules. */
static void look_deeper(struct conf *c, struct arena *a, struct conf_report *r, void *arg UNUSED)
{
	static const uint32_t kinds[] = {MORTISE_KIND_DRIVER, MORTISE_KIND_PASSWORD, MORTISE_KIND_SASL};
	struct module_options modules;
	struct tls_options tls;
	struct quota_options quota;
	struct quota_limits limits;
	struct registry *g;
	struct err e = ERR_INIT;
	AUTO_CLOSE int fd = -1;

	conf_fill(c, &tls_conf_group, &tls, a, r);
	if (tls.self_signed && (tls.certificate == NULL || *tls.certificate == '\0'))
		conf_warning(r, MSG_TLS_SELF_SIGNED, conf_file(c), 0,
		    "tls.certificate is not set: one is made at every start");
	else if (tls_seal(&tls, &fd, &e) != 0)
		conf_problem(r, MSG_TLS_FILES, conf_file(c), 0, "tls: %s", e.admin);
	conf_fill(c, &quota_conf_group, &quota, a, r);
	if (quota_limits_parse(&quota.limits, &limits, &e) != 0)
		conf_problem(r, MSG_CONF_TYPE, conf_file(c), 0, "%s", e.admin);
	conf_fill(c, &module_conf_group, &modules, a, r);
	g = registry_load(c, &modules, kinds, ARRAY_LEN(kinds), true, r);
	registry_free(&g);
}

int check_run(const char *config, bool strict, FILE *out)
{
	return conf_command_check(
	    config, all_conf_groups, all_conf_group_count, strict, look_deeper, NULL, out);
}

int dump_run(const char *config, bool changed, FILE *out)
{
	return conf_command_dump(
	    config, all_conf_groups, all_conf_group_count, changed, look_deeper, NULL, out, stderr);
}

int describe_run(const char *format, FILE *out)
{
	return conf_command_describe(all_conf_groups, all_conf_group_count, format, out);
}
