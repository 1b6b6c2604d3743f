# tests/bench: figures beside Dovecot's (docs/bench.md). Part of `make check` only as to whether it still works.
#
#   make bench [SCALE=10000] [ROUNDS=3] [ROWS=select,search] [VARIANTS=unix,dovecot]
check_PROGRAMS += tests/bench/load
tests_bench_load_SOURCES = tests/bench/load.c
tests_bench_load_CFLAGS = $(AM_CFLAGS) $(OPENSSL_CFLAGS)
tests_bench_load_LDADD = $(OPENSSL_LIBS)
TESTS += tests/bench/bench-works.sh
EXTRA_DIST += tests/lib/dovecot.py tests/bench/measure.py tests/bench/bench.py tests/bench/corpus.py tests/bench/servers.py tests/bench/bench-works.sh

SCALE = 10000
ROUNDS = 3
ROWS =
VARIANTS =
bench: all tests/bench/load
	top_builddir='$(abs_top_builddir)' top_srcdir='$(abs_top_srcdir)' '$(srcdir)/tests/bench/bench.py' --scale '$(SCALE)' \
		--rounds '$(ROUNDS)' --rows '$(ROWS)' --variants '$(VARIANTS)' --json bench.json
.PHONY: bench
