# tests: what is bigger than one room. Unit tests stand beside the code they test.
check_PROGRAMS += tests/proto/imap-script
tests_proto_imap_script_SOURCES = tests/proto/imap-script.c
tests_proto_imap_script_LDADD = core/base/libbase.a

# Against the real daemon, with a library of their own.
DAEMON_TESTS = tests/proto/run-scripts.py tests/roles/bad-modules.py tests/storage/broken-mailbox.py \
	tests/storage/full-disk.py tests/storage/mbox-file.py tests/storage/locked.py tests/storage/big-message.py tests/interop/delivery.py
TESTS += tests/lint/lint.sh $(DAEMON_TESTS)
EXTRA_DIST += tests/lint/lint.sh $(DAEMON_TESTS) tests/lib/mortise.py tests/lib/private_host.py tests/bench/measure.py tests/build/builds.sh \
	$(srcdir)/tests/proto/scripts

include tests/abi/local.mk
include tests/modules/local.mk
include tests/fuzz/local.mk
include tests/roles/local.mk
include tests/interop/local.mk
include tests/quickstart/local.mk
include tests/targets.mk
