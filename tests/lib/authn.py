"""authn.py: asks password backends of a configuration, as "imapctl auth test" does.

    with Backends('passwords = ( { type = "file"; path = "passwd"; } );') as b:
        b.ask("fred", "open sesame").together     # "ok"
"""
import os
import re
import shutil
import subprocess
import tempfile

from mortise import BUILD


class Answer:
    """backends: {name: (word, why)}; together: the word of all of them; record: {"uid": ["1000"], …} when that is ok."""

    def __init__(self, output, status):
        self.output, self.status, self.backends, self.record, self.together, self.why = output, status, {}, {}, None, ""
        for line in output.splitlines():
            if m := re.fullmatch(r"  (\w+) +(.*)", line):
                self.record.setdefault(m[1], []).append(m[2])
            elif m := re.fullmatch(r"(\S+) +(ok|mismatch|unknown|next|disabled|expired|temporary|internal) ?(.*)", line):
                if m[1] == "together":
                    self.together, self.why = m[2], m[3].strip()
                else:
                    self.backends[m[1]] = (m[2], m[3].strip())

    def __repr__(self):
        return f"<{self.status}: {self.output}>"


class Backends:
    def __init__(self, passwords, auth="", unprivileged=False):
        self.dir = tempfile.mkdtemp(prefix="mortise-test-", dir="/tmp")
        self.config = f"{self.dir}/imapd.conf"
        self.modules = f"{self.dir}/modules"
        os.mkdir(self.modules)
        for name in sorted(os.listdir(f"{BUILD}/authn")):
            so = f"{BUILD}/authn/{name}/.libs/{name}.so"
            if os.path.exists(so):
                shutil.copy(so, self.modules)
        self.configure(passwords, auth)

    def configure(self, passwords, auth=""):
        with open(self.config, "w") as f:
            f.write(f'{passwords}\nsasl = [];\nauth = {{ {auth} }};\nmodule_loader = {{ path = "{self.modules}"; check_owner = false; }};\n')

    def path(self, name):
        return f"{self.dir}/{name}"

    def write(self, name, text, mode=0o600):
        with open(self.path(name), "w") as f:
            f.write(text)
        os.chmod(self.path(name), mode)
        return self.path(name)

    def ask(self, user, password=None, service=None, environment=None, timeout=60):
        """password None: lookup."""
        command = [f"{BUILD}/imapctl", "--config", self.config]
        if password is None:
            command.append("--lookup")
        if service is not None:
            command += ["--service", service]
        r = subprocess.run([*command, "auth", "test", "--", user], input=None if password is None else password.encode() + b"\n", timeout=timeout,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, **(environment or {})})
        return Answer((r.stdout + r.stderr).decode(errors="replace"), r.returncode)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.dir, ignore_errors=True)
