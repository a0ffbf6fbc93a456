"""Real mail servers for tests: private Dovecots and Postfixes on loopback, and a proxy that spoils connections."""

from __future__ import annotations

import asyncio
import base64
import os
import pwd
import random
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.stores import free_port, require_peer

PASSWORD = 'pa"ss\\word'
OWNER = "mail"
PATIENCE = 20.0

DOVECOT = """
base_dir = {root}/run
state_dir = {root}/state
log_path = {root}/dovecot.log
protocols = imap
listen = 127.0.0.1
ssl = yes
ssl_cert = <{root}/cert.pem
ssl_key = <{root}/key.pem
disable_plaintext_auth = no
auth_failure_delay = 0
first_valid_uid = 1
mail_location = maildir:{root}/mail/%u
mail_max_userip_connections = 200
login_trusted_networks = 127.0.0.0/8
imap_idle_notify_interval = 2 mins
service imap-login {{
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = {imaps}
    ssl = yes
  }}
  service_count = 0
  chroot =
}}
service anvil {{
  chroot =
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service stats {{
  chroot =
}}
passdb {{
  driver = static
  args = password={{PLAIN.b64}}{password}
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={root}/home/%u
}}
namespace inbox {{
  inbox = yes
  separator = /
}}
"""

POSTFIX_MAIN = """
compatibility_level = 3.6
queue_directory = {root}/queue
data_directory = {root}/data
mail_owner = postfix
setgid_group = postdrop
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
meta_directory = /etc/postfix
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = mail.test
mydestination =
mynetworks = 127.0.0.0/8
smtpd_recipient_restrictions = permit_mynetworks, reject
virtual_mailbox_domains = {domains}
virtual_mailbox_base = {mail}
virtual_mailbox_maps = texthash:{root}/users
virtual_transport = virtual
virtual_minimum_uid = 1
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
maillog_file = {root}/postfix.log
maillog_file_prefixes = {root}
message_size_limit = 40000000
recipient_delimiter = +
virtual_mailbox_limit = 0
mailbox_size_limit = 0
alias_maps =
alias_database =
"""

POSTFIX_MASTER = """
127.0.0.1:{port} inet n - n - - smtpd
cleanup   unix  n       -       n       -       0       cleanup
qmgr      unix  n       -       n       300     1       qmgr
rewrite   unix  -       -       n       -       -       trivial-rewrite
bounce    unix  -       -       n       -       0       bounce
defer     unix  -       -       n       -       0       bounce
trace     unix  -       -       n       -       0       bounce
proxymap  unix  -       -       n       -       -       proxymap
error     unix  -       -       n       -       -       error
retry     unix  -       -       n       -       -       error
virtual   unix  -       n       n       -       -       virtual
anvil     unix  -       -       n       -       1       anvil
scache    unix  -       -       n       -       1       scache
postlog   unix-dgram n  -       n       -       1       postlogd
"""


def need(*programs: str) -> None:
    """Skip where a peer is missing or may not be started, fail where it must not be missing (CI)."""
    for program in programs:
        require_peer(program)
    if os.geteuid() != 0:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("mail servers can only be started by root")


def wait_port(port: int, alive: Callable[[], bool], log: Path) -> None:
    """Return once something listens on *port*; fail with the server's log if it ends or takes too long."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until and alive():
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.02)  # nothing announces that a foreign server listens
    pytest.fail(f"no server on port {port}: {log.read_text(errors='replace')[-2000:] if log.exists() else 'no log'}")


def make_certificate(folder: Path) -> Path:
    """Write cert.pem and key.pem for localhost into *folder*; return the certificate, its own authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "cert.pem"
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "key.pem").write_bytes(secret)
    return path


class Dovecot:
    """A private Dovecot; every user name logs in with `PASSWORD` and has a Maildir of their own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.port = free_port()
        self.tls_port = free_port()
        self.certificate = make_certificate(root)
        self._owner = pwd.getpwnam(OWNER)
        self._count = 0
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it takes connections."""
        fields: dict[str, object] = {"root": self.root, "uid": self._owner.pw_uid, "gid": self._owner.pw_gid}
        fields["password"] = base64.b64encode(PASSWORD.encode()).decode()
        config = self.root / "dovecot.conf"
        config.write_text(DOVECOT.format(imap=self.port, imaps=self.tls_port, **fields))
        for name in ("mail", "home"):
            (self.root / name).mkdir()
            os.chown(self.root / name, self._owner.pw_uid, self._owner.pw_gid)
        process = subprocess.Popen(["/usr/sbin/dovecot", "-F", "-c", str(config)], start_new_session=True)
        self._process = process
        wait_port(self.port, lambda: process.poll() is None, self.root / "dovecot.log")

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def folder(self, user: str, name: str = "") -> Path:
        """Return the Maildir of a folder of *user* (Maildir++: subfolders begin with a dot)."""
        return self.root / "mail" / user / (f".{name}" if name else "")

    def deliver(self, user: str, raw: bytes, name: str = "") -> None:
        """Put a mail into a folder as a delivery agent does: written aside, then moved in."""
        maildir = self.folder(user, name)
        for part in ("tmp", "new", "cur"):
            (maildir / part).mkdir(parents=True, exist_ok=True)
        self._count += 1
        unique = f"{time.time_ns()}.{self._count}.test"
        (maildir / "tmp" / unique).write_bytes(raw)
        self._give(self.root / "mail" / user)
        (maildir / "tmp" / unique).rename(maildir / "new" / unique)

    def forget_index(self, user: str) -> None:
        """Throw away what Dovecot knows of the inbox of *user*, so that it gives new UIDs under a new UIDVALIDITY."""
        for path in self.folder(user).glob("dovecot*"):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()

    def all_seen(self, user: str, count: int) -> bool:
        """Tell whether *count* mails in the inbox of *user* are marked as seen, and Dovecot is done with writing it."""
        folder = self.folder(user)
        return len([*(folder / "cur").glob("*S")]) == count and not [*folder.glob("dovecot-uidlist.*")]

    def _give(self, top: Path) -> None:
        for path in (
            top,
            *top.glob("*"),
            *top.glob(".*/*"),
            *top.glob("tmp/*"),
            *top.glob(".*"),
            *top.glob(".*/tmp/*"),
        ):
            with suppress(FileNotFoundError):
                os.chown(path, self._owner.pw_uid, self._owner.pw_gid)


class Postfix:
    """A private Postfix that takes mail for *domain* from loopback and puts it into Maildirs below *mail*."""

    def __init__(self, root: Path, mail: Path, domain: str) -> None:
        self.root = root
        self.port = free_port()
        self._mail = mail
        self._domain = domain

    def start(self) -> None:
        """Start it and wait until it takes connections."""
        owner = pwd.getpwnam(OWNER)
        config = self.root / "etc"
        config.mkdir()
        for name in ("queue", "data"):
            (self.root / name).mkdir()
        shutil.chown(self.root / "data", "postfix", "postfix")
        fields = {"root": self.root, "mail": self._mail, "uid": owner.pw_uid, "gid": owner.pw_gid}
        (config / "main.cf").write_text(POSTFIX_MAIN.format(domains=self._domain, **fields))
        (config / "master.cf").write_text(POSTFIX_MASTER.format(port=self.port))
        self._run("start")
        wait_port(self.port, lambda: True, self.root / "postfix.log")

    def add_user(self, address: str, user: str) -> None:
        """Deliver mail for *address* to the Maildir of *user*. To be called before `start`."""
        with (self.root / "users").open("a") as users:
            users.write(f"{address} {user}/\n")

    def stop(self) -> None:
        """End it."""
        self._run("stop")

    def _run(self, verb: str) -> None:
        command = ["/usr/sbin/postfix", "-c", str(self.root / "etc"), verb]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        if done.returncode and verb == "start":
            pytest.fail(f"postfix {verb}: {done.stdout}{done.stderr}")


@contextmanager
def private_root() -> Iterator[Path]:
    """Give a folder that servers under other users can enter."""
    root = Path(tempfile.mkdtemp(prefix="huiliu-mail-", dir="/tmp"))
    root.chmod(0o755)
    try:
        yield root
    finally:
        shutil.rmtree(root, ignore_errors=True)


class Proxy:
    """A TCP proxy to *target* on loopback that cuts or swallows what passes.

    `silent` swallows both directions and keeps the connections open: a half-open line. `cut` ends
    them all. `cut_after` ends the next connection after that many bytes from the server.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._server: asyncio.Server | None = None
        self._pairs: dict[asyncio.Task[None], list[asyncio.StreamWriter]] = {}
        self.silent = False
        self.cut_after: int | None = None
        self.connects = 0
        self.cuts = 0
        self.port = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        tasks = list(self._pairs)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._server.wait_closed()

    def cut(self) -> int:
        """End every connection now; return how many there were."""
        writers = [writer for pair in self._pairs.values() for writer in pair]
        for writer in writers:
            writer.transport.abort()
        self.cuts += bool(writers)
        return len(writers)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.connects += 1
        self._pairs[task] = [writer]
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
            self._pairs[task].append(far_writer)
            up = asyncio.ensure_future(self._pump(reader, far_writer, counted=False))
            down = asyncio.ensure_future(self._pump(far_reader, writer, counted=True))
            try:
                await asyncio.wait({up, down}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                up.cancel()
                down.cancel()
                await asyncio.gather(up, down, return_exceptions=True)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            for each in self._pairs.pop(task):
                each.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, counted: bool) -> None:
        while data := await reader.read(1 << 14):
            if self.silent:
                continue
            if counted and self.cut_after is not None:
                self.cut_after -= len(data)
                if self.cut_after < 0:
                    self.cut_after = None
                    self.cuts += 1
                    return
            writer.write(data)
            await writer.drain()


def seed() -> int:
    """Return the seed of this run (HUILIU_SEED, else a new one) and print it, so that a failure can be repeated."""
    value = int(os.environ.get("HUILIU_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)
    print(f"HUILIU_SEED={value}")  # noqa: T201  # pytest shows it when the test fails
    return value
