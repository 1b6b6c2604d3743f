# tests/fuzz: the corpora, and what replays them in `make check`. The targets stand beside the code they test
# (core/*/fuzz-*.c). Each is a check_PROGRAM whose LDADD begins with $(FUZZ_MAIN) and whose LDFLAGS is
# $(FUZZ_LINK_FLAGS); its `TESTS +=` goes under `if !FUZZERS`.
check_LIBRARIES += tests/fuzz/libreplay.a
tests_fuzz_libreplay_a_SOURCES = tests/fuzz/replay.c
EXTRA_DIST += tests/fuzz/corpus
