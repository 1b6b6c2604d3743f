# tests/abi: what modules were built against stays as it is.
TESTS += tests/abi/abi.py tests/abi/headers.sh tests/abi/exports.sh
EXTRA_DIST += tests/abi/abi.py tests/abi/headers.sh tests/abi/exports.sh tests/abi/contract.txt
