# core/proc: see the essays at the head of its headers.
noinst_LIBRARIES += core/proc/libproc.a
core_proc_libproc_a_SOURCES = \
	core/proc/roles.h core/proc/options.h core/proc/options.c core/proc/check.c \
	core/proc/link.h core/proc/link.c \
	core/proc/start.h core/proc/start.c \
	core/proc/notify.h core/proc/notify.c \
	core/proc/table.h core/proc/table.c \
	core/proc/sandbox.h core/proc/sandbox.c \
	core/proc/master_int.h core/proc/master.c core/proc/generation.c core/proc/children.c \
	core/proc/logger.c \
	core/proc/front_int.h core/proc/front.c core/proc/front_connection.c core/proc/front_login.c core/proc/front_proxy.c \
	core/proc/spawner_int.h core/proc/spawner.c \
	core/proc/session.h core/proc/session.c core/proc/preauth.c

if HAVE_CMOCKA
check_PROGRAMS += core/proc/test-proc core/proc/test-sandbox core/proc/test-spawner
TESTS += core/proc/test-proc core/proc/test-sandbox core/proc/test-spawner
core_proc_test_proc_SOURCES = core/proc/test-proc.c
core_proc_test_proc_LDADD = core/proc/libproc.a core/log/liblog.a core/base/libbase.a $(CMOCKA_LIBS) $(LIBEVENT_LIBS) \
	$(SECCOMP_LIBS)
core_proc_test_sandbox_SOURCES = core/proc/test-sandbox.c
core_proc_test_sandbox_LDADD = $(core_proc_test_proc_LDADD)
core_proc_test_spawner_SOURCES = core/proc/test-spawner.c
core_proc_test_spawner_LDADD = core/proc/libproc.a core/conf/libconf.a core/log/liblog.a core/base/libbase.a $(CMOCKA_LIBS) \
	$(LIBEVENT_LIBS) $(SECCOMP_LIBS) $(LIBCONFIG_LIBS)
endif
