# tests: what is bigger than one room. Unit tests stand beside the code they test.
check_PROGRAMS += tests/proto/imap-script tests/proto/imap-grammar tests/proto/test-grammar
GRAMMAR = tests/proto/grammar.c tests/proto/grammar_code.c tests/proto/grammar_fetch.c tests/proto/grammar_acl.c tests/proto/grammar_stream.c tests/proto/grammar.h \
	tests/proto/grammar_int.h
tests_proto_imap_script_SOURCES = tests/proto/imap-script.c $(GRAMMAR)
tests_proto_imap_script_LDADD = core/base/libbase.a
tests_proto_imap_grammar_SOURCES = tests/proto/imap-grammar.c $(GRAMMAR)
tests_proto_imap_grammar_LDADD = core/base/libbase.a
tests_proto_test_grammar_SOURCES = tests/proto/test-grammar.c $(GRAMMAR)
tests_proto_test_grammar_LDADD = core/base/libbase.a

# Against the real daemon, with a library of their own.
DAEMON_TESTS = tests/proto/scripts-unix.py tests/proto/scripts-memory.py tests/proto/scripts-mbx.py tests/proto/scripts-maildir.py tests/proto/scripts-mh.py tests/proto/fuzz-session.py \
	tests/roles/bad-modules.py \
	tests/storage/broken-mailbox.py tests/storage/full-disk.py tests/storage/mbox-file.py tests/storage/mbx-file.py tests/storage/mh-names.py tests/storage/damaged-formats.py \
	tests/storage/locked.py tests/storage/kill-storm.py tests/storage/left-in-literal.py tests/storage/big-message.py tests/storage/resync.py tests/storage/quota.py tests/storage/index.py tests/interop/delivery.py \
	tests/interop/maildir.py tests/interop/maildir-folders.py tests/interop/mh.py tests/interop/mutt-qresync.py tests/interop/procmail.py \
	tests/interop/clients.py tests/interop/thunderbird.py tests/interop/roundcube.py tests/interop/sasl.py tests/interop/nul.py
# The longest first.
TESTS += tests/build/builds.sh tests/proto/test-grammar tests/lint/lint.sh tests/lint/attack-cases.py tests/proto/response-codes.py $(DAEMON_TESTS)
EXTRA_DIST += tests/lint/lint.sh tests/lint/attack-cases.py tests/proto/response-codes.py $(DAEMON_TESTS) tests/proto/run-scripts.py \
	tests/lib/mortise.py tests/lib/c_client.py tests/lib/mutt.py tests/lib/terminal.py tests/lib/qresync.py tests/lib/foreign.py tests/lib/private_host.py tests/build/builds.sh \
	$(srcdir)/tests/proto/scripts

include tests/docs/local.mk
include tests/abi/local.mk
include tests/modules/local.mk
include tests/fuzz/local.mk
include tests/authn/local.mk
include tests/roles/local.mk
include tests/storage/local.mk
include tests/interop/local.mk
include tests/bench/local.mk
include tests/quickstart/local.mk
include tests/targets.mk
