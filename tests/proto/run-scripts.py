#!/usr/bin/python3
"""Every wire script against the real daemon, each with a user of its own: run-scripts.py DRIVER [SCRIPT…]"""
import glob
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from mortise import BUILD, PASSWORD, SOURCE, Server

driver = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("MORTISE_DRIVER", "unix")
scripts = sys.argv[2:] or sorted(glob.glob(f"{SOURCE}/tests/proto/scripts/*.txt"))
users = [f"u{i:03}" for i in range(len(scripts))]
lacks = {"memory": ["shared", "kept"], "maildir": ["files"], "mh": ["files"]}.get(driver, [])

# Scripts fail logins on purpose, all from one address: none of them is to wait for what another did.
auth = 'auth = { plaintext_without_tls = true; failure_delay = "50ms"; throttle_free = 1000; };'



def needs(script, word):
    with open(script) as f:
        return f"NEEDS {word}\n" in f.read()


administrators = ", ".join(f'"{u}"' for u, script in zip(users, scripts) if needs(script, "administrator"))
quota = f"quota = {{ administrators = [ {administrators} ]; }};"

with Server(users=users, driver=driver, settings={"auth": auth, "quota": quota}) as s:
    command = [f"{BUILD}/tests/proto/imap-script", "--port", str(s.port), "--user", ",".join(users), "--password", PASSWORD] + os.environ.get("MORTISE_SCRIPT_OPTIONS", "").split()
    for word in lacks:
        command += ["--lacks", word]
    status = subprocess.run(command + scripts).returncode
    if status not in (0, 1):
        print(f"Bail out! imap-script ended with {status}")
    if status:
        print("# " + s.log()[-4000:].replace("\n", "\n# "))
sys.exit(1 if status else 0)
