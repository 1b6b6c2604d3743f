#!/bin/sh
# manuals.sh: every manual page is right mdoc, has its sections, and names all options that its program or module has.
# Message numbers in the code, the table and the documents are the same. TAP.
set -u
top=${top_srcdir:-.}
build=${top_builddir:-.}
n=0
result() { # result TITLE OUTPUT: passes when OUTPUT is empty
	n=$((n + 1))
	if [ -z "$2" ]; then
		echo "ok $n - $1"
	else
		echo "not ok $n - $1"
		printf '%s\n' "$2" | head -n 40 | sed 's/^/#   /'
	fi
}
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT

# What was printed stands in the build tree, the rest in the source tree.
page() { # page PATH
	if [ -f "$build/$1" ]; then echo "$build/$1"; else echo "$top/$1"; fi
}
modules=$(cd "$top" && ls modules/*/mortise-*.5.in authn/*/mortise-*.5.in | sed 's/\.in$//')
pages="docs/man/imapd.8 docs/man/imapctl.8 docs/man/imapd.conf.5 docs/man/mortise-messages.7 docs/man/mortise-module.1
	core/tools/mortise-passwd.1"
for one in $modules; do
	case $one in
	authn/pam/* | authn/ldap/* | authn/sql/* | authn/krb5/*)
		[ -f "$build/$one" ] || { echo "# not built here: $one"; continue; }
		;;
	esac
	pages="$pages $one"
done

# What a reader sees, without bold and underline.
have_mandoc=yes
command -v mandoc >/dev/null 2>&1 || have_mandoc=no
for one in $pages; do
	name=${one##*/}
	file=$(page "$one")
	if [ $have_mandoc = yes ]; then
		result "$name: mandoc has nothing to warn of" "$(mandoc -T lint -W warning "$file" 2>&1)"
		mandoc -T utf8 -O width=200 "$file" 2>/dev/null | sed 's/.\x08//g' >"$work/$name"
	else
		n=$((n + 1))
		echo "ok $n - $name: mandoc has nothing to warn of # SKIP no mandoc"
		cat "$file" >"$work/$name"
	fi
	sections="NAME DESCRIPTION"
	case $name in mortise-messages.7) ;; *) sections="NAME SYNOPSIS DESCRIPTION" ;; esac
	result "$name: $sections" "$(for s in $sections; do grep -qx "\.Sh $s" "$file" || echo "no $s"; done)"
done

options_of() { # options_of JSON: names
	grep -o '{"name": "[^"]*", "type"' "$1" | sed 's/{"name": "\([^"]*\)".*/\1/'
}
missing_options() { # missing_options JSON PAGE
	[ -s "$1" ] || echo "no options were printed"
	options_of "$1" | while read -r o; do
		grep -q "^\.It Va \"\(\\\\&\)\{0,1\}$o\"\$" "$2" || echo "$o"
	done
}

: >"$work/empty.conf"
for one in $modules; do
	[ -f "$build/$one" ] || continue
	name=$(basename "$(dirname "$one")")
	"$build/mortise-module" -c "$work/empty.conf" --no-owner-check -f json \
		describe "$build/$(dirname "$one")/.libs/$name.so" >"$work/$name.json" 2>"$work/$name.err" ||
		cat "$work/$name.err" >&2
	result "mortise-$name.5: all options of the table" "$(missing_options "$work/$name.json" "$build/$one")"
	result "mortise-$name.5: options stand in the table alone" "$(
		sed -n '/^\.Sh OPTIONS/,$p' "$top/$one.in" | sed -n '2{/^\.\\" OPTIONS$/!p;}'
		grep -qx '\.\\" OPTIONS' "$top/$one.in" || echo 'no line .\" OPTIONS'
	)"
	result "mortise-$name.5: all messages of the module" "$(
		grep -ohE "\b$(echo "$name" | tr a-z A-Z)-[0-9]{3}\b" "$top/$(dirname "$one")"/*.c | sort -u | while read -r m; do
			grep -q -- "$m" "$build/$one" || echo "$m"
		done
	)"
done

"$build/imapd" --describe-config=json >"$work/core.json"
result "imapd.conf.5: all options of the core" "$(missing_options "$work/core.json" "$build/docs/man/imapd.conf.5")"

# A long option of a usage text is in the page, and the other way round.
flags() { # flags PROGRAM PAGE
	"$1" --help 2>&1 | grep -oE -- '--[a-z][a-z-]*' | sort -u >"$work/said"
	[ -s "$work/said" ] || echo "$1 --help says nothing"
	while read -r f; do
		grep -qE -- "$f([^a-z-]|\$)" "$2" || echo "$f is in the usage, not in the page"
	done <"$work/said"
	grep -oE -- '--[a-z][a-z-]*' "$2" | sort -u | while read -r f; do
		grep -qx -e "$f" "$work/said" || echo "$f is in the page, not in the usage"
	done
}
if [ $have_mandoc = yes ]; then
	result "imapd.8: the options of --help" "$(flags "$build/imapd" "$work/imapd.8")"
	result "imapctl.8: the options of --help" "$(flags "$build/imapctl" "$work/imapctl.8")"
	result "mortise-module.1: the options of --help" "$(flags "$build/mortise-module" "$work/mortise-module.1")"
	result "mortise-passwd.1: the options of --help" "$(flags "$build/core/tools/mortise-passwd" "$work/mortise-passwd.1")"
	result "mortise-module.1: the commands of --help" "$(
		"$build/mortise-module" --help | sed -n 's/^  \([a-z][a-z]*\) .*/\1/p' | while read -r c; do
			grep -q "^ *$c\b" "$work/mortise-module.1" || echo "$c"
		done
	)"
else
	n=$((n + 1))
	echo "ok $n - options of --help # SKIP no mandoc"
fi

# Defaults that the administrator's guide names.
"$build/imapd" --describe-config=text | awk '
	/^[^ ]/ { group = $1 }
	/^  [^ ]/ { name = group "." $1 }
	/^      .*; default / { sub(/.*; default /, ""); sub(/;.*/, ""); gsub(/"/, ""); print name, $0 }' >"$work/defaults"
sed -n 's/^| `\([a-z_]*\.[a-z_]*\)` | \([^ ]*\) |.*/\1 \2/p' "$top/docs/admin.md" >"$work/guide"
result "admin.md: the defaults of limits" "$(
	[ "$(wc -l <"$work/guide")" -gt 10 ] || echo "there is no table"
	while read -r line; do grep -Fqx "$line" "$work/defaults" || echo "$line"; done <"$work/guide"
)"
result "admin.md: options that are named are there" "$(
	"$build/imapd" --describe-config=text | awk '/^[^ ]/ { group = $1 } /^  [^ ]/ { print group "." $1 }' >"$work/names"
	grep -ohE '\`(log|process|limits|listen|tls|module_loader|auth|store|message|imap)\.[a-z_]+' \
		"$top/README.md" "$top/HACKING.md" "$top"/docs/*.md | tr -d '\`' | sort -u | while read -r o; do
		case $o in *.h | *.c | *.def) continue ;; esac
		grep -qx "$o" "$work/names" || echo "$o"
	done
)"

# Messages: table, code, documents.
table=$top/core/log/messages.def
numbers=$(sed -n 's/^MSG(\([0-9]*\),.*/\1/p' "$table")
names=$(sed -n 's/^MSG([0-9]*, *[A-Z_]*, *\([A-Z0-9_]*\),.*/\1/p' "$table")
result "messages.def is understood" "$(
	[ "$(grep -c '^MSG(' "$table")" -gt 50 ] || echo "there are no messages"
	[ "$(grep -c '^MSG(' "$table")" = "$(echo "$names" | wc -l)" ] || echo "a line is not"
)"
result "every message of the table is used" "$(
	find "$top/core" -name '*.[ch]' ! -name 'test-*' -exec grep -ohE '\bMSG_[A-Z0-9_]+' {} + | sort -u >"$work/used"
	for m in $names; do grep -qx "MSG_$m" "$work/used" || echo "$m"; done
)"
result "every number that is named is in the table" "$(
	find "$top/core" "$top/modules" "$top/authn" "$top/tests" "$top/docs" "$top/etc" "$top"/*.md -type f \
		! -path '*/corpus/*' -exec grep -ohE 'MRT-[0-9]{4}' {} + | sort -u | while IFS= read -r m; do
		echo "$numbers" | grep -qx "$(echo "${m#MRT-}" | sed 's/^0*//')" || echo "$m"
	done
)"
result "mortise-messages.7: every number" "$(
	for m in $numbers; do
		printf '%04d\n' "$m" | while read -r four; do
			grep -q "^\.It MRT\\\\-$four " "$build/docs/man/mortise-messages.7" || echo "$four"
		done
	done
)"
echo "1..$n"
