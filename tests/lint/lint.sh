#!/bin/sh
# lint.sh: the house rules that a script can check. TAP. See HACKING.md.
set -u
cd "${top_srcdir:-.}" || exit 99
n=0
result() { # result TITLE OUTPUT: passes when OUTPUT is empty
	n=$((n + 1))
	if [ -z "$2" ]; then
		echo "ok $n - $1"
	else
		echo "not ok $n - $1"
		printf '%s\n' "$2" | sed 's/^/#   /'
	fi
}

# The rooms, lowest first: a file includes its own room and those before it.
rooms="sdk base log conf module charset mime search store auth net imap pop3 lmtp proc tools"
result "rooms include downward only" "$(
	seen=""
	for room in $rooms; do
		seen="$seen $room"
		[ -d "core/$room" ] || continue
		grep -Hn '^ *# *include *"' "core/$room"/*.[ch] "core/$room"/*.def 2>/dev/null |
			while IFS= read -r line; do
				what=$(printf '%s\n' "$line" | sed 's/.*include *"\([^"]*\)".*/\1/')
				where=${what%%/*}
				case "$what" in config.h) continue ;; esac
				case "$line" in *test-*.c:* | *fuzz-*.c:*) continue ;; esac
				case " $seen " in *" $where "*) ;; *) printf '%s\n' "$line" ;; esac
			done
	done
)"

result "modules include SDK and system headers only" "$(
	find modules authn -name '*.[ch]' ! -name 'test-*' ! -name 'fuzz-*' -exec grep -Hn '^ *# *include *"' {} + 2>/dev/null |
		while IFS= read -r line; do
			what=$(printf '%s\n' "$line" | sed 's/.*include *"\([^"]*\)".*/\1/')
			dir=$(dirname "${line%%:*}")
			[ -f "$dir/$what" ] || printf '%s\n' "$line"
		done
)"

result "SDK headers include SDK and system headers only" "$(grep -Hn '^ *# *include *"' core/sdk/mortise/*.h)"

result "every core source includes base/banned.h, last" "$(
	for f in core/*/*.c core/*.c; do
		[ -f "$f" ] || continue
		last=$(grep '^ *# *include' "$f" | grep -v '\.def"' | tail -n 1)
		case "$f" in *test-*.c | *fuzz-*.c) continue ;; esac
		case "$last" in *'"base/banned.h"'*) ;; *) echo "$f: $last" ;; esac
	done
)"

result "no two kinds of object share a magic" "$(
	grep -hE '^#define [A-Z_]*MAGIC[A-Z_]* +\(?0x[0-9a-fA-F]+' core/*/*.[ch] modules/*/*.[ch] authn/*/*.[ch] 2>/dev/null |
		sed 's/.*\(0x[0-9a-fA-F]*\).*/\1/' | tr 'A-F' 'a-f' | sort | uniq -d
)"

result "message numbers are used once" "$(
	sed -n 's/^MSG(\([0-9]*\),.*/\1/p' core/log/messages.def | sort | uniq -d
)"

result "no source has over 1200 lines" "$(
	find core modules authn tests -name '*.[ch]' | while read -r f; do
		lines=$(wc -l <"$f")
		[ "$lines" -le 1200 ] || echo "$f: $lines"
	done
)"

result "headers open with an essay" "$(
	for f in core/*/*.h core/sdk/mortise/*.h; do
		head -n 1 "$f" | grep -q '^/\*' || echo "$f"
	done
)"

result "nothing is marked as unfinished" "$(
	grep -rnE '\b(TODO|FIXME|XXX)\b' core modules authn --include='*.[ch]' | grep -v 'XXXXXX'
)"

echo "1..$n"
