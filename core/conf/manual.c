#include "conf/commands.h"
#include "conf/conf_int.h"
#include "conf/manual.h"
#include "conf/mdoc.h"
#include "log/log.h"
#include "base/banned.h"

static const char manual_head[] =
    ".Dd $Mdocdate$\n"
    ".Dt IMAPD.CONF 5\n"
    ".Os\n"
    ".Sh NAME\n"
    ".Nm imapd.conf\n"
    ".Nd configuration of the Mortise mail access server\n"
    ".Sh SYNOPSIS\n"
    ".Pa " MORTISE_CONFDIR "/imapd.conf\n"
    ".Sh DESCRIPTION\n"
    ".Nm\n"
    "says how the server\n"
    ".Xr imapd 8\n"
    "works.\n"
    "Nothing has to be said: without a configuration it serves the host's users.\n"
    ".Pp\n"
    "The text is that of libconfig: settings\n"
    ".Li name = value;\n"
    "in groups\n"
    ".Li name = { ... }; ,\n"
    "lists\n"
    ".Li ( ... ) ,\n"
    "strings in double quotes, and comments from\n"
    ".Li #\n"
    "to the end of the line.\n"
    "Anything that is neither a whole number nor true or false stands in quotes, as in\n"
    ".Li \"10M\" .\n"
    ".Pp\n"
    "After the main file, the files of the folder\n"
    ".Pa imapd.conf.d\n"
    "beside it whose names end in\n"
    ".Pa .conf\n"
    "are read in the order of their names.\n"
    "A later file wins, setting by setting.\n"
    "The lists\n"
    ".Va modules , drivers , passwords\n"
    "and\n"
    ".Va sasl\n"
    "of all files are joined; an entry with the name of an earlier one takes its place.\n"
    ".Ic @include\n"
    "is not read.\n"
    ".Pp\n"
    ".Ic imapd Fl Fl check-config\n"
    "reports everything that is wrong, with file and line;\n"
    ".Ic imapd Fl Fl dump-config=all\n"
    "shows every value and where it comes from.\n"
    "A message's number is explained in\n"
    ".Xr mortise-messages 7 .\n"
    ".Sh MODULES\n"
    ".Bl -tag -width Ds\n"
    ".It Va drivers\n"
    "Mailbox formats, in the order in which they are asked whether they know a mailbox.\n"
    ".It Va passwords\n"
    "Password backends, in the order in which they are asked about a user.\n"
    ".It Va sasl\n"
    "Modules with SASL mechanisms.\n"
    ".It Va modules\n"
    "What must be loaded besides:\n"
    ".Li ( { load = \"unix\"; required = true; } ) .\n"
    "The server does not start without a\n"
    ".Va required\n"
    "module; any other that cannot be loaded is reported and left out.\n"
    ".It Va module\n"
    "Options of all instances of a module:\n"
    ".Li module = { unix = { ... }; }; .\n"
    ".El\n"
    ".Pp\n"
    "An entry of the first three lists is a module's name, or a group with a\n"
    ".Va type ,\n"
    "which is a module's name, a\n"
    ".Va name\n"
    "of its own if the module is used more than once, and the options of this instance.\n"
    "The options of a module are in its own manual page.\n"
    "Only the main file may name a module by an absolute path.\n"
    ".Sh TYPES\n"
    ".Bl -tag -width Ds\n";

static const char manual_tail[] =
    ".Sh FILES\n"
    ".Bl -tag -width Ds -compact\n"
    ".It Pa " MORTISE_CONFDIR "/imapd.conf\n"
    "the main file\n"
    ".It Pa " MORTISE_CONFDIR "/imapd.conf.d/*.conf\n"
    "more files, one a package\n"
    ".El\n"
    ".Pp\n"
    "Started as root, the server reads only files that root owns and nobody else can write.\n"
    ".Sh EXAMPLES\n"
    "The host's users and a file of others, with two drivers:\n"
    ".Bd -literal -offset indent\n"
    "drivers = ( \"unix\", { type = \"memory\"; name = \"scratch\"; } );\n"
    "passwords = ( \"pam\", { type = \"file\"; name = \"staff\"; path = \"passwd\"; } );\n"
    "log = { target = \"syslog\"; facility = \"local3\"; };\n"
    ".Ed\n"
    ".Sh SEE ALSO\n"
    ".Xr mortise-messages 7 ,\n"
    ".Xr imapd 8\n";

static const uint32_t all_types[] = {MORTISE_OPTION_BOOL, MORTISE_OPTION_INT, MORTISE_OPTION_UINT,
    MORTISE_OPTION_SIZE, MORTISE_OPTION_DURATION, MORTISE_OPTION_OCTAL, MORTISE_OPTION_STRING,
    MORTISE_OPTION_ENUM, MORTISE_OPTION_PATH, MORTISE_OPTION_USER, MORTISE_OPTION_GROUP,
    MORTISE_OPTION_HOSTPORT, MORTISE_OPTION_URL, MORTISE_OPTION_LIST, MORTISE_OPTION_SECRET};

void conf_manual(const struct conf_group *const *groups, size_t n, struct buf *out)
{
	size_t i;

	buf_adds(out, manual_head);
	for (i = 0; i < ARRAY_LEN(all_types); i++) {
		buf_printf(out, ".It %s\n", conf_type_name(all_types[i]));
		mdoc_text(out, conf_type_hint(all_types[i]));
		buf_addc(out, '\n');
	}
	buf_adds(out, ".El\n.Sh GROUPS\n");
	for (i = 0; i < n; i++) {
		buf_printf(out, ".Ss %s\n", groups[i]->name);
		if (groups[i]->summary != NULL && groups[i]->summary[0] != '\0') {
			struct buf line AUTO_BUF = BUF_INIT;

			buf_printf(
			    &line, "%c%s.", ascii_upper(groups[i]->summary[0]), groups[i]->summary + 1);
			mdoc_text(out, buf_cstr(&line));
			buf_addc(out, '\n');
		}
		conf_describe(groups[i]->name, groups[i]->options, groups[i]->count,
		    sizeof(struct mortise_option), CONF_MDOC, out);
	}
	buf_adds(out, manual_tail);
}

static const struct message {
	int number;
	enum log_level level;
	const char *name, *help;
} messages[] = {
#define MSG(number, level, name, help) {number, level, #name, help},
#include "log/messages.def"
#undef MSG
};

void conf_manual_messages(struct buf *out)
{
	size_t i;

	buf_adds(out, ".Dd $Mdocdate$\n"
	              ".Dt MORTISE-MESSAGES 7\n"
	              ".Os\n"
	              ".Sh NAME\n"
	              ".Nm mortise-messages\n"
	              ".Nd numbered messages of the Mortise mail access server\n"
	              ".Sh DESCRIPTION\n"
	              "Every message an administrator may have to act on has a number that never changes.\n"
	              "Numbers of a module begin with the module's name and are in its own manual page.\n"
	              ".Bl -tag -width Ds\n");
	for (i = 0; i < ARRAY_LEN(messages); i++) {
		const struct message *m = &messages[i];

		buf_printf(out, ".It MRT\\-%04d (%s)\n", m->number,
		    m->level <= LOG_LEVEL_ERROR  ? "error"
		    : m->level <= LOG_LEVEL_WARN ? "warning"
		                                 : "info");
		mdoc_text(out, m->help);
		buf_addc(out, '\n');
	}
	buf_adds(out, ".El\n"
	              ".Sh SEE ALSO\n"
	              ".Xr imapd.conf 5 ,\n"
	              ".Xr imapd 8\n");
}

void conf_messages_manual(FILE *out)
{
	struct buf b AUTO_BUF = BUF_INIT;

	conf_manual_messages(&b);
	fwrite(buf_cstr(&b), 1, b.n, out);
}
