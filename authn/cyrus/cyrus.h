/*
 * cyrus.h: inside the bridge to libsasl2. library.c is the library as a whole (which plug-ins, which options,
 * nobody else's say), secret.c what a mechanism's secret is made of, cyrus.c one conversation.
 */
#ifndef MORTISE_AUTHN_CYRUS_H
#define MORTISE_AUTHN_CYRUS_H

#include <sasl/sasl.h>
#include <sasl/saslplug.h>

#include <mortise/sasl.h>

struct cyrus_options {
	const char *plugins;
	uint64_t scram_iterations;
	const char *krb5_config, *keytab;
};

/* What a mechanism's success is worth. */
enum proof {
	PROOF_PASSWORD, /* the core has verified the password that the client sent */
	PROOF_SECRET,   /* the client has shown that it knows the secret the core gave out */
	PROOF_LIBRARY,  /* the plug-in proves by itself (Kerberos) */
};

struct mechanism {
	struct mortise_mechanism pub; /* what is offered */
	enum proof proof;
	const char *plugin; /* its file, up to the first '.' */
	const char *scheme; /* SCRAM: its name without "-PLUS"; NULL: another mechanism */
	const char *digest; /* SCRAM: OpenSSL's name of its hash */
	uint32_t verifier;  /* SCRAM: the credential that is as good as the password */
};

struct bridge {
	struct mortise_conversation *conv;
	struct mortise_call *call;
	const struct mechanism *mechanism;
	sasl_conn_t *conn;
	sasl_callback_t callbacks[4];
	sasl_channel_binding_t binding;
	bool begun;   /* the client's first message has come */
	int verified; /* MORTISE_AUTH_… of the last password or secret; -1: none was asked for */
};

/* ---- library.c ---- */
/* The mechanisms that libsasl2 has plug-ins for; ended by a NULL name. Filled by library_start. */
extern struct mortise_mechanism library_mechanisms[];
const struct mechanism *library_mechanism(const char *name);
/* Once in a process. 0, or a code with the fault recorded. */
int library_start(struct mortise_call *call);
/* Which conversation calls the library from now on, with which call; NULL, NULL: none. */
void library_serve(struct bridge *b, struct mortise_call *call);

/* ---- secret.c ---- */
/* The octets that salts are made of, the same in all workers. Before the first secret. */
void secret_start(struct mortise_call *call);
/*
 * Answers libsasl2's question for the properties of `user`: the password for mechanisms that want it, a
 * verifier for SCRAM. For a user nobody knows SCRAM gets a verifier that no password fits, with a salt as
 * lasting as a real one (RFC 5802 §5.1, attack-058).
 */
int secret_fill(
    struct bridge *b, sasl_server_params_t *parameters, unsigned flags, const char *user, size_t n);

#endif
