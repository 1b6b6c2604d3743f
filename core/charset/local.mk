# core/charset: text into UTF-8 and into comparable form.
noinst_LIBRARIES += core/charset/libcharset.a
core_charset_libcharset_a_SOURCES = \
	core/charset/charset.h core/charset/charset_int.h \
	core/charset/names.c core/charset/names_rare.c core/charset/list.c core/charset/stream.c core/charset/utf8.c \
	core/charset/fold.c core/charset/word.c core/charset/mutf7.c
core_charset_libcharset_a_CPPFLAGS = $(AM_CPPFLAGS) $(UTF8PROC_CFLAGS)

if HAVE_CMOCKA
check_PROGRAMS += core/charset/test-charset
TESTS += core/charset/test-charset
core_charset_test_charset_SOURCES = core/charset/test-charset.c
core_charset_test_charset_LDADD = core/charset/libcharset.a core/base/libbase.a $(CMOCKA_LIBS) $(UTF8PROC_LIBS)
endif

check_PROGRAMS += core/charset/fuzz-charset
core_charset_fuzz_charset_SOURCES = core/charset/fuzz-charset.c
core_charset_fuzz_charset_LDFLAGS = $(FUZZ_LINK_FLAGS)
core_charset_fuzz_charset_LDADD = $(FUZZ_MAIN) core/charset/libcharset.a core/base/libbase.a $(UTF8PROC_LIBS)
if !FUZZERS
TESTS += core/charset/fuzz-charset
endif
