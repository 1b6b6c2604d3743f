#include "auth/messages.h"
#include "auth/pool_int.h"
#include "auth/work.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/secure.h"
#include "log/log.h"
#include "base/banned.h"

static bool is_guess(int result)
{
	return result == MORTISE_AUTH_MISMATCH || result == MORTISE_AUTH_UNKNOWN ||
	       result == MORTISE_AUTH_DISABLED;
}

/* What the front may know. */
static int told(int result)
{
	switch (result) {
	case MORTISE_AUTH_MISMATCH:
	case MORTISE_AUTH_UNKNOWN:
	case MORTISE_AUTH_DISABLED:
		return MORTISE_AUTH_MISMATCH;
	case MORTISE_AUTH_EXPIRED:
		return MORTISE_AUTH_EXPIRED;
	default:
		return MORTISE_AUTH_TEMP;
	}
}

static const char *shown_mechanism(const struct attempt *t)
{
	return t->mechanism[0] != '\0' ? t->mechanism : "login";
}

static void log_failure(const struct attempt *t)
{
	enum log_id id = told(t->result) == MORTISE_AUTH_TEMP ? MSG_AUTH_UNDECIDED : MSG_AUTH_FAILED;

	log_msg(id, "login failed: user=%s address=%s service=%s mechanism=%s tls=%s reason=%s: %s", t->user,
	    t->remote, t->service, shown_mechanism(t), t->tls ? "yes" : "no", auth_result_name(t->result),
	    t->why);
}

/* failure_delay, or its next multiple when the backend took longer: how long it took does not show. */
static uint64_t failure_due(const struct auth_pool *p, const struct attempt *t, uint64_t now)
{
	uint64_t unit = p->options->failure_delay, passed = now - t->asked;

	return unit == 0 ? now : t->asked + (passed / unit + 1) * unit;
}

void answer_decide(struct auth_pool *p, struct attempt *t)
{
	uint64_t now = clock_ms(), due = now, slow = throttle_user(p->throttle, t->remote, t->user);

	if (t->result != MORTISE_AUTH_OK) {
		log_failure(t);
		due = failure_due(p, t, now);
	}
	if (is_guess(t->result))
		throttle_failed(p->throttle, t->remote, t->user);
	/* Right and wrong guesses alike, so that being quick says nothing. */
	if (due < t->asked + slow)
		due = t->asked + slow;
	if (t->front == NULL)
		attempt_free(p, t); /* the client has not waited */
	else if (due <= now)
		answer_send(p, t);
	else
		attempt_state(t, ATTEMPT_ANSWER, due);
}

/* The spawner learns of the grant before the front does. */
static bool send_grant(struct auth_pool *p, const struct attempt *t, const unsigned char *grant)
{
	bool sent;

	if (p->spawner < 0)
		return false;
	pack_start(&p->out, GRANT);
	pack_str(&p->out, str_mem(grant, AUTH_GRANT_SIZE));
	pack_u64(&p->out, clock_ms() + p->options->grant_lifetime);
	work_pack_ids(&p->out, &t->identity);
	pack_cstr(&p->out, t->service);
	pack_cstr(&p->out, t->remote);
	work_pack_options(&p->out, &t->identity);
	sent = p->out.n <= PACK_MAX && io_send(p->spawner, p->out.p, p->out.n, NULL, 0) == 0;
	mem_wipe(p->out.p, p->out.n);
	return sent;
}

static void send_ok(struct auth_pool *p, struct attempt *t)
{
	unsigned char grant[AUTH_GRANT_SIZE];

	secure_random(grant, sizeof(grant));
	if (!send_grant(p, t, grant)) {
		log_msg(MSG_AUTH_NO_SPAWNER, "user %s cannot be let in: the spawner does not take the grant",
		    t->identity.user);
		front_no(p, t->front, t->id, MORTISE_AUTH_TEMP);
		return;
	}
	pack_start(&p->out, AUTH_OK);
	pack_u64(&p->out, t->id);
	pack_str(&p->out, str_mem(grant, sizeof(grant)));
	pack_cstr(&p->out, t->identity.user);
	pack_str(&p->out, t->server_last);
	front_send(t->front, &p->out);
	mem_wipe(p->out.p, p->out.n);
	mem_wipe(grant, sizeof(grant));
	throttle_succeeded(p->throttle, t->remote, t->user);
	if (strcmp(t->user, t->identity.user) == 0)
		log_msg(MSG_AUTH_LOGIN, "login: user=%s address=%s service=%s mechanism=%s tls=%s",
		    t->identity.user, t->remote, t->service, shown_mechanism(t), t->tls ? "yes" : "no");
	else
		log_msg(MSG_AUTH_LOGIN,
		    "login: user=%s authenticated=%s address=%s service=%s mechanism=%s tls=%s",
		    t->identity.user, t->user, t->remote, t->service, shown_mechanism(t),
		    t->tls ? "yes" : "no");
}

void answer_send(struct auth_pool *p, struct attempt *t)
{
	CHECK_OBJ(t, ATTEMPT_MAGIC);
	if (t->result == MORTISE_AUTH_OK)
		send_ok(p, t);
	else
		front_no(p, t->front, t->id, told(t->result));
	attempt_free(p, t);
}

void answer_temp(struct auth_pool *p, struct attempt *t, const char *why)
{
	log_msg(MSG_AUTH_UNDECIDED,
	    "login failed: address=%s service=%s mechanism=%s tls=%s reason=temporary: %s", t->remote,
	    t->service, shown_mechanism(t), t->tls ? "yes" : "no", why);
	if (t->front != NULL)
		front_no(p, t->front, t->id, MORTISE_AUTH_TEMP);
	attempt_free(p, t);
}

bool answer_make_room(struct auth_pool *p)
{
	struct attempt *next = NULL;
	size_t i;

	for (i = 0; i < p->attempts.n; i++) {
		struct attempt *t = p->attempts.v[i];

		if (t->state == ATTEMPT_ANSWER && t->result != MORTISE_AUTH_OK &&
		    (next == NULL || t->due < next->due))
			next = t;
	}
	if (next == NULL)
		return false;
	answer_send(p, next);
	return true;
}
