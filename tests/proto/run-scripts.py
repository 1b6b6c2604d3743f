#!/usr/bin/python3
"""Every wire script against the real daemon, each with a user of its own: run-scripts.py DRIVER [SCRIPT…]

Scripts that need other settings say so in comments, "# SETTING imap: message_limit = 3;", and get servers of their own."""
import glob
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from mortise import BUILD, PASSWORD, SOURCE, Server

driver = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("MORTISE_DRIVER", "unix")
scripts = sys.argv[2:] or sorted(glob.glob(f"{SOURCE}/tests/proto/scripts/*.txt"))
lacks = {"memory": ["shared", "kept"], "maildir": ["files"], "mh": ["files"]}.get(driver, [])

# Scripts fail logins on purpose, all from one address: none of them is to wait for what another did.
AUTH = 'auth = { plaintext_without_tls = true; failure_delay = "50ms"; throttle_free = 1000; };'


def text_of(script):
    with open(script, encoding="utf-8") as f:
        return f.read()


def settings_of(script):
    found = re.findall(r"^# SETTING (\w+): (.*)$", text_of(script), re.M)
    return tuple(found)


def run(settings, scripts, first):
    """The scripts on one server. Its TAP lines count on from `first`; the number of tests, and whether all is well."""
    users = [f"u{i:03}" for i in range(len(scripts))]
    administrators = ", ".join(f'"{u}"' for u, script in zip(users, scripts) if "NEEDS administrator\n" in text_of(script))
    quota = f"quota = {{ administrators = [ {administrators} ]; }};"
    count = 0
    with Server(users=users, driver=driver, settings={"auth": AUTH, "quota": quota}, additions=dict(settings)) as s:
        command = [f"{BUILD}/tests/proto/imap-script", "--port", str(s.port), "--user", ",".join(users), "--password", PASSWORD] + os.environ.get("MORTISE_SCRIPT_OPTIONS", "").split()
        for word in lacks:
            command += ["--lacks", word]
        with subprocess.Popen(command + scripts, stdout=subprocess.PIPE) as p:
            for line in p.stdout:
                result = re.match(rb"((?:not )?ok )\d+(.*)", line, re.S)
                if result:
                    count += 1
                    line = result[1] + str(first + count).encode() + result[2]
                if not line.startswith(b"1.."):
                    sys.stdout.buffer.write(line)
                    sys.stdout.flush()
        if p.returncode not in (0, 1):
            print(f"Bail out! imap-script ended with {p.returncode}")
        if p.returncode:
            print("# " + s.log()[-4000:].replace("\n", "\n# "))
    return count, p.returncode == 0


servers = {}
for script in scripts:
    servers.setdefault(settings_of(script), []).append(script)
total, good = 0, True
for settings in sorted(servers):
    count, well = run(settings, servers[settings], total)
    total += count
    good = good and well
print(f"1..{total}")
sys.exit(0 if good else 1)
