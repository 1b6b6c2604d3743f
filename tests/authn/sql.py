#!/usr/bin/python3
"""The sql backend against SQLite and against a private PostgreSQL: right and wrong passwords, records, names that want to be
SQL, rows that are wrong, and databases that are down, locked, slow or answer nonsense. attack-044, attack-049, attack-050,
attack-073"""
import os
import pwd
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from authn import Backends
from mortise import Tap, free_port, wait_for

tap = Tap()
# RFC 7677 §3: password "pencil".
VERIFIER = ("{SCRAM-SHA-256}4096,W22ZaJ0SNY7soEsUEjb6gQ==,WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,"
            "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=")
SCHEMA = ("CREATE TABLE users (name TEXT, password TEXT, uid TEXT, gid TEXT, home TEXT, account TEXT, disabled BOOLEAN, opt TEXT);")
HASH = subprocess.run(["openssl", "passwd", "-6", "-salt", "saltsalt", "right"], stdout=subprocess.PIPE, text=True).stdout.strip()
NAMES = ["o'brien", "x' OR '1'='1", "x'; DROP TABLE users; --", 'a"b', "a\\b", "$1", "?1", "%s", "a;b", "/* x */", "jürgen", "a@b@c"]
ROWS = [("fred", HASH, "1234", "1235", "/home/fred", None, False, "o1"), ("pencil", VERIFIER, "1236", "1236", "/", None, False, None),
        ("plain", "{PLAIN}right", "1237", "1237", "/", None, False, None), ("off", HASH, "1238", "1238", "/", None, True, None),
        ("twice", HASH, "1239", "1239", "/", None, False, None), ("twice", HASH, "1240", "1240", "/", None, False, None),
        ("none", None, "1241", "1241", "/", None, False, None), ("empty", "", "1242", "1242", "/", None, False, None),
        ("root", HASH, "0", "0", "/root", None, False, None), ("half", HASH, "1243", None, "/", None, False, None),
        ("word", HASH, "x", "1", "/", None, False, None), ("host", HASH, None, None, None, "nobody", False, None),
        ("strange", "$zz$x", "1244", "1244", "/", None, False, None), ("long", "x" * 9000, "1245", "1245", "/", None, False, None),
        *((n, HASH, "1300", "1300", "/", None, False, None) for n in NAMES)]
QUERY = 'SELECT name, password, uid, gid, home, account, disabled, opt AS \\"option.o\\" FROM users WHERE name = $1'


def verdict(title, answer, word, why=""):
    got = answer.backends.get("sql", ("", ""))
    tap.ok(got[0] == word and why in got[1], f"{title}: {word}{' (' + why + ')' if why else ''}", answer)


def same_questions(b, where):
    a = b.ask("fred", "right")
    verdict(f"{where}: a right password", a, "ok")
    tap.ok(a.record.get("uid") == ["1234"] and a.record.get("gid") == ["1235"] and a.record.get("home") == ["/home/fred"]
           and a.record.get("option") == ["o=o1"], f"{where}: and the record", a)
    verdict(f"{where}: a wrong password", b.ask("fred", "wrong"), "mismatch")
    verdict(f"{where}: the hash is no password", b.ask("fred", HASH), "mismatch")
    verdict(f"{where}: a verifier", b.ask("pencil", "pencil"), "ok")
    verdict(f"{where}: a verifier and another password", b.ask("pencil", "pencils"), "mismatch")
    verdict(f"{where}: nobody", b.ask("nobody-there", "right"), "unknown")
    verdict(f"{where}: in clear without the option", b.ask("plain", "right"), "disabled", "plain is not set")
    verdict(f"{where}: disabled", b.ask("off", "right"), "disabled", "the row says disabled")
    verdict(f"{where}: two rows", b.ask("twice", "right"), "disabled", "more than one row")
    for user in ("none", "empty"):
        verdict(f"{where}: {user}: no password is right", b.ask(user, "right"), "mismatch")
    verdict(f"{where}: uid 0", b.ask("root", "right"), "disabled", "uid 0 never logs in")
    verdict(f"{where}: half an identity", b.ask("half", "right"), "disabled", "not two numbers")
    verdict(f"{where}: no number", b.ask("word", "right"), "disabled", "not two numbers")
    a = b.ask("host", "right")
    verdict(f"{where}: a host account", a, "ok")
    tap.ok(a.record.get("uid") == [str(pwd.getpwnam("nobody").pw_uid)], f"{where}: and its uid", a)
    verdict(f"{where}: a hash nobody knows", b.ask("strange", "right"), "disabled", "does not know the hash")
    verdict(f"{where}: a value that is too long", b.ask("long", "right"), "temporary", "too long")
    for name in NAMES:
        verdict(f"{where}: {name!r} is a name", b.ask(name, "right"), "ok")
        verdict(f"{where}: {name!r} as a password", b.ask("fred", name), "mismatch")
    verdict(f"{where}: and the table is still there", b.ask("fred", "right"), "ok")
    verdict(f"{where}: without a password", b.ask("fred"), "ok")


def sqlite(b):
    def configure(more="", query=QUERY):
        b.configure(f'passwords = ( {{ type = "sql"; file = "{b.path("db")}"; query = "{query}"; {more} }} );', "minimum_uid = 500;")
    db = sqlite3.connect(b.path("db"))
    db.execute(SCHEMA)
    db.executemany("INSERT INTO users VALUES (?,?,?,?,?,?,?,?)", ROWS)
    db.commit()
    configure()
    same_questions(b, "SQLite")
    db.execute("UPDATE users SET password = ? WHERE name = 'fred'", (VERIFIER,))
    db.commit()
    verdict("SQLite: a new password counts at once", b.ask("fred", "pencil"), "ok")
    verdict("SQLite: and the old one does not", b.ask("fred", "right"), "mismatch")
    configure('plain = true;')
    verdict("SQLite: in clear with the option", b.ask("plain", "right"), "ok")
    configure(query="SELECT password, uid, gid, home FROM users WHERE name = $2 AND $3 = 'here.example'")
    verdict("SQLite: name and domain", b.ask("pencil@here.example", "pencil"), "ok")
    verdict("SQLite: another domain", b.ask("pencil@there.example", "pencil"), "unknown")
    configure(query="DELETE FROM users WHERE name = $1 RETURNING *")
    verdict("SQLite: a query that writes", b.ask("fred", "pencil"), "temporary", "must only read")
    configure(query="SELECT nonsense")
    verdict("SQLite: a query that is none", b.ask("fred", "pencil"), "temporary", "nonsense")
    configure('timeout = "300ms";')
    db.execute("PRAGMA locking_mode = EXCLUSIVE")
    db.execute("BEGIN EXCLUSIVE")
    verdict("SQLite: locked by another", b.ask("fred", "pencil"), "temporary", "locked")
    db.rollback()
    db.close()
    verdict("SQLite: and free again", b.ask("fred", "pencil"), "ok")
    with open(b.path("db"), "r+b") as f:
        f.write(b"\0" * 4096)
    verdict("SQLite: damaged", b.ask("fred", "pencil"), "temporary", "not a database")
    os.unlink(b.path("db"))
    verdict("SQLite: gone", b.ask("fred", "pencil"), "temporary", "unable to open")


def postgres_programs():
    for base in ("/usr/lib/postgresql",):
        for version in sorted(os.listdir(base), reverse=True) if os.path.isdir(base) else []:
            if os.path.exists(f"{base}/{version}/bin/postgres"):
                return f"{base}/{version}/bin"
    return None


def as_postgres(command):
    if os.getuid() != 0:
        return command
    user = pwd.getpwnam("nobody")
    return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", "--", *command]


def postgresql(b, programs):
    data, port = b.path("pg"), free_port()
    os.mkdir(data)
    os.chmod(b.dir, 0o755)
    if os.getuid() == 0:
        shutil.chown(data, "nobody")
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": "/", "check": True}
    subprocess.run(as_postgres([f"{programs}/initdb", "-D", f"{data}/db", "-A", "trust", "-U", "mortise", "-E", "UTF8", "--locale=C", "-N"]), **quiet)
    log = open(b.path("pg.log"), "wb")

    def start():
        p = subprocess.Popen(as_postgres([f"{programs}/postgres", "-D", f"{data}/db", "-h", "127.0.0.1", "-p", str(port), "-k", data, "-F"]),
                             stdout=log, stderr=log, cwd="/")
        assert wait_for(lambda: psql("SELECT 1;") == 0, 30), "PostgreSQL does not answer"
        return p

    def psql(text):
        return subprocess.run([f"{programs}/psql", "-q", "-h", "127.0.0.1", "-p", str(port), "-U", "mortise", "-d", "postgres", "-v", "ON_ERROR_STOP=1"],
                              input=text.encode(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode

    def configure(more="", query=QUERY, to=port):
        b.configure(f'passwords = ( {{ type = "sql"; database = "postgresql"; connection = "host=127.0.0.1 port={to} dbname=postgres user=mortise"; '
                    f'query = "{query}"; {more} }} );', "minimum_uid = 500;")

    def literal(v):
        return "NULL" if v is None else str(v) if isinstance(v, bool) else "E'" + v.replace("\\", "\\\\").replace("'", "''") + "'"
    server = start()
    try:
        assert psql(SCHEMA + "".join(f"INSERT INTO users VALUES ({', '.join(literal(v) for v in row)});\n" for row in ROWS)) == 0
        configure()
        same_questions(b, "PostgreSQL")
        configure(query="SELECT password, uid, gid, home FROM users WHERE name = $2 AND $3 = 'here.example' AND $1 <> ''")
        verdict("PostgreSQL: name and domain", b.ask("pencil@here.example", "pencil"), "ok")
        configure(query="SELECT nonsense")
        verdict("PostgreSQL: a query that is none", b.ask("fred", "right"), "temporary", "nonsense")
        configure('timeout = "500ms";', "SELECT password, pg_sleep(60) FROM users WHERE name = $1")
        verdict("PostgreSQL: a query that takes too long", b.ask("fred", "right"), "temporary", "does not answer")
        assert psql("CREATE ROLE strict LOGIN PASSWORD 'secret'; GRANT SELECT ON users TO strict;") == 0
        with open(f"{data}/db/pg_hba.conf", "w") as f:
            f.write("host all mortise 127.0.0.1/32 trust\nhost all strict 127.0.0.1/32 scram-sha-256\n")
        assert psql("SELECT pg_reload_conf();") == 0
        secret = b.write("secret", "secret")

        def as_strict(file):
            b.configure(f'passwords = ( {{ type = "sql"; database = "postgresql"; connection = "host=127.0.0.1 port={port} dbname=postgres user=strict"; '
                        f'password = "file:{file}"; query = "{QUERY}"; }} );', "minimum_uid = 500;")
            return b.ask("fred", "right")
        verdict("PostgreSQL: with a password of ours", as_strict(secret), "ok")
        verdict("PostgreSQL: with a wrong one", as_strict(b.write("wrong", "wrong")), "temporary", "password authentication failed")
        server.terminate()
        server.wait()
        configure('timeout = "2s";')
        verdict("PostgreSQL: down", b.ask("fred", "right"), "temporary", "refused")
        server = start()
        verdict("PostgreSQL: and up again", b.ask("fred", "right"), "ok")
    finally:
        server.terminate()
        server.wait()
        log.close()
    nonsense(b, configure)


def nonsense(b, configure):
    """What listens and is no database: silent, closing, talking."""
    for what, octets in (("silent", None), ("hangs up", b""), ("talks nonsense", b"\xff" * 4000)):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            s.listen(4)

            def serve():
                try:
                    c, _ = s.accept()
                    with c:
                        if octets is None:
                            c.settimeout(10)
                            while c.recv(1000):
                                pass
                        elif octets:
                            c.sendall(octets)
                except OSError:
                    pass
            thread = threading.Thread(target=serve)
            thread.start()
            configure('timeout = "500ms";', to=s.getsockname()[1])
            verdict(f"PostgreSQL: {what}", b.ask("fred", "right"), "temporary")
            s.close()
            thread.join(15)


with Backends("") as backends:
    sqlite(backends)
with Backends("") as backends:
    found = postgres_programs()
    if found:
        postgresql(backends, found)
    else:
        tap.skip("PostgreSQL", "postgresql is not installed")
tap.done()
