#!/usr/bin/python3
"""The same work on Mortise and on Debian's Dovecot, side by side: bench.py [--scale N] [--rounds N] [--rows WORD,…]
[--variants WORD,…] [--json FILE] [--check]

Variants are taken in turn (A B C A B C …), each row by itself, and the median of the rounds is printed: wall time and
server's CPU time of an operation, ratios against the best variant of Dovecot. --check does everything once with a tiny
corpus, prints TAP and looks only at whether all was answered. See docs/bench.md.
"""
import argparse
import imaplib
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import corpus
import servers
from mortise import BUILD, PASSWORD, Tap, find_binary, wait_for
from servers import USER, dovecot

LIMIT = 300  # seconds any one measurement may take


class Row:
    """title, target: as printed. commands: one operation, for load.c. `each` is what one operation is made of, to divide
    by. before(bench, variant) is not measured."""

    def __init__(self, name, title, target, commands, setup=(), repeat=1, seconds=0.6, each=1, connections=1, options=(), needs=None,
                 before=None, memory=False, unit="s", only=None):
        self.name, self.title, self.target, self.commands, self.setup = name, title, target, list(commands), list(setup)
        self.repeat, self.seconds, self.each, self.connections, self.options = repeat, seconds, each, connections, list(options)
        self.needs, self.before, self.memory, self.unit, self.only = needs, before, memory, unit, only


def rows(bench):
    n, part, small = bench.scale, min(2000, bench.scale), bench.corpus + "/4k.eml"
    boxes = min(1000, max(n // 10, 10))
    big = ["SELECT big"]

    def fresh(name, deleted=False):
        return lambda v: bench.fresh(v, name, part, deleted)

    def empty(*names):
        return lambda v: bench.empty(v, names)

    def warm(v):
        bench.once(v, "SELECT big", "FETCH 1:* (ENVELOPE BODYSTRUCTURE)")

    def cold(v):
        v.drop_index()
        bench.once(v, "SELECT big")

    sort, thread = "SORT (SUBJECT DATE) UTF-8 ALL", "THREAD REFERENCES UTF-8 ALL"
    search = [("flags", "UNSEEN", "3"), ("keyword", "KEYWORD $Label1", "3"), ("subject", 'SUBJECT "invoice"', "10"), ("from", 'FROM "berg"', "10"),
              ("id", f'HEADER Message-ID "<{n // 2}.bench@example.org>"', "10"), ("since", "SINCE 1-Jun-2020", "10"),
              ("text", f'TEXT "{corpus.RARE}"', "6 / 4"), ("body", f'BODY "{corpus.RARE}"', "6 / 4")]
    found = [
        Row("login", "login + logout", "10 default, 1.3 tuned", [], repeat=2000, options=["--each-login"]),
        Row("login-tls", "login + logout, TLS", "", [], repeat=500, options=["--each-login", "--tls"]),
        Row("select", "SELECT + CLOSE, nothing changed", "1.3 / 1", ["SELECT big", "CLOSE"], repeat=4000, before=warm),
        Row("open-first", "first SELECT, no index", "5 mbox, 3 maildir", big, before=lambda v: v.drop_index()),
        Row("envelope-cold", "ENVELOPE+BODYSTRUCTURE, not cached, a message", "4", ["FETCH 1:* (ENVELOPE BODYSTRUCTURE)"], big, each=n, before=cold),
        Row("envelope-warm", "ENVELOPE+BODYSTRUCTURE, cached, a message", "8", ["FETCH 1:* (ENVELOPE BODYSTRUCTURE)"], big, repeat=20, each=n, before=warm),
        Row("flags", "FETCH 1:* FLAGS, a message", "2", ["FETCH 1:* (FLAGS)"], big, repeat=200, each=n),
        Row("bodies", "whole bodies in one FETCH, a message", "3 / 1.5", ["FETCH 1:* (BODY.PEEK[])"], big, repeat=20, each=n),
        Row("bodies-tls", "the same through TLS, a message", "3", ["FETCH 1:* (BODY.PEEK[])"], big, repeat=20, each=n, options=["--tls"]),
    ]
    found += [Row("search-" + k, "SEARCH " + q, target, ["SEARCH " + q], big, repeat=500, before=warm) for k, q, target in search]
    found += [
        Row("sort-first", sort + ", first", "10", [sort], big, needs="SORT", before=cold),
        Row("sort", sort + ", again", "10", [sort], big, needs="SORT", repeat=100, before=lambda v: bench.once(v, "SELECT big", sort)),
        Row("thread-first", thread + ", first", "10", [thread], big, needs="THREAD=REFERENCES", before=cold),
        Row("thread", thread + ", again", "10", [thread], big, needs="THREAD=REFERENCES", repeat=100, before=lambda v: bench.once(v, "SELECT big", thread)),
        Row("append", "APPEND 4 KiB", "2.5", [f"APPEND a0 {{{small}}}"], repeat=1000, before=empty("a0")),
        Row("append-8", "APPEND 4 KiB, 8 connections", "2.5", [f"APPEND a%c {{{small}}}"], repeat=500, connections=8, before=empty(*(f"a{i}" for i in range(8)))),
        Row("multiappend", "MULTIAPPEND of 50 x 4 KiB, a message", "3 / 1.5", ["APPEND a0" + f" {{{small}}}" * 50], repeat=40, each=50, needs="MULTIAPPEND", before=empty("a0")),
        Row("store", "STORE one, on and off", "2", ["STORE %n +FLAGS (\\Flagged)", "STORE %n -FLAGS (\\Flagged)"], ["SELECT w"], repeat=2000, each=2, before=fresh("w")),
        Row("store-all", "STORE 1:*, a message", "1", ["STORE 1:* +FLAGS (\\Answered)", "STORE 1:* -FLAGS (\\Answered)"], ["SELECT w"], repeat=20, each=2 * part, before=fresh("w")),
        Row("copy", f"COPY 1:{part}, a message", "3", ["COPY 1:* a0"], ["SELECT w"], repeat=3, each=part, before=lambda v: (bench.empty(v, ["a0"]), bench.fresh(v, "w", part))),
        Row("move", "MOVE one", "3", ["MOVE 1 a0"], ["SELECT w"], repeat=min(200, part), needs="MOVE", before=lambda v: (bench.empty(v, ["a0"]), bench.fresh(v, "w", part))),
        Row("expunge", f"EXPUNGE one of {part}", "50 mbox, 2 maildir", ["UID EXPUNGE %n"], ["SELECT w"], repeat=min(100, part), before=fresh("w", True)),
        Row("expunge-all", f"EXPUNGE all {part}, a message", "2", ["EXPUNGE"], ["SELECT w"], each=part, before=fresh("w", True)),
        Row("status", f"STATUS of {boxes} mailboxes, each", "1", ["STATUS s/%n (MESSAGES UNSEEN UIDNEXT)"], repeat=boxes * 4, before=lambda v: bench.many(v, boxes)),
        Row("list-status", f"LIST-STATUS of {boxes} mailboxes", "5", ['LIST "" "s/*" RETURN (STATUS (MESSAGES UNSEEN UIDNEXT))'], repeat=100, needs="LIST-STATUS",
            before=lambda v: bench.many(v, boxes)),
        Row("create", "CREATE", "15", ["CREATE c/%i"], repeat=500, before=lambda v: bench.unmake(v)),
        Row("notify", "new mail to EXISTS in IDLE", "5 ms", [f"APPEND a0 {{{small}}}"], ["SELECT a0"], repeat=12, seconds=8, options=["--notify"], before=empty("a0")),
        Row("mixed", "mixed commands, 8 clients, each", "2", bench.mixed(small), ["SELECT w"], repeat=4000, seconds=1.5, connections=8, options=["--mixed"],
            before=lambda v: (bench.empty(v, ["a0"]), bench.fresh(v, "w", part))),
        Row("memory", "memory of one selected, idle session", "250 KiB", [], big, connections=20, memory=True, unit="KiB", before=warm),
        Row("memory-fetched", f"memory of a session with {n} messages fetched", "20 MB at 100,000", ["FETCH 1:* (FLAGS)", "FETCH 1:* (ENVELOPE)"], big, memory=True, unit="KiB"),
    ]
    for r in found:
        if r.options[:1] == ["--each-login"] or r.name == "mixed":
            r.only = None
        else:
            r.only = lambda v: v.name != "dovecot-tuned"
        if r.name in ("store", "mixed", "status", "expunge"):
            r.options += ["--messages", str(boxes if r.name == "status" else part)]
    return found


class Failed(Exception):
    pass


class Bench:
    def __init__(self, options):
        self.options, self.scale = options, options.scale
        self.corpus = f"{options.folder}/corpus-{options.scale}-{options.seed}"
        corpus.write(options.scale, self.corpus, options.seed)
        self.made = {}
        self.variants = servers.variants(options.variants)
        self.serial = 0

    def __enter__(self):
        try:
            for v in self.variants:
                v.start()
                v.fill(self.corpus)
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise
        return self

    def __exit__(self, *exception):
        for v in self.variants:
            v.server.__exit__(*exception)

    # -- what rows do before they are measured --
    def once(self, v, *commands):
        self.load(v, Row("before", "", "", commands))

    def session(self, v):
        return v.server.login(USER)

    def empty(self, v, names):
        c = self.session(v)
        for name in names:
            c.delete(name)
            if c.create(name)[0] != "OK":
                raise Failed(f"CREATE {name}")
        c.logout()

    def fresh(self, v, name, count, deleted=False):
        self.empty(v, [name])
        commands = ["SELECT big", f"COPY 1:{count} {name}", "UNSELECT", f"SELECT {name}"]
        self.once(v, *commands, *(["STORE 1:* +FLAGS.SILENT (\\Deleted)"] if deleted else []))

    def many(self, v, count):
        if (v.name, "s") in self.made:
            return
        with open(self.corpus + "/4k.eml", "rb") as f:
            message = f.read()
        c = self.session(v)
        for i in range(count):
            if c.create(f"s/{i + 1}")[0] != "OK" or c.append(f"s/{i + 1}", None, None, message)[0] != "OK":
                raise Failed("CREATE or APPEND of many mailboxes")
        c.logout()
        self.made[(v.name, "s")] = True

    def unmake(self, v):
        """Mailboxes of the row `create` before this one."""
        c = self.session(v)
        typ, data = c.list('""', '"c/*"')
        for line in data:
            if line:
                c.delete(line.decode().split(' "/" ')[-1])
        c.logout()

    def mixed(self, small):
        return ["NOOP", "FETCH %r (FLAGS ENVELOPE)", "FETCH %r (BODY.PEEK[])", "FETCH %r (UID BODY.PEEK[HEADER.FIELDS (SUBJECT FROM DATE)])", "FETCH %r (BODYSTRUCTURE)",
                "STORE %r +FLAGS.SILENT (\\Seen)", "STORE %r -FLAGS.SILENT (\\Seen)", "SEARCH UNSEEN", "STATUS big (MESSAGES UNSEEN)", f"APPEND a0 {{{small}}}"]

    # -- measuring --
    def load(self, v, row):
        """What load.c says, with cpu, and memory where it is asked for."""
        port = v.server.tls_port if "--tls" in row.options else v.server.port
        repeat = max(1, min(row.repeat, 10) if self.options.check else row.repeat)
        command = [f"{BUILD}/tests/bench/load", "--port", str(port), "--user", USER, "--password", PASSWORD, "--connections", str(row.connections),
                   "--repeat", str(repeat), "--seconds", str(row.seconds), "--timeout", str(LIMIT), *row.options]
        command += [w for s in row.setup for w in ("--setup", s)] + ["--", *row.commands]
        before = v.pids()
        p = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        timer = threading.Timer(LIMIT + 10, p.kill)
        timer.start()
        try:
            if p.stdout.readline() != "ready\n":
                raise Failed(p.stderr.read().strip()[:300])
            cpu = v.cpu()
            p.stdin.write("\n")
            p.stdin.flush()
            line = p.stdout.readline()
            if not line:
                raise Failed(p.stderr.read().strip()[:300])
            result = json.loads(line)
            if "--each-login" in row.options:
                wait_for(lambda: len(v.pids()) <= v.at_rest, 1, 0.01)
            result["cpu"] = v.cpu() - cpu
            if row.memory:
                time.sleep(1)  # what is idle is to be measured
                result["memory"] = self.memory(v, before)
        finally:
            p.stdin.close()
            if p.wait(LIMIT) != 0 and sys.exc_info()[0] is None:
                raise Failed(p.stderr.read().strip()[:300])
            timer.cancel()
            p.stdout.close()
            p.stderr.close()
        # A session that is ending would be in the way of the next one.
        wait_for(lambda: len(v.pids()) <= max(v.at_rest, len(before)), 2, 0.01)
        return result

    @staticmethod
    def memory(v, before):
        def comm(pid):
            with open(f"/proc/{pid}/comm") as f:
                return f.read().strip()
        new = [p for p in v.pids() - before if v.ours or comm(p) == "imap"]
        return statistics.mean(v.pss(p) for p in new) if new else None

    def measure(self, v, row):
        """One figure a round: {wall, cpu} of one unit of the row."""
        if row.before is not None:
            row.before(v)
        r = self.load(v, row)
        count = max(r["operations"], 1) * row.each
        out = {"p99": r["p99"] / row.each, "operations": r["operations"], "octets": r["octets"]}
        if row.memory:
            out["wall"] = r["memory"]
            out["cpu"] = None
        else:
            out["wall"] = r["seconds"] / count if row.connections > 1 else r["median"] / row.each
            out["cpu"] = r["cpu"] / count if r["cpu"] >= 0.03 else None  # in ticks of 10 ms
        return out

    def run_row(self, row):
        results, errors = {}, {}
        who = [v for v in self.variants if row.only is None or row.only(v)]
        for v in list(who):
            if row.needs is not None and row.needs not in v.capabilities:
                errors[v.name] = f"does not offer {row.needs}"
                who.remove(v)
        for _ in range(self.options.rounds):
            for v in who:
                if v.name in errors:
                    continue
                try:
                    results.setdefault(v.name, []).append(self.measure(v, row))
                except (Failed, OSError, RuntimeError, imaplib.IMAP4.error) as e:
                    errors[v.name] = str(e) or repr(e)
        medians = {}
        for name, rounds in results.items():
            if name in errors:
                continue
            medians[name] = {}
            for key in ("wall", "cpu", "p99"):
                values = [r[key] for r in rounds if r[key] is not None]
                medians[name][key] = statistics.median(values) if values else None
            medians[name]["octets"] = rounds[0]["octets"]
        return medians, errors

    # -- printing --
    def ratios(self, medians, key):
        ours = sorted((m[key], v) for v, m in medians.items() if not v.startswith("dovecot") and m[key])
        theirs = sorted((m[key], v) for v, m in medians.items() if v.startswith("dovecot") and m[key])
        if not ours or not theirs:
            return None
        return {"best": theirs[0][0] / ours[0][0], "worst": theirs[0][0] / ours[-1][0], "ours_best": ours[0], "ours_worst": ours[-1], "dovecot": theirs[0]}

    def like_with_like(self, medians, key):
        """{format: ratio} where both have it."""
        of = lambda ours: {v.kind: medians[v.name][key] for v in self.variants if v.ours == ours and v.name in medians and medians[v.name][key]}
        mine, other = of(True), of(False)
        return {kind: other[kind] / mine[kind] for kind in mine if kind in other}


def human(value, unit):
    if value is None:
        return "-"
    if unit == "KiB":
        return f"{value:.0f} KiB"
    for scale, name in ((1, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if value >= scale:
            return f"{value / scale:.3g} {name}"
    return f"{value * 1e9:.3g} ns"


def host(bench):
    mortise = subprocess.run([find_binary("imapd"), "--version"], stdout=subprocess.PIPE, text=True).stdout.splitlines()
    commit = subprocess.run(["git", "-C", os.path.dirname(os.path.abspath(__file__)), "describe", "--always", "--dirty"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                            text=True).stdout.strip()
    fs = subprocess.run(["stat", "-f", "-c", "%T", bench.variants[0].server.dir], stdout=subprocess.PIPE, text=True).stdout.strip()
    return {"mortise": f"{mortise[0] if mortise else '?'} {commit}", "dovecot": dovecot.version() if dovecot.installed() else "none", "kernel": platform.release(),
            "file system": fs, "processors": os.cpu_count(), "messages": bench.scale, "rounds": bench.options.rounds}


def print_row(bench, row, medians, errors):
    print(f"\n{row.name}: {row.title}   [target {row.target or '-'}]", flush=True)
    for v in bench.variants:
        if v.name in medians:
            m = medians[v.name]
            print(f"    {v.name:18} {human(m['wall'], row.unit):>10}   CPU {human(m['cpu'], row.unit):>10}" + ("" if row.memory else f"   p99 {human(m['p99'], row.unit):>10}"))
        elif v.name in errors:
            print(f"    {v.name:18} {errors[v.name]}")
    for key, name in (("wall", "size" if row.memory else "wall"), ("cpu", "CPU")):
        r = bench.ratios(medians, key)
        if r:
            alike = ", ".join(f"{kind} {ratio:.2f}" for kind, ratio in bench.like_with_like(medians, key).items())
            print(f"    ratio, {name:4}: best {r['best']:.2f} ({r['ours_best'][1]}), worst {r['worst']:.2f} ({r['ours_worst'][1]}), against {r['dovecot'][1]}; like with like: {alike or '-'}")
    sys.stdout.flush()


def print_summary(bench, table):
    print("\n| row | best | worst | best Dovecot | wall best / worst | CPU best / worst | target |\n|---|---|---|---|---|---|---|")
    for row, medians, errors in table:
        wall, cpu = bench.ratios(medians, "wall"), bench.ratios(medians, "cpu")
        if wall is None:
            print(f"| {row.name} | - | - | - | {'; '.join(sorted(set(errors.values())))[:80]} | - | {row.target} |")
            continue
        cells = [f"{human(wall[k][0], row.unit)} {wall[k][1].replace('dovecot-', '')}" for k in ("ours_best", "ours_worst", "dovecot")]
        print(f"| {row.name} | {' | '.join(cells)} | {wall['best']:.2f} / {wall['worst']:.2f} | " + (f"{cpu['best']:.2f} / {cpu['worst']:.2f}" if cpu else "-") + f" | {row.target} |")


def parse():
    a = argparse.ArgumentParser()
    a.add_argument("--scale", type=int, default=10000)
    a.add_argument("--rounds", type=int, default=3)
    a.add_argument("--seed", type=int, default=1)
    a.add_argument("--rows", default="")
    a.add_argument("--variants", default="")
    a.add_argument("--json")
    a.add_argument("--check", action="store_true")
    a.add_argument("--folder", default=f"/tmp/mortise-bench-{os.getuid()}")
    o = a.parse_args()
    o.rows, o.variants = o.rows.split(","), o.variants.split(",")
    if o.check:
        o.variants = o.variants if o.variants != [""] else ["unix", "dovecot-sdbox"]
        o.scale, o.rounds, o.folder = 60, 1, tempfile.mkdtemp(prefix="mortise-bench-", dir="/tmp")
    return o


def main():
    o = parse()
    os.makedirs(o.folder, exist_ok=True)
    tap = Tap()
    with Bench(o) as bench:
        table = []
        print("# " + json.dumps(host(bench)), flush=True)
        try:
            for row in rows(bench):
                if not any(w in row.name for w in o.rows):
                    continue
                medians, errors = bench.run_row(row)
                table.append((row, medians, errors))
                if o.check:
                    wrong = {v: e for v, e in errors.items() if "does not offer" not in e}
                    tap.ok(not wrong, row.title, wrong)
                else:
                    print_row(bench, row, medians, errors)
                if o.json:
                    with open(o.json, "w") as f:
                        json.dump({"host": host(bench), "rows": {r.name: {"title": r.title, "target": r.target, "medians": m, "errors": e} for r, m, e in table}}, f, indent=1)
        except KeyboardInterrupt:
            print("\n# interrupted")
        if not o.check:
            print_summary(bench, table)
    if o.check:
        subprocess.run(["rm", "-rf", o.folder])
        tap.done()


main()
