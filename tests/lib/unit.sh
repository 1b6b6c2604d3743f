#!/bin/bash
# unit.sh PROGRAM…: runs a unit test, under valgrind or another tool when MORTISE_TEST_UNDER names one. cmocka says
# "not ok 3 # SKIP name" of a test that was skipped; TAP says "ok".
# shellcheck disable=SC2086
${MORTISE_TEST_UNDER:-} "$@" | sed -u 's/^not ok \([0-9]* # SKIP\)/ok \1/'
exit "${PIPESTATUS[0]}"
