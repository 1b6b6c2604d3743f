"""dovecot.py: a private Dovecot (Debian's) on loopback, to be compared with.

    with Dovecot("maildir:~/mail:LAYOUT=fs", users=["alice"]) as d:
        imap = d.login("alice")

It has the same folder layout, users and ways to be asked as mortise.Server, whose certificate and processes it shares
the code of. Everything not named here is as Dovecot's documentation has it by default.
"""
import os
import subprocess

from mortise import NOBODY, Server

PROGRAM = "/usr/sbin/dovecot"
# "Performance tuning" of its documentation: login processes that serve many connections, mail processes started in
# advance and used again.
TUNED = """
service imap-login {
  service_count = 0
  process_min_avail = 2
  client_limit = 1000
}
service imap {
  service_count = 1000
  process_min_avail = 8
}
"""


def installed():
    return os.path.exists(PROGRAM) and os.path.exists("/usr/lib/dovecot/imap")


def version():
    return subprocess.run([PROGRAM, "--version"], stdout=subprocess.PIPE, text=True).stdout.strip()


class Dovecot(Server):
    def __init__(self, mail_location, users=("alice",), config="", keep=False):
        self.mail_location = mail_location
        super().__init__(users=users, config=config, keep=keep, modules="")

    def config_text(self):
        root = os.getuid() == 0
        user = NOBODY.pw_name if root else str(os.getuid())
        group = "nogroup" if root else str(os.getgid())
        return f"""base_dir = {self.path("run")}
state_dir = {self.path("state")}
log_path = {self.path("log.dovecot")}
protocols = imap
listen = 127.0.0.1
default_internal_user = {user}
default_internal_group = {group}
default_login_user = {user}
first_valid_uid = 0
first_valid_gid = 0
mail_location = {self.mail_location}
mail_privileged_group =
mail_max_userip_connections = 1000
ssl = yes
ssl_cert = <{self.path("tls/certificate.pem")}
ssl_key = <{self.path("tls/key.pem")}
disable_plaintext_auth = no
auth_failure_delay = 0
passdb {{
  driver = passwd-file
  args = {self.path("passwd")}
}}
userdb {{
  driver = passwd-file
  args = {self.path("passwd")}
}}
namespace inbox {{
  inbox = yes
  separator = /
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {self.port}
  }}
  inet_listener imaps {{
    port = {self.tls_port}
    ssl = yes
  }}
}}
service anvil {{
  chroot =
}}
service stats {{
  chroot =
}}
service auth {{
  user = {user}
}}
service auth-worker {{
  user = {user}
}}
{self.extra}
"""

    def write_config(self):
        for d in ("run", "state"):
            os.makedirs(self.path(d), exist_ok=True)
            self._give(self.path(d))
        self._give(self.dir)
        super().write_config()

    def command(self, *arguments):
        return [PROGRAM, "-F", "-c", self.path("imapd.conf")]

    def mail_log(self):
        try:
            with open(self.path("log.dovecot"), errors="replace") as f:
                return f.read()
        except OSError:
            return ""

    def doveadm(self, *arguments):
        return subprocess.run(self.as_user(["/usr/bin/doveadm", "-c", self.path("imapd.conf"), *arguments]), stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=1800, cwd="/")
