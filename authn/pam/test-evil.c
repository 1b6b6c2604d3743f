/*
 * test-evil.c: a PAM module that does what its arguments say, for test-pam.c. Each argument is one act, in
 * order:
 *
 *   return=N acct=N setcred=N    the code of that function
 *   password=X                   asks without echo, PAM_AUTH_ERR unless the answer is X
 *   user=X                       asks with echo, likewise
 *   again                        asks once more without echo
 *   info weird many empty null   sends messages of that kind
 *   items                        PAM_AUTH_ERR unless PAM_RHOST, PAM_TTY and PAM_SERVICE are as they should be
 *   rename=X                     sets PAM_USER
 *   delay                        asks PAM to wait 30 seconds after a failure
 *   hang crash abort exit fork print leak
 */
#define PAM_SM_AUTH
#define PAM_SM_ACCOUNT
#include <fcntl.h>
#include <security/pam_appl.h>
#include <security/pam_modules.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int pam_sm_authenticate(pam_handle_t *pam, int flags, int argc, const char **argv);
int pam_sm_setcred(pam_handle_t *pam, int flags, int argc, const char **argv);
int pam_sm_acct_mgmt(pam_handle_t *pam, int flags, int argc, const char **argv);

static const char *value(const char *argument, const char *name)
{
	size_t n = strlen(name);

	return strncmp(argument, name, n) == 0 && argument[n] == '=' ? argument + n + 1 : NULL;
}

/* Sends one message; the answer (to be freed) in *answer. */
static int ask(pam_handle_t *pam, int style, int count, char **answer)
{
	static const struct pam_message one = {0, "Say:"};
	const struct pam_conv *conv = NULL;
	struct pam_message message = one;
	const struct pam_message *list[64];
	struct pam_response *responses = NULL;
	int i, r;

	*answer = NULL;
	message.msg_style = style;
	for (i = 0; i < 64; i++)
		list[i] = &message;
	if (pam_get_item(pam, PAM_CONV, (const void **)(const void *)&conv) != PAM_SUCCESS || conv == NULL)
		return PAM_SYSTEM_ERR;
	r = conv->conv(count, list, &responses, conv->appdata_ptr);
	if (r == PAM_SUCCESS && responses != NULL) {
		*answer = responses[0].resp;
		free(responses);
	}
	return r;
}

static int expect(pam_handle_t *pam, int style, const char *wanted)
{
	char *answer;
	int r = ask(pam, style, 1, &answer);

	if (r != PAM_SUCCESS)
		return r;
	r = answer != NULL && (wanted == NULL || strcmp(answer, wanted) == 0) ? PAM_SUCCESS : PAM_AUTH_ERR;
	free(answer);
	return r;
}

static int check_items(pam_handle_t *pam)
{
	const void *rhost = NULL, *tty = NULL, *service = NULL;

	(void)pam_get_item(pam, PAM_RHOST, &rhost);
	(void)pam_get_item(pam, PAM_TTY, &tty);
	(void)pam_get_item(pam, PAM_SERVICE, &service);
	return rhost != NULL && strcmp(rhost, "192.0.2.1") == 0 && tty != NULL && service != NULL &&
	               strcmp(service, tty) == 0
	           ? PAM_SUCCESS
	           : PAM_AUTH_ERR;
}

static void destroy(const char *act)
{
	volatile int *nowhere = NULL;

	if (strcmp(act, "crash") == 0) {
		signal(SIGSEGV, SIG_DFL);
		*nowhere = 1;
	}
	if (strcmp(act, "abort") == 0)
		abort();
	if (strcmp(act, "exit") == 0)
		exit(0);
	while (strcmp(act, "hang") == 0)
		sleep(3600);
	if (strcmp(act, "fork") == 0 && fork() < 0)
		abort();
	if (strcmp(act, "print") == 0) {
		printf("not ok 77 - a PAM module printed this\n");
		fflush(stdout);
	}
	if (strcmp(act, "leak") == 0 && open("/dev/null", O_RDONLY) < 0)
		abort();
}

static int act(pam_handle_t *pam, const char *what)
{
	const char *x;
	char *answer;

	if ((x = value(what, "return")) != NULL)
		return atoi(x);
	if ((x = value(what, "password")) != NULL)
		return expect(pam, PAM_PROMPT_ECHO_OFF, x);
	if ((x = value(what, "user")) != NULL)
		return expect(pam, PAM_PROMPT_ECHO_ON, x);
	if ((x = value(what, "rename")) != NULL)
		return pam_set_item(pam, PAM_USER, x);
	if (strcmp(what, "again") == 0)
		return expect(pam, PAM_PROMPT_ECHO_OFF, NULL);
	if (strcmp(what, "info") == 0)
		return ask(pam, PAM_TEXT_INFO, 1, &answer) != PAM_SUCCESS ||
		               ask(pam, PAM_ERROR_MSG, 2, &answer) != PAM_SUCCESS
		           ? PAM_CONV_ERR
		           : PAM_SUCCESS;
	if (strcmp(what, "weird") == 0)
		return ask(pam, 77, 1, &answer);
	if (strcmp(what, "many") == 0)
		return ask(pam, PAM_PROMPT_ECHO_OFF, 60, &answer);
	if (strcmp(what, "empty") == 0)
		return ask(pam, PAM_PROMPT_ECHO_OFF, 0, &answer);
	if (strcmp(what, "items") == 0)
		return check_items(pam);
	if (strcmp(what, "delay") == 0)
		return pam_fail_delay(pam, 30000000);
	destroy(what);
	return PAM_SUCCESS;
}

int pam_sm_authenticate(pam_handle_t *pam, int flags, int argc, const char **argv)
{
	int i;

	(void)flags;
	for (i = 0; i < argc; i++) {
		int r = act(pam, argv[i]);

		if (r != PAM_SUCCESS)
			return r;
	}
	return PAM_SUCCESS;
}

static int code_of(const char *name, int argc, const char **argv)
{
	int i;

	for (i = 0; i < argc; i++)
		if (value(argv[i], name) != NULL)
			return atoi(value(argv[i], name));
	return PAM_SUCCESS;
}

int pam_sm_setcred(pam_handle_t *pam, int flags, int argc, const char **argv)
{
	(void)pam;
	return (flags & PAM_ESTABLISH_CRED) != 0 ? code_of("setcred", argc, argv) : PAM_SUCCESS;
}

int pam_sm_acct_mgmt(pam_handle_t *pam, int flags, int argc, const char **argv)
{
	int i;

	(void)flags;
	for (i = 0; i < argc; i++)
		if (strcmp(argv[i], "chat") == 0)
			return expect(pam, PAM_PROMPT_ECHO_OFF, NULL);
	return code_of("acct", argc, argv);
}
