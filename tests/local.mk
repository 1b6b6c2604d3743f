# tests: what is bigger than one room. Unit tests stand beside the code they test.
check_PROGRAMS += tests/proto/imap-script
tests_proto_imap_script_SOURCES = tests/proto/imap-script.c
tests_proto_imap_script_LDADD = core/base/libbase.a

TESTS += tests/lint/lint.sh
EXTRA_DIST += tests/lint/lint.sh

include tests/abi/local.mk
include tests/modules/local.mk
include tests/fuzz/local.mk
include tests/roles/local.mk
include tests/interop/local.mk
