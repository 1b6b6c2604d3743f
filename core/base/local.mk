# core/base: knows nothing of mail.
noinst_LIBRARIES += core/base/libbase.a
core_base_libbase_a_SOURCES = \
	core/base/banned.h core/base/object.h \
	core/base/mem.h core/base/mem.c \
	core/base/arena.h core/base/arena.c \
	core/base/str.h core/base/str.c \
	core/base/buf.h core/base/buf.c \
	core/base/vec.h \
	core/base/err.h core/base/err.c \
	core/base/clock.h core/base/clock.c \
	core/base/checksum.h core/base/checksum.c \
	core/base/io.h core/base/io.c core/base/sync.c \
	core/base/path.h core/base/path.c \
	core/base/codec.h core/base/codec.c \
	core/base/digest.h core/base/digest.c \
	core/base/secure.h core/base/secure.c \
	core/base/pack.h core/base/pack.c \
	core/base/control.h core/base/privilege.h core/base/privilege.c

if HAVE_CMOCKA
check_PROGRAMS += core/base/test-base core/base/test-files
TESTS += core/base/test-base core/base/test-files
core_base_test_base_SOURCES = core/base/test-base.c
core_base_test_base_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
core_base_test_base_LDADD = core/base/libbase.a $(OPENSSL_LIBS) $(CMOCKA_LIBS)
core_base_test_files_SOURCES = core/base/test-files.c
core_base_test_files_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
core_base_test_files_LDADD = core/base/libbase.a $(CMOCKA_LIBS) -lpthread
endif
