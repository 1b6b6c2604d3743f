#!/bin/sh
# mortise-passwd: what it does to a file. That the server accepts the result is in authn/file/test-file.c.
set -u
tool=${top_builddir:-.}/core/tools/mortise-passwd
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
file=$dir/passwd
count=0

result() { # name, status of the test
	count=$((count + 1))
	if [ "$2" = 0 ]; then echo "ok $count - $1"; else echo "not ok $count - $1"; fi
}
set_password() { printf '%s\n' "$1" | "$tool" $2 "$file" "$3" 2>"$dir/err"; }

set_password secret "" fred
result "a new file is made for its owner alone" "$([ "$(stat -c %a "$file")" = 600 ]; echo $?)"
grep -q '^fred:\$[0-9a-z]*\$[^:]*:::::*$\|^fred:\$[^:]*:::*$' "$file"
result "the default is a crypt hash" $?
! grep -q secret "$file"
result "the password is not in the file" $?

set_password other "--scheme scram-sha-256 --uid 5000 --gid 5001 --home /srv/anne" anne
grep -q '^anne:{SCRAM-SHA-256}4096,[^,]*,[^,]*,[^:]*:5000:5001::/srv/anne$' "$file"
result "ids, home and a verifier" $?

printf '# kept\n\n' >>"$file"
before=$(grep -v '^anne:' "$file")
set_password third "" anne
[ "$before" = "$(grep -v '^anne:' "$file")" ] && grep -q '^anne:\$.*:5000:5001::/srv/anne$' "$file"
result "other lines, comments and the user's other fields stay" $?

"$tool" --disable "$file" anne && "$tool" --disable "$file" anne && grep -q '^anne:!\$' "$file"
result "disabling marks the secret once" $?
"$tool" --enable "$file" anne && grep -q '^anne:\$' "$file"
result "enabling takes the mark away" $?
"$tool" --delete "$file" anne && ! grep -q '^anne:' "$file" && grep -q '^fred:' "$file"
result "deleting removes that user" $?
"$tool" --delete "$file" anne 2>/dev/null
result "deleting a user who is not there is an error" "$([ $? = 65 ]; echo $?)"

printf 'twin:a:\ntwin:b:' >>"$file"
set_password x "" twin
result "a user on two lines is mended" "$([ "$(grep -c '^twin:' "$file")" = 1 ]; echo $?)"

sum=$(cat "$file")
for name in '' 'a:b' '#x' "a
b"; do set_password x "" "$name" && break; done
result "impossible names are refused" "$([ "$sum" = "$(cat "$file")" ]; echo $?)"
printf '' | "$tool" "$file" fred 2>/dev/null
result "an empty password is refused" "$([ $? = 65 ] && [ "$sum" = "$(cat "$file")" ]; echo $?)"
printf 'a\0b\n' | "$tool" "$file" fred 2>/dev/null
result "a NUL in the password is refused" "$([ $? = 65 ]; echo $?)"
head -c 5000 /dev/zero | tr '\0' x | "$tool" "$file" fred 2>/dev/null
result "a password that is too long is refused" "$([ $? = 65 ]; echo $?)"

ln -s "$file" "$dir/link"
printf 'x\n' | "$tool" "$dir/link" linked && [ -L "$dir/link" ] && grep -q '^linked:' "$file"
result "a symbolic link stays one" $?

for i in 1 2 3 4 5 6 7 8; do
	printf 'x\n' | "$tool" --scheme scram-sha-1 "$file" "user$i" &
	pids="${pids:-} $!"
done
for p in $pids; do wait "$p"; done
result "runs at one time do not lose each other's users" "$([ "$(grep -c '^user' "$file")" = 8 ]; echo $?)"
result "nothing is left behind" "$([ "$(ls "$dir" | tr '\n' ' ')" = "err link passwd " ]; echo $?)"
echo "1..$count"
