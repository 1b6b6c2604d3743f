# core/mime: see the essays at the head of its headers.
noinst_LIBRARIES += core/mime/libmime.a
core_mime_libmime_a_SOURCES = \
	core/mime/mime.h core/mime/mime_int.h core/mime/source.h core/mime/source.c \
	core/mime/options.c \
	core/mime/string.c core/mime/date.c core/mime/fields.c \
	core/mime/address.c core/mime/envelope.c core/mime/content.c \
	core/mime/parse.c core/mime/structure.c core/mime/section.c core/mime/decode.c \
	core/mime/decoded.h core/mime/decoded.c core/mime/recode.h core/mime/recode.c \
	core/mime/preview.h core/mime/preview.c core/mime/preview_text.c

if HAVE_CMOCKA
mime_tests = core/mime/test-string core/mime/test-envelope core/mime/test-parse core/mime/test-preview \
	core/mime/test-decoded
check_PROGRAMS += $(mime_tests)
TESTS += $(mime_tests)
mime_test_libs = core/mime/libmime.a core/conf/libconf.a core/log/liblog.a core/base/libbase.a \
	$(LIBCONFIG_LIBS) $(CMOCKA_LIBS)
core_mime_test_string_SOURCES = core/mime/test-string.c core/mime/test-mime.h
core_mime_test_string_LDADD = $(mime_test_libs)
core_mime_test_envelope_SOURCES = core/mime/test-envelope.c core/mime/test-mime.h
core_mime_test_envelope_LDADD = $(mime_test_libs)
core_mime_test_parse_SOURCES = core/mime/test-parse.c core/mime/test-mime.h
core_mime_test_parse_LDADD = $(mime_test_libs)
core_mime_test_decoded_SOURCES = core/mime/test-decoded.c core/mime/test-mime.h
core_mime_test_decoded_LDADD = $(mime_test_libs)
core_mime_test_preview_SOURCES = core/mime/test-preview.c core/mime/test-mime.h
core_mime_test_preview_LDADD = core/mime/libmime.a core/charset/libcharset.a core/conf/libconf.a core/log/liblog.a \
	core/base/libbase.a $(LIBCONFIG_LIBS) $(UTF8PROC_LIBS) $(CMOCKA_LIBS)
endif

check_PROGRAMS += core/mime/fuzz-mime
core_mime_fuzz_mime_SOURCES = core/mime/fuzz-mime.c
core_mime_fuzz_mime_LDFLAGS = $(FUZZ_LINK_FLAGS)
core_mime_fuzz_mime_LDADD = $(FUZZ_MAIN) core/mime/libmime.a core/log/liblog.a core/base/libbase.a
if !FUZZERS
TESTS += core/mime/fuzz-mime
endif

check_PROGRAMS += core/mime/fuzz-preview
core_mime_fuzz_preview_SOURCES = core/mime/fuzz-preview.c
core_mime_fuzz_preview_LDFLAGS = $(FUZZ_LINK_FLAGS)
core_mime_fuzz_preview_LDADD = $(FUZZ_MAIN) core/mime/libmime.a core/charset/libcharset.a core/log/liblog.a \
	core/base/libbase.a $(UTF8PROC_LIBS)
if !FUZZERS
TESTS += core/mime/fuzz-preview
endif
