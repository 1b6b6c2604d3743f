# tests/quickstart: the README's first command.
TESTS += tests/quickstart/demo.py
EXTRA_DIST += tests/quickstart/demo.py
