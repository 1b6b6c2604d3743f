#!/bin/sh
# headers.sh: each SDK header alone, as strict C and as C++; and what must not compile does not. TAP.
set -u
sdk="${top_srcdir:-.}/core/sdk"
CC="${CC:-cc}" CXX="${CXX:-c++}"
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT
n=0
check() { # check WANTED TITLE COMMAND…: WANTED is 0 (compiles) or 1
	wanted=$1 title=$2
	shift 2
	n=$((n + 1))
	"$@" >"$work/out" 2>&1
	status=$?
	[ "$status" -eq 0 ] || status=1
	if [ "$status" -eq "$wanted" ]; then
		echo "ok $n - $title"
	else
		echo "not ok $n - $title"
		sed 's/^/#   /' "$work/out"
	fi
}

warnings="-Wall -Wextra -Wshadow -pedantic -Werror"
for header in "$sdk"/mortise/*.h; do
	name=mortise/${header##*/}
	printf '#include <%s>\nint unused_c;\n' "$name" >"$work/one.c"
	# shellcheck disable=SC2086
	check 0 "$name alone as C99" $CC -std=c99 $warnings -D_POSIX_C_SOURCE=200809L -I "$sdk" -fsyntax-only "$work/one.c"
	# shellcheck disable=SC2086
	check 0 "$name alone as C17" $CC -std=c17 $warnings -D_POSIX_C_SOURCE=200809L -I "$sdk" -fsyntax-only "$work/one.c"
	if command -v "${CXX%% *}" >/dev/null 2>&1; then
		# shellcheck disable=SC2086
		check 0 "$name alone as C++11" $CXX -x c++ -std=c++11 $warnings -I "$sdk" -fsyntax-only "$work/one.c"
	else
		n=$((n + 1))
		echo "ok $n - $name alone as C++11 # SKIP no C++ compiler"
	fi
done

option() { # option FIELD_TYPE OPTION_TYPE
	cat >"$work/option.c" <<END
#include <mortise/option.h>
struct options { $1 field; };
const struct mortise_option table[] = {
	MORTISE_OPTION(struct options, field, $2, "1", .help = "a field"),
};
END
}
option uint64_t SIZE
check 0 "an option whose field has the right type" $CC -std=c11 -Werror -I "$sdk" -fsyntax-only "$work/option.c"
for pair in "uint32_t SIZE" "int DURATION" "char* STRING" "int64_t UINT" "uint64_t INT" "int BOOL" "long ENUM"; do
	# shellcheck disable=SC2086
	option $pair
	check 1 "an option of another type does not compile: $pair" $CC -std=c11 -Werror -I "$sdk" -fsyntax-only \
		"$work/option.c"
done

# No header may need more than is installed with it.
n=$((n + 1))
if grep -n '#include' "$sdk"/mortise/*.h | grep -v -e '<mortise/' -e '<std[a-z]*\.h>' -e '<sys/[a-z]*\.h>' -e '<time\.h>' -e '<unistd\.h>' \
	>"$work/out"; then
	echo "not ok $n - headers include the C library and each other only"
	sed 's/^/#   /' "$work/out"
else
	echo "ok $n - headers include the C library and each other only"
fi
echo "1..$n"
