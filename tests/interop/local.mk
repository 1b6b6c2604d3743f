# tests/interop: real programs on our mailboxes.
if HAVE_CCLIENT
check_PROGRAMS += tests/interop/cclient-dump
tests_interop_cclient_dump_SOURCES = tests/interop/cclient-dump.c
# Headers of the last century.
tests_interop_cclient_dump_CFLAGS = $(AM_CFLAGS) -Wno-undef -Wno-strict-prototypes
tests_interop_cclient_dump_LDADD = -lc-client $(OPENSSL_LIBS)
endif
TESTS += tests/interop/cclient.py tests/interop/cclient-mbx.py tests/interop/cclient-mbx-imap.py
EXTRA_DIST += tests/interop/cclient.py tests/interop/cclient-mbx.py tests/interop/cclient-mbx-imap.py
