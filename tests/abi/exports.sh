#!/bin/sh
# exports.sh: every bundled module shows exactly one symbol, its descriptor, and needs nothing of the core. TAP.
set -u
top="${top_builddir:-.}"
n=0
for file in "$top"/modules/*/.libs/*.so "$top"/authn/*/.libs/*.so; do
	stem=$(basename "$file" .so)
	# Only what is installed: a folder's module has the folder's name.
	case $file in
	*/"$stem"/.libs/*) ;;
	*) continue ;;
	esac
	n=$((n + 1))
	wanted=$(echo "$stem" | sed 's/[^A-Za-z0-9]/_/g')_LTX_mortise_module
	# The sanitizers' runtime brings names of its own.
	shown=$(nm -D --defined-only "$file" | awk '{ print $3 }' | grep -v -e '^__asan' -e '^__odr_asan' -e '^__ubsan')
	if [ "$shown" = "$wanted" ] || [ "$shown" = "${wanted}s" ]; then
		echo "ok $n - $stem shows its descriptor only"
	else
		echo "not ok $n - $stem shows its descriptor only"
		echo "$shown" | sed 's/^/#   /'
	fi
done
if [ "$n" -eq 0 ]; then
	echo "1..0 # SKIP no shared modules are built"
else
	echo "1..$n"
fi
