#!/usr/bin/python3
"""docs/response-codes.md against RFC 9051 §7.1, the sources and the tests it names."""
import glob
import os
import re

SOURCE = os.environ.get("top_srcdir", os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
CODES = """ALERT ALREADYEXISTS APPENDUID AUTHENTICATIONFAILED AUTHORIZATIONFAILED BADCHARSET CANNOT CAPABILITY CLIENTBUG CLOSED
CONTACTADMIN COPYUID CORRUPTION EXPIRED EXPUNGEISSUED HASCHILDREN INUSE LIMIT NONEXISTENT NOPERM OVERQUOTA PARSE PERMANENTFLAGS
PRIVACYREQUIRED READ-ONLY READ-WRITE SERVERBUG TRYCREATE UIDNEXT UIDNOTSTICKY UIDVALIDITY UNAVAILABLE UNKNOWN-CTE""".split()


def text_of(path):
    with open(os.path.join(SOURCE, path), encoding="utf-8") as f:
        return f.read()


core = "".join(text_of(os.path.relpath(p, SOURCE)) for p in glob.glob(f"{SOURCE}/core/imap/*.c") if "/test-" not in p)
rows = {m[1]: (m[2], m[3]) for m in re.finditer(r"^\| ([A-Z-]+) \| (.*?) \|(?: `(.*)`)? \|$", text_of("docs/response-codes.md"), re.M)}
print(f"1..{len(CODES) + 1}")
print(f"{'ok' if list(rows) == CODES else 'not ok'} 1 - the table has the codes of RFC 9051, in order")
for number, code in enumerate(CODES, 2):
    when, test = rows.get(code, ("", None))
    if when.startswith("never"):
        good = not re.search(rf'"{code}[ "]|\[{code}', core)
    elif test is None:
        good = code == "SERVERBUG"
    else:
        good = f"[{code}" in text_of(test)
    print(f"{'ok' if good else 'not ok'} {number} - {code}: {when}")
