# tests/targets.mk: the same suites under tools, each in a build folder of its own below this one (checks/…). Slow, so
# not part of `make check`. What is built there already is not built again.
#
#   make check-unit            only the tests beside the code
#   make check-asan            everything under the address and undefined sanitizers (check-ubsan is the same)
#   make check-valgrind        the unit tests under valgrind's memcheck
#   make check-fuzz TIME=60    each fuzz target for so many seconds, from its corpus; needs clang
#   make check-coverage        the unit tests, then the share of lines they run, by room
UNIT_TESTS = $(filter-out tests/% %.sh %.py,$(TESTS))
TIME = 60
VALGRIND = valgrind --quiet --error-exitcode=99 --leak-check=full --show-leak-kinds=definite \
	--errors-for-leak-kinds=definite --num-callers=30 --suppressions=$(abs_top_srcdir)/tests/valgrind.supp
# Seccomp kills valgrind with the process it is told to kill. A probe's child leaves in the middle of its work, with all
# it holds, and its exit status is looked at. The others need openat2(2), which valgrind 3.19 does not know: the
# sanitizers have them.
VALGRIND_CANNOT = core/proc/test-sandbox core/module/test-registry core/auth/test-role \
	core/module/test-host core/store/test-mailbox modules/unix/test-lock modules/unix/test-fault

# Goes to checks/$1, configured with $2.
IN_OTHER_BUILD = other_build() { \
		$(MKDIR_P) "checks/$$1" && cd "checks/$$1" && shift && \
		{ test config.status -nt '$(abs_top_srcdir)/configure' || \
			'$(abs_top_srcdir)/configure' -q --enable-werror "$$@" >configure.out; }; \
	}; other_build

check-unit:
	$(MAKE) $(AM_MAKEFLAGS) check TESTS='$(UNIT_TESTS)'

check-asan:
	$(IN_OTHER_BUILD) sanitizers --enable-sanitizers CC='$(CC)' && $(MAKE) $(AM_MAKEFLAGS) check
check-ubsan: check-asan

check-valgrind:
	$(IN_OTHER_BUILD) valgrind CC='$(CC)' CFLAGS='-O1 -g' && \
	MORTISE_TEST_UNDER='$(VALGRIND)' $(MAKE) $(AM_MAKEFLAGS) check \
		TESTS='$(filter-out $(VALGRIND_CANNOT),$(UNIT_TESTS))'

check-fuzz:
	$(IN_OTHER_BUILD) fuzzers --enable-fuzzers CC=clang && $(MAKE) $(AM_MAKEFLAGS) fuzz TIME='$(TIME)'

# Behind the front's wall gcov cannot write what it counted.
check-coverage:
	$(IN_OTHER_BUILD) coverage --enable-coverage CC='$(CC)' && \
	$(MAKE) $(AM_MAKEFLAGS) check TESTS='$(filter-out core/proc/test-sandbox,$(UNIT_TESTS))' && \
	'$(abs_top_srcdir)/tests/build/coverage.py' '$(abs_top_srcdir)'

# In a build with --enable-fuzzers. What is found is in the folder of the target's name; see HACKING.md.
FUZZ_TARGETS = $(foreach program,$(check_PROGRAMS),$(if $(findstring /fuzz-,$(program)),$(program)))
fuzz: $(FUZZ_TARGETS)
	for target in $(FUZZ_TARGETS:$(EXEEXT)=); do \
		found=checks/$${target##*-}; corpus='$(top_srcdir)/tests/fuzz/corpus'/$${target##*-}; \
		$(MKDIR_P) $$found/new && \
		./$$target -max_total_time=$(TIME) -timeout=25 -print_final_stats=1 -artifact_prefix=$$found/ $$found/new $$corpus \
			>$$found/log 2>&1 && grep -E '^(Done|stat::number_of_executed_units)' $$found/log || \
			{ tail -n 60 $$found/log; exit 1; }; \
	done

.PHONY: check-unit check-asan check-ubsan check-valgrind check-fuzz check-coverage fuzz
EXTRA_DIST += tests/valgrind.supp tests/lib/unit.sh tests/build/coverage.py

clean-local: clean-checks
clean-checks:
	rm -rf checks
.PHONY: clean-checks
