# tests/docs: the manuals against the programs.
TESTS += tests/docs/manuals.sh
EXTRA_DIST += tests/docs/manuals.sh
