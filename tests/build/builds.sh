#!/bin/bash
# builds.sh: the other ways this tree is built: clang without a warning, the release archive out of tree and installed
# below DESTDIR, modules linked in, unit tests under the sanitizers. TAP. Slow: minutes.
set -u
src=$(cd "${top_srcdir:-.}" && pwd)
# Inside `make distcheck`, a build like this one has made the archive.
if [ -z "$(find "$src" -maxdepth 0 -perm /200)" ]; then
	echo "1..0 # SKIP the source is read-only"
	exit 0
fi
work=$(mktemp -d "${TMPDIR:-/tmp}/mortise-builds.XXXXXX")
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
n=0
jobs=$(nproc)
# A make above us must not pass its jobserver and its flags on.
unset MAKEFLAGS MFLAGS MAKELEVEL TESTS CMOCKA_MESSAGE_OUTPUT

ok() { # ok STATUS TITLE [LOG]
	n=$((n + 1))
	if [ "$1" = 0 ]; then
		echo "ok $n - $2"
	else
		echo "not ok $n - $2"
		[ -z "${3:-}" ] || tail -n 40 "$3" | sed 's/^/#   /'
	fi
}

(
	mkdir -p "$work/clang" && cd "$work/clang" &&
		"$src/configure" -q CC=clang --enable-werror && make -s -j"$jobs" check TESTS=
) >"$work/clang.log" 2>&1
ok $? "clang builds it without a warning" "$work/clang.log"

(
	cd "$work/clang" && make -s dist distdir=mortise-dist && mv mortise-dist.tar.xz "$work"
) >"$work/dist.log" 2>&1
status=$?
if [ $status = 0 ]; then
	(
		set -e
		cd "$work" && tar -xf mortise-dist.tar.xz
		# What is kept in the repository is released.
		if git -C "$src" rev-parse -q --verify HEAD; then
			git -C "$src" ls-files | while IFS= read -r file; do
				[ ! -e "$src/$file" ] || [ -e "mortise-dist/$file" ] || echo "not in the archive: $file"
			done >missing
			cat missing
			test ! -s missing
		fi
		chmod -R a-w mortise-dist
		mkdir out && cd out
		../mortise-dist/configure -q --prefix=/usr --sysconfdir=/etc --with-systemdsystemunitdir=/lib/systemd/system
		make -s -j"$jobs" && make -s install DESTDIR="$work/root"
		test -x "$work/root/usr/sbin/imapd"
		test -f "$work/root/usr/lib/mortise/modules/unix.so"
		test -f "$work/root/usr/include/mortise/driver.h"
		make -s uninstall DESTDIR="$work/root"
		test -z "$(find "$work/root" -type f ! -path '*/imapd.conf' | head -n 1)"
	) >>"$work/dist.log" 2>&1
	status=$?
fi
ok $status "the release archive builds out of tree from a read-only source, installs below DESTDIR, uninstalls" "$work/dist.log"

(
	set -e
	mkdir -p "$work/builtin" && cd "$work/builtin"
	"$src/configure" -q --with-builtin-modules="unix file" && make -s -j"$jobs"
	mkdir empty
	printf 'module_loader = { path = "%s"; check_owner = false; };\ndrivers = [ "unix" ];\npasswords = ( { type = "file"; path = "/nonexistent"; } );\n' "$PWD/empty" >conf
	out=$(./imapd --config conf --check-config 2>&1) || { echo "$out"; case $out in *'"unix"'*) exit 1 ;; esac; }
) >"$work/builtin.log" 2>&1
ok $? "modules named by --with-builtin-modules are linked in" "$work/builtin.log"

(
	set -e
	mkdir -p "$work/asan" && cd "$work/asan"
	"$src/configure" -q --enable-sanitizers --enable-werror
	make -s -j"$jobs" check-unit
	make -s check TESTS="tests/proto/scripts-unix.py tests/storage/broken-mailbox.py"
) >"$work/asan.log" 2>&1
ok $? "unit tests and wire scripts pass under the address and undefined sanitizers" "$work/asan.log"

echo "1..$n"
