# core/log: see the essays at the head of its headers.
noinst_LIBRARIES += core/log/liblog.a
core_log_liblog_a_SOURCES = \
	core/log/messages.def core/log/log.h core/log/log_int.h core/log/log.c core/log/crash.c \
	core/log/log_record.h core/log/log_record.c \
	core/log/log_sink.h core/log/log_sink.c

if HAVE_CMOCKA
check_PROGRAMS += core/log/test-log
TESTS += core/log/test-log
core_log_test_log_SOURCES = core/log/test-log.c
core_log_test_log_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
core_log_test_log_LDADD = core/log/liblog.a core/base/libbase.a $(CMOCKA_LIBS)
endif
