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

if HAVE_CMOCKA
AUTH_TEST_ROOMS = core/auth/libauth.a core/module/libmodule.a core/conf/libconf.a core/log/liblog.a core/base/libbase.a
AUTH_TEST_LIBS = $(AUTH_TEST_ROOMS) $(LIBCONFIG_LIBS) $(LTDL_LIBS) $(CMOCKA_LIBS) -ldl
check_PROGRAMS += core/auth/test-chain core/auth/test-pool core/auth/test-role
TESTS += core/auth/test-chain core/auth/test-pool core/auth/test-role
core_auth_test_chain_SOURCES = core/auth/test-chain.c core/auth/test-fake.h core/auth/test-fake.c
core_auth_test_chain_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
core_auth_test_chain_LDADD = $(AUTH_TEST_LIBS)
core_auth_test_pool_SOURCES = core/auth/test-pool.c core/auth/test-fake.h core/auth/test-fake.c
core_auth_test_pool_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
core_auth_test_pool_LDADD = $(AUTH_TEST_LIBS)
core_auth_test_role_SOURCES = core/auth/test-role.c
core_auth_test_role_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
core_auth_test_role_LDADD = $(AUTH_TEST_LIBS)
core_auth_test_role_DEPENDENCIES = $(AUTH_TEST_ROOMS) authn/file/file.la authn/cyrus/cyrus.la
endif
