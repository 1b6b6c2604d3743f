/*
 * test-mechanisms.c: mechanisms that do not show the password, driven by libsasl2's own client: right and
 * wrong passwords, users nobody knows, channel bindings, and every message of the client truncated, flipped,
 * made too long, replayed and left out.
 */
#include "../test-modules.h"

#include <fcntl.h>

#include <sasl/sasl.h>

#define STEPS 4

static char folder[] = "/tmp/test-mech.XXXXXX";
static char path[64];
static struct setting s;
static const char *client_user, *client_password;

/* RFC 5802 §5 and RFC 7677 §3: user "user", password "pencil". */
#define SCRAM1 "{SCRAM-SHA-1}4096,QSXCR+Q6sek8bf92,6dlGYMOdZcOPutkcNY8U2g7vK9Y=,D+CSWLOshSulAsxiupA+qs2/fTE="
#define SCRAM256                                                                                     \
	"{SCRAM-SHA-256}4096,W22ZaJ0SNY7soEsUEjb6gQ==,WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=," \
	"wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="

#define ALL                                                                                               \
	"SCRAM-SHA-512-PLUS SCRAM-SHA-512 SCRAM-SHA-256-PLUS SCRAM-SHA-256 SCRAM-SHA-1-PLUS SCRAM-SHA-1 " \
	"DIGEST-MD5 CRAM-MD5"

static const char *const mechanisms[] = {"SCRAM-SHA-512-PLUS", "SCRAM-SHA-512", "SCRAM-SHA-256-PLUS",
    "SCRAM-SHA-256", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-1", "DIGEST-MD5", "CRAM-MD5"};

static void write_users(const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(io_write(fd, text, strlen(text)), 0);
	close(fd);
}

static int setup(void **state)
{
	struct buf list = BUF_INIT;
	char lists[512];
	size_t i;

	(void)state;
	write_users("fred:{PLAIN}se cret:1234:1234::/home/fred\n"
	            "user:" SCRAM256 " " SCRAM1 ":1235:1235::/home/user\n"
	            "boss:{PLAIN}b:1236:1236::/home/boss\n"
	            "gone:!{PLAIN}x:1237:1237::/home/gone\n");
	snprintf(lists, sizeof(lists),
	    "passwords = ( { type = \"@/authn/file/.libs/file.so\"; name = \"file\"; path = \"%s\"; plain = "
	    "true; } );"
	    "sasl = ( { type = \"@/authn/cyrus/.libs/cyrus.so\"; name = \"cyrus\"; } );",
	    path);
	buf_adds(&list, "master_users = [ \"boss\" ]; mechanisms = [ \"PLAIN\"");
	for (i = 0; i < ARRAY_LEN(mechanisms); i++)
		buf_printf(&list, ", \"%s\"", mechanisms[i]);
	buf_adds(&list, " ];");
	setting_open(&s, lists, buf_cstr(&list), false);
	buf_free(&list);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	setting_close(&s);
	unlink(path);
	return 0;
}

/* ---- the client ---- */

static int get_name(void *context, int id, const char **result, unsigned *n)
{
	(void)context;
	*result = id == SASL_CB_USER ? "" : client_user;
	if (n != NULL)
		*n = (unsigned)strlen(*result);
	return SASL_OK;
}

static int get_password(sasl_conn_t *conn, void *context, int id, sasl_secret_t **secret)
{
	static union {
		sasl_secret_t secret;
		char room[512];
	} keep;

	(void)conn;
	(void)context;
	(void)id;
	keep.secret.len = strlen(client_password);
	memcpy(keep.secret.data, client_password, keep.secret.len + 1);
	*secret = &keep.secret;
	return SASL_OK;
}

#define CALLBACK(function) ((int (*)(void))(void (*)(void))(function))
static const sasl_callback_t callbacks[] = {{SASL_CB_USER, CALLBACK(get_name), NULL},
    {SASL_CB_AUTHNAME, CALLBACK(get_name), NULL}, {SASL_CB_PASS, CALLBACK(get_password), NULL},
    {SASL_CB_LIST_END, NULL, NULL}};

/* What happens to the client's messages on their way. */
struct harm {
	size_t message;                         /* which */
	void (*does)(struct buf *b, size_t at); /* NULL: nothing */
	size_t at;
};

struct exchange {
	const char *mechanism;
	struct auth_facts facts;
	const char *client_binding_name, *client_binding; /* NULL: the client binds to nothing */
	struct harm harm;
	struct buf sent[STEPS]; /* by the client, unharmed */
	size_t count;
	bool server_proved; /* the client has accepted the server's proof */
};

static void take(struct exchange *x, struct buf *out, const char *text, unsigned n)
{
	buf_reset(out);
	buf_add(out, text != NULL ? text : "", n);
	if (x->count < STEPS)
		buf_addstr(&x->sent[x->count], buf_str(out));
	if (x->harm.does != NULL && x->harm.message == x->count)
		x->harm.does(out, x->harm.at);
	x->count++;
}

static sasl_conn_t *client_new(struct exchange *x, struct buf *first, bool *has_first)
{
	static sasl_channel_binding_t binding;
	sasl_conn_t *c = NULL;
	const char *out = NULL, *chosen = NULL;
	unsigned n = 0;
	int r;

	assert_int_equal(sasl_client_new("imap", "mail.test", NULL, NULL, NULL, 0, &c), SASL_OK);
	if (x->client_binding != NULL) {
		binding = (sasl_channel_binding_t){.name = x->client_binding_name,
		    .critical = strstr(x->mechanism, "-PLUS") != NULL,
		    .len = (unsigned long)strlen(x->client_binding),
		    .data = (const unsigned char *)x->client_binding};
		assert_int_equal(sasl_setprop(c, SASL_CHANNEL_BINDING, &binding), SASL_OK);
	}
	r = sasl_client_start(c, x->mechanism, NULL, &out, &n, &chosen);
	if (r != SASL_OK && r != SASL_CONTINUE)
		fail_msg("%s: the client does not start: %s", x->mechanism, sasl_errdetail(c));
	*has_first = out != NULL;
	if (*has_first)
		take(x, first, out, n);
	return c;
}

/* MORTISE_AUTH_…, or -MORTISE_SASL_… when it did not come to one. */
static int run(struct exchange *x, struct auth_identity *identity)
{
	struct buf challenge = BUF_INIT, message = BUF_INIT, why = BUF_INIT;
	struct auth_identity nobody;
	bool has_first;
	sasl_conn_t *c = client_new(x, &message, &has_first);
	struct auth_conv *v;
	int r = auth_conv_start(s.chain, &x->facts, str_of(x->mechanism),
	    has_first ? buf_str(&message) : STR_NONE, clock_ms() + 10000, &v, &challenge);

	while (r == MORTISE_SASL_CONTINUE && x->count < STEPS) {
		const char *out = NULL;
		unsigned n = 0;
		int code = sasl_client_step(
		    c, challenge.n > 0 ? challenge.p : "", (unsigned)challenge.n, NULL, &out, &n);

		if (code != SASL_OK && code != SASL_CONTINUE)
			break;
		x->server_proved = code == SASL_OK;
		take(x, &message, out, n);
		buf_reset(&challenge);
		r = auth_conv_step(v, buf_str(&message), clock_ms() + 10000, &challenge);
	}
	if (r == MORTISE_SASL_DONE || r == MORTISE_SASL_FAIL || r == MORTISE_SASL_TEMP)
		r = auth_conv_identity(
		    v, clock_ms() + 10000, s.arena, identity != NULL ? identity : &nobody, &why);
	else
		r = -r;
	if (getenv("TEST_VERBOSE") != NULL)
		fprintf(stderr, "# %s: %d %s\n", x->mechanism, r, buf_cstr(&why));
	auth_conv_free(&v);
	sasl_dispose(&c);
	buf_free(&challenge);
	buf_free(&message);
	buf_free(&why);
	return r;
}

static void exchange_free(struct exchange *x)
{
	size_t i;

	for (i = 0; i < STEPS; i++)
		buf_free(&x->sent[i]);
}

static struct exchange exchange_of(const char *mechanism)
{
	struct exchange x = {.mechanism = mechanism, .facts = *test_facts()};

	x.facts.exporter = STR("exporter octets");
	x.facts.endpoint = STR("endpoint octets");
	if (strstr(mechanism, "-PLUS") != NULL) {
		x.client_binding_name = "tls-exporter";
		x.client_binding = "exporter octets";
	}
	return x;
}

static int attempt(const char *mechanism, const char *user, const char *password, struct auth_identity *out)
{
	struct exchange x = exchange_of(mechanism);
	int r;

	client_user = user;
	client_password = password;
	r = run(&x, out);
	if (r == MORTISE_AUTH_OK &&
	    (strncmp(mechanism, "SCRAM", 5) == 0 || strcmp(mechanism, "DIGEST-MD5") == 0))
		assert_true(x.server_proved);
	exchange_free(&x);
	return r;
}

/* ---- tests ---- */

static void offers(void **state)
{
	struct buf b = BUF_INIT;

	(void)state;
	auth_offer(s.registry, &s.options, true, &b);
	assert_string_equal(buf_cstr(&b), "PLAIN " ALL);
	buf_reset(&b);
	/* without TLS: nothing that shows the password, nothing that needs a channel */
	auth_offer(s.registry, &s.options, false, &b);
	assert_string_equal(buf_cstr(&b), "SCRAM-SHA-512 SCRAM-SHA-256 SCRAM-SHA-1 DIGEST-MD5 CRAM-MD5");
	buf_free(&b);
}

static void passwords(void **state)
{
	struct auth_identity i;
	size_t k;

	(void)state;
	for (k = 0; k < ARRAY_LEN(mechanisms); k++) {
		if (attempt(mechanisms[k], "fred", "se cret", &i) != MORTISE_AUTH_OK)
			fail_msg("%s does not let fred in", mechanisms[k]);
		assert_string_equal(i.user, "fred");
		assert_int_equal(i.uid, 1234);
		if (attempt(mechanisms[k], "fred", "Se cret", NULL) != MORTISE_AUTH_MISMATCH)
			fail_msg("%s with a wrong password", mechanisms[k]);
		assert_int_equal(attempt(mechanisms[k], "nobody-there", "x", NULL), MORTISE_AUTH_UNKNOWN);
		assert_int_equal(attempt(mechanisms[k], "gone", "x", NULL), MORTISE_AUTH_DISABLED);
	}
}

/* Verifiers of the RFCs; a mechanism whose verifier there is none is like a user nobody knows. */
static void verifiers(void **state)
{
	(void)state;
	assert_int_equal(attempt("SCRAM-SHA-1", "user", "pencil", NULL), MORTISE_AUTH_OK);
	assert_int_equal(attempt("SCRAM-SHA-256", "user", "pencil", NULL), MORTISE_AUTH_OK);
	assert_int_equal(attempt("SCRAM-SHA-256-PLUS", "user", "pencil", NULL), MORTISE_AUTH_OK);
	assert_int_equal(attempt("SCRAM-SHA-256", "user", "pencils", NULL), MORTISE_AUTH_MISMATCH);
	assert_int_equal(attempt("SCRAM-SHA-512", "user", "pencil", NULL), MORTISE_AUTH_UNKNOWN);
	assert_int_equal(attempt("CRAM-MD5", "user", "pencil", NULL), MORTISE_AUTH_UNKNOWN);
}

/* "s=…,i=…" of the server's first message. */
static void first_answer(const char *mechanism, const char *user, char *out, size_t size)
{
	char message[128];
	struct buf challenge = BUF_INIT;
	struct auth_facts facts = *test_facts();
	struct auth_conv *v;
	const char *at;

	snprintf(message, sizeof(message), "n,,n=%s,r=abcdefghijklmnop", user);
	assert_int_equal(auth_conv_start(s.chain, &facts, str_of(mechanism), str_of(message),
	                     clock_ms() + 10000, &v, &challenge),
	    MORTISE_SASL_CONTINUE);
	at = strstr(buf_cstr(&challenge), ",s=");
	assert_non_null(at);
	snprintf(out, size, "%s", at);
	auth_conv_free(&v);
	buf_free(&challenge);
}

/* attack-058: nobody's salt looks like somebody's, and stays. */
static void nobody_looks_like_somebody(void **state)
{
	char fred[128], again[128], nobody[128], other[128];

	(void)state;
	first_answer("SCRAM-SHA-256", "fred", fred, sizeof(fred));
	first_answer("SCRAM-SHA-256", "fred", again, sizeof(again));
	assert_string_equal(fred, again);
	first_answer("SCRAM-SHA-256", "nobody-there", nobody, sizeof(nobody));
	first_answer("SCRAM-SHA-256", "nobody-there", again, sizeof(again));
	assert_string_equal(nobody, again);
	first_answer("SCRAM-SHA-256", "nobody-else", other, sizeof(other));
	assert_string_not_equal(nobody, other);
	assert_int_equal(strlen(nobody), strlen(fred));
	assert_non_null(strstr(fred, ",i=4096"));
	assert_non_null(strstr(nobody, ",i=4096"));
}

/* attack-053: "target*master" and what a master may not. */
static void masters(void **state)
{
	struct auth_identity i;
	size_t k;

	(void)state;
	for (k = 0; k < ARRAY_LEN(mechanisms); k++) {
		assert_int_equal(attempt(mechanisms[k], "fred*boss", "b", &i), MORTISE_AUTH_OK);
		assert_string_equal(i.user, "fred");
		assert_int_equal(attempt(mechanisms[k], "fred*boss", "se cret", NULL), MORTISE_AUTH_MISMATCH);
		assert_int_equal(attempt(mechanisms[k], "boss*fred", "se cret", NULL), MORTISE_AUTH_UNKNOWN);
	}
}

static int bound(const char *mechanism, const char *name, const char *octets, bool server_has)
{
	struct exchange x = exchange_of(mechanism);
	int r;

	client_user = "fred";
	client_password = "se cret";
	x.client_binding_name = name;
	x.client_binding = octets;
	if (!server_has)
		x.facts.exporter = x.facts.endpoint = STR_NONE;
	r = run(&x, NULL);
	exchange_free(&x);
	return r;
}

/* attack-056, attack-057, RFC 5802 §6 */
static void bindings(void **state)
{
	(void)state;
	assert_int_equal(
	    bound("SCRAM-SHA-256-PLUS", "tls-exporter", "exporter octets", true), MORTISE_AUTH_OK);
	assert_int_equal(
	    bound("SCRAM-SHA-256-PLUS", "tls-server-end-point", "endpoint octets", true), MORTISE_AUTH_OK);
	/* another connection's octets, as a man in the middle has them */
	assert_int_not_equal(
	    bound("SCRAM-SHA-256-PLUS", "tls-exporter", "Exporter octets", true), MORTISE_AUTH_OK);
	assert_int_not_equal(
	    bound("SCRAM-SHA-256-PLUS", "tls-server-end-point", "exporter octets", true), MORTISE_AUTH_OK);
	assert_int_not_equal(
	    bound("SCRAM-SHA-256-PLUS", "tls-unique", "exporter octets", true), MORTISE_AUTH_OK);
	assert_int_not_equal(
	    bound("SCRAM-SHA-256-PLUS", "tls-exporter", "exporter octets", false), MORTISE_AUTH_OK);
	assert_int_equal(bound("SCRAM-SHA-256", NULL, NULL, true), MORTISE_AUTH_OK);
	/* "y", for a client that was deceived, is in bad_scram */
}

static void cut(struct buf *b, size_t at)
{
	if (at < b->n)
		b->n = at;
}

/* Not the lowest bits: in the last character of base64 they mean nothing. */
static void flip(struct buf *b, size_t at)
{
	if (at < b->n)
		b->p[at] ^= 0x10;
}

static void put_nul(struct buf *b, size_t at)
{
	if (at < b->n)
		b->p[at] = '\0';
}

static void lengthen(struct buf *b, size_t at)
{
	size_t i;

	for (i = 0; i < at * 97 + 1; i++)
		buf_addc(b, 'x');
}

/*
 * Every message, harmed at every octet: nobody else is let in, and nobody by a harmed proof. (What comes
 * before the proof may be harmed so that it still is an exchange, as a client's nonce; then it is the client
 * that notices.)
 */
static void harmed_messages(void **state)
{
	static void (*const harms[])(struct buf *, size_t) = {cut, flip, put_nul, lengthen};
	struct auth_identity i;
	size_t k, h, message, at;

	(void)state;
	client_user = "fred";
	client_password = "se cret";
	for (k = 0; k < ARRAY_LEN(mechanisms); k++) {
		struct exchange clean = exchange_of(mechanisms[k]);

		assert_int_equal(run(&clean, NULL), MORTISE_AUTH_OK);
		for (message = 0; message < clean.count && message < STEPS; message++)
			for (h = 0; h < ARRAY_LEN(harms); h++)
				for (at = 0; at < clean.sent[message].n;
				     at += 1 + (h == 3) * 6 + (k < 5) * 4) {
					struct exchange x = exchange_of(mechanisms[k]);
					int r;

					x.harm = (struct harm){message, harms[h], at};
					r = run(&x, &i);
					/* DIGEST-MD5 asks again after an empty answer, and gets a good one.
					 */
					if (r == MORTISE_AUTH_OK && x.count <= clean.count)
						fail_msg("%s: message %zu harmed (%zu) at %zu was taken",
						    mechanisms[k], message, h, at);
					if (r == MORTISE_AUTH_OK)
						assert_string_equal(i.user, "fred");
					exchange_free(&x);
				}
		exchange_free(&clean);
	}
}

/* What a client has said once is of no use a second time: attack-054, attack-055. */
static void replayed_messages(void **state)
{
	size_t k, i;

	(void)state;
	client_user = "fred";
	client_password = "se cret";
	for (k = 0; k < ARRAY_LEN(mechanisms); k++) {
		struct exchange x = exchange_of(mechanisms[k]);
		bool first = mechanisms[k][0] == 'S'; /* SCRAM's client speaks first */
		struct buf challenge = BUF_INIT;
		struct auth_conv *v;
		int r;

		assert_int_equal(run(&x, NULL), MORTISE_AUTH_OK);
		r = auth_conv_start(s.chain, &x.facts, str_of(mechanisms[k]),
		    first ? buf_str(&x.sent[0]) : STR_NONE, clock_ms() + 10000, &v, &challenge);
		for (i = first ? 1 : 0; i < x.count && i < STEPS && r == MORTISE_SASL_CONTINUE; i++)
			r = auth_conv_step(v, buf_str(&x.sent[i]), clock_ms() + 10000, &challenge);
		assert_int_not_equal(r, MORTISE_SASL_DONE);
		auth_conv_free(&v);
		/* the proof alone, without what goes before it */
		r = auth_conv_start(s.chain, &x.facts, str_of(mechanisms[k]), buf_str(&x.sent[first ? 1 : 0]),
		    clock_ms() + 10000, &v, &challenge);
		assert_int_not_equal(r, MORTISE_SASL_DONE);
		auth_conv_free(&v);
		buf_free(&challenge);
		exchange_free(&x);
	}
}

/* attack-055 */
static void bad_scram(void **state)
{
	static const char *const bad[] = {"", "n", "n,", "n,,", "x,,n=fred,r=abcdefgh", "n,,n=fred",
	    "n,,r=abcdefgh", "n,,r=abcdefgh,n=fred", "n,,m=ext,n=fred,r=abcdefgh",
	    "n,,n=fr=3Ded,r=", "n,,n=fr=ed,r=abcdefgh", "n,,n=,r=abcdefghijkl",
	    "p=tls-exporter,,n=fred,r=abcdefgh", "p=,,n=fred,r=abcdefgh", "y,,n=fred,r=abcdefgh",
	    "n,a=boss,n=fred", "n,a=,n=fred,r=abcdefgh"};
	struct auth_facts facts = exchange_of("SCRAM-SHA-256").facts;
	size_t k;

	(void)state;
	for (k = 0; k < ARRAY_LEN(bad); k++) {
		struct buf challenge = BUF_INIT;
		struct auth_conv *v;
		int r = auth_conv_start(s.chain, &facts, STR("SCRAM-SHA-256"), str_of(bad[k]),
		    clock_ms() + 10000, &v, &challenge);

		if (r == MORTISE_SASL_CONTINUE)
			r = auth_conv_step(
			    v, STR("c=biws,r=abcdefgh,p=AAAA"), clock_ms() + 10000, &challenge);
		if (r != MORTISE_SASL_BAD && r != MORTISE_SASL_FAIL)
			fail_msg("\"%s\" led to %d", bad[k], r);
		auth_conv_free(&v);
		buf_free(&challenge);
	}
}

/* attack-073 */
static void backend_down(void **state)
{
	size_t k;

	(void)state;
	unlink(path);
	for (k = 0; k < ARRAY_LEN(mechanisms); k++)
		assert_int_equal(attempt(mechanisms[k], "fred", "se cret", NULL), MORTISE_AUTH_TEMP);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {TEST(offers), TEST(passwords), TEST(verifiers),
	    TEST(nobody_looks_like_somebody), TEST(masters), TEST(bindings), TEST(harmed_messages),
	    TEST(replayed_messages), TEST(bad_scram), TEST(backend_down)};
	int r;

	if (mkdtemp(folder) == NULL || sasl_client_init(callbacks) != SASL_OK)
		return 1;
	snprintf(path, sizeof(path), "%s/passwd", folder);
	r = cmocka_run_group_tests(tests, NULL, NULL);
	rmdir(folder);
	return r;
}
