#!/bin/sh
# author.sh: what an author of a module does, against an installed tree: new, build (make alone, and autoconf),
# check, install, list. And the driver that the template is, works. TAP.
set -u
unset MAKEFLAGS MFLAGS MAKELEVEL DESTDIR
make="${MAKE:-make}"
build="${top_builddir:-.}"
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT
n=0
step() { # step TITLE COMMAND…
	title=$1
	shift
	n=$((n + 1))
	if "$@" >"$work/out" 2>&1; then
		echo "ok $n - $title"
	else
		echo "not ok $n - $title"
		tail -n 30 "$work/out" | sed 's/^/#   /'
	fi
}
skip() {
	n=$((n + 1))
	echo "ok $n - $1 # SKIP $2"
}

root="$work/root"
step "make install DESTDIR=" "$make" -C "$build" install DESTDIR="$root"
pc=$(find "$root" -name mortise-module.pc)
[ -n "$pc" ] || { echo "Bail out! mortise-module.pc was not installed"; exit 1; }
prefix=$(sed -n 's/^prefix=//p' "$pc")
PKG_CONFIG="pkg-config --define-variable=prefix=$root$prefix"
PKG_CONFIG_PATH=$(dirname "$pc")
export PKG_CONFIG PKG_CONFIG_PATH
tool=$($PKG_CONFIG --variable=tool mortise-module)
templates=$($PKG_CONFIG --variable=templatedir mortise-module)
aclocal=$($PKG_CONFIG --variable=aclocaldir mortise-module)
modules=$root$(pkg-config --variable=moduledir mortise-module)

step "modules are files NAME.so, nothing beside them" sh -c "ls '$modules'/unix.so && ! ls '$modules' | grep -v '[.]so\$'"
for abi in driver_abi authn_abi; do
	step "imapd provides what pkg-config says, $abi" sh -c "'$build/imapd' --print-abi |
		grep \"^provides .*\b$($PKG_CONFIG --variable=$abi mortise-module)\b\""
done
step "no library to link with" test -z "$($PKG_CONFIG --libs mortise-module | tr -d ' ')"
for kind in driver password sasl; do
	name=my-$kind
	for variant in plain autoconf; do
		dir="$work/$kind-$variant"
		step "$kind: new ($variant)" "$tool" -t "$templates" new "$name" "$kind" "$dir"
		if [ "$variant" = plain ]; then
			plain="$make -C $dir -f plain.mk TOOL=$tool CFLAGS='-O1 -g -Wall -Wextra -Werror'"
			step "$kind: make alone" sh -c "$plain PKG_CONFIG='$PKG_CONFIG'"
			step "$kind: make check" sh -c "$plain PKG_CONFIG='$PKG_CONFIG' check"
			step "$kind: make install" sh -c "$plain PKG_CONFIG='$PKG_CONFIG' install DESTDIR=$work/plain \
				MODULEDIR=/modules MANDIR=/man"
			step "$kind: it lists" sh -c "'$tool' -m '$work/plain/modules' list | grep '^$name  *$kind  *0'"
			continue
		fi
		if ! command -v autoreconf >/dev/null 2>&1; then
			skip "$kind: autoconf" "no autoreconf"
			continue
		fi
		step "$kind: autoreconf" sh -c "cd '$dir' && autoreconf -fi -I '$aclocal'"
		step "$kind: configure" sh -c "mkdir '$dir/b' && cd '$dir/b' && ../configure -q MORTISE_TOOL='$tool' \
			--prefix=/usr --with-moduledir='$modules'"
		step "$kind: make" "$make" -C "$dir/b" CFLAGS="-O1 -g -Wall -Wextra -Werror"
		step "$kind: make check" "$make" -C "$dir/b" check
		step "$kind: make install" "$make" -C "$dir/b" install mandir="$work/man"
		step "$kind: make installcheck" "$make" -C "$dir/b" installcheck
		step "$kind: no .la file is installed" test ! -e "$modules/$name.la"
		step "$kind: make dist" "$make" -C "$dir/b" dist
	done
	step "$kind: describes itself" sh -c "'$tool' -f json describe '$modules/$name.so' | grep '\"kind\": \"$kind\"'"
	page="$work/$kind-plain/mortise-$name.5"
	step "$kind: the manual has its options" sh -c "grep '^.Bl' '$page' && grep '^.It Va' '$page'"
	if command -v mandoc >/dev/null 2>&1; then
		step "$kind: the manual is right" mandoc -T lint -W warning "$page"
	fi
done

mkdir "$work/mail"
"$build/tests/modules/drive" "$work/driver-plain/my-driver.so" "$work/mail" >"$work/drive" 2>&1
grep -e '^ok' -e '^not ok' "$work/drive" >"$work/results"
while read -r line; do
	n=$((n + 1))
	echo "$line" | sed "s/^\(ok\|not ok\) [0-9]* -/\1 $n - the template driver:/"
done <"$work/results"
step "the template driver was taken through all of it" grep '^1\.\.' "$work/drive"

step "new: not over files that are there" sh -c "! '$tool' -t '$templates' new again driver '$work/driver-plain'"
step "new: not a name" sh -c "! '$tool' -t '$templates' new ../x driver '$work/x'"
step "new: not a kind" sh -c "! '$tool' -t '$templates' new x engine '$work/x'"
for bad in no-descriptor crash-load exit-load time32 bad-default missing-symbol; do
	step "check refuses $bad" sh -c "! '$tool' check '$build/tests/modules/$bad.so'"
done
step "check finds the constructor" sh -c "'$tool' check '$build/tests/modules/noisy.so' | grep '^not ok .*writes nothing'"
echo "1..$n"
