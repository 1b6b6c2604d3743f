# core/auth: see the essays at the head of its headers.
noinst_LIBRARIES += core/auth/libauth.a
core_auth_libauth_a_SOURCES = \
	core/auth/auth.h core/auth/messages.h core/auth/options.c \
	core/auth/chain.c core/auth/identity.h core/auth/identity.c \
	core/auth/offer.h core/auth/offer.c core/auth/conversation.c \
	core/auth/throttle.h core/auth/throttle.c \
	core/auth/work.h core/auth/work.c core/auth/worker.c \
	core/auth/pool.h core/auth/pool_int.h core/auth/pool.c \
	core/auth/pool-front.c core/auth/pool-worker.c core/auth/pool-answer.c \
	core/auth/role.h core/auth/role.c
