#!/usr/bin/python3
"""SASL mechanisms with another implementation's client (GNU SASL), against the real daemon with and without TLS: with secrets
in clear and with verifiers, right and wrong passwords, users nobody knows. attack-055, attack-056"""
import os
import shutil
import socket
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from mortise import PASSWORD, Server, Tap, read_line

tap = Tap()
if not shutil.which("gsasl"):
    tap.skip("GNU SASL logs in", "gsasl is not installed")
    tap.done()

# RFC 7677 §3: password "pencil".
VERIFIER = ("{SCRAM-SHA-256}4096,W22ZaJ0SNY7soEsUEjb6gQ==,WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,"
            "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=")
MECHANISMS = ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-1", "DIGEST-MD5", "CRAM-MD5", "PLAIN", "LOGIN"]
BOUND = [m for m in MECHANISMS if m.endswith("-PLUS")]


def gsasl(server, mechanism, user, password, tls):
    """Whether it gets in; it ends with an error when the server cannot prove itself."""
    command = ["gsasl", "--imap", f"--mechanism={mechanism}", f"--authentication-id={user}", f"--password={password}",
               "--hostname=localhost", "--service=imap", "--quality-of-protection=qop-auth"]
    if mechanism != "DIGEST-MD5":  # it would send an empty one
        command.append("--authorization-id=")
    if mechanism not in BOUND:  # it takes no other SCRAM while it could bind
        command.append("--no-cb")
    command += ["--starttls", f"--x509-ca-file={server.path('tls/certificate.pem')}"] if tls else ["--no-starttls"]
    r = subprocess.run([*command, f"--connect=localhost:{server.port}"], input="", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                       timeout=60)
    return r.returncode == 0, r.stdout[-2000:]


def offered(server):
    with socket.create_connection(("127.0.0.1", server.port), 10) as c:
        return {w[5:] for w in read_line(c).decode().partition("]")[0].split() if w.startswith("AUTH=")}


names = ", ".join(f'"{m}"' for m in MECHANISMS)
with Server(users=["alice"], settings={
        "auth": f'auth = {{ plaintext_without_tls = false; failure_delay = "10ms"; throttle_free = 1000; mechanisms = [ {names} ]; }};'}) as server:
    with open(server.path("passwd"), "a") as f:
        line = open(server.path("passwd")).readline().rstrip("\n")
        f.write(line.replace("alice:", "user:", 1).replace("{PLAIN}" + PASSWORD, VERIFIER) + "\n")
    tap.ok(offered(server) == set(MECHANISMS) - set(BOUND) - {"PLAIN", "LOGIN"}, "without TLS what shows no password is offered", offered(server))
    for mechanism in MECHANISMS:
        for tls in (True, False):
            if not tls and mechanism in BOUND + ["PLAIN", "LOGIN"]:
                continue
            where = "TLS" if tls else "no TLS"
            good, out = gsasl(server, mechanism, "alice", PASSWORD, tls)
            tap.ok(good, f"{mechanism}, {where}: logs in", out)
            good, out = gsasl(server, mechanism, "alice", PASSWORD + "x", tls)
            tap.ok(not good, f"{mechanism}, {where}: not with a wrong password", out)
            good, out = gsasl(server, mechanism, "nobody-there", PASSWORD, tls)
            tap.ok(not good, f"{mechanism}, {where}: not as nobody", out)
    for mechanism in ("SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN"):
        good, out = gsasl(server, mechanism, "user", "pencil", True)
        tap.ok(good, f"{mechanism}: a verifier is as good as the password", out)
        good, out = gsasl(server, mechanism, "user", "pencils", True)
        tap.ok(not good, f"{mechanism}: and refuses another", out)
    tap.ok("mechanism=SCRAM-SHA-256-PLUS tls=yes" in server.log(), "the log says which it was", server.log()[-500:])
tap.done()
