#!/bin/sh
# Every row of the bench, once, with few messages: whether all is answered, not how fast.
exec "$(dirname "$0")/bench.py" --check
