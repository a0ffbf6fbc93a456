"""The other ways to a store: TLS, and Sentinel, with real servers."""

from __future__ import annotations

import datetime as dt
import ipaddress
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from inbox.partitions import tag
from inbox.store import Store, StoreDown, Topology

LIMIT = 15.0


@contextmanager
def server(binary: Path, folder: Path, *arguments: str) -> Iterator[None]:
    """Run a private redis-server in *folder*."""
    folder.mkdir(exist_ok=True)
    process = subprocess.Popen(
        [str(binary), *arguments], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait(LIMIT)


def answering(client: redis.Redis) -> None:
    """Wait until a server answers."""
    deadline = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=LIMIT)
    while True:
        try:
            client.ping()
            client.close()
        except (redis.ConnectionError, OSError):
            assert dt.datetime.now(dt.UTC) < deadline, "the server does not answer"
        else:
            return


def certificate(folder: Path) -> tuple[Path, Path]:
    """Make a self-signed certificate for loopback; return certificate and key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    start = dt.datetime.now(dt.UTC) - dt.timedelta(hours=1)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + dt.timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = folder / "cert.pem", folder / "key.pem"
    cert_file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    key_file.write_bytes(private)
    return cert_file, key_file


@pytest.fixture
def tls(
    tmp_path: Path, require_peer: Callable[[str], Path], free_port: Callable[[], int]
) -> Iterator[tuple[int, Path]]:
    """A redis-server that speaks TLS only; its port and its certificate."""
    binary, port = require_peer("redis-server"), free_port()
    cert_file, key_file = certificate(tmp_path)
    arguments = [
        *("--port", "0", "--tls-port", str(port), "--bind", "127.0.0.1", "--requirepass", "tls-password"),
        *("--tls-cert-file", str(cert_file), "--tls-key-file", str(key_file)),
        *("--tls-ca-cert-file", str(cert_file), "--tls-auth-clients", "no", "--save", ""),
    ]
    with server(binary, tmp_path / "data", *arguments):
        answering(
            redis.Redis(host="127.0.0.1", port=port, ssl=True, ssl_ca_certs=str(cert_file), password="tls-password")
        )
        yield port, cert_file


async def test_tls_store_is_used_when_its_certificate_is_known(tls: tuple[int, Path]) -> None:
    """rediss:// with the right authority works like any other store."""
    port, cert_file = tls
    store = Store(Topology(f"rediss://:tls-password@127.0.0.1:{port}/0?ssl_ca_certs={cert_file}"), [])

    assert await store.do(tag(1), "SET", "hl:{1}:x", "1") == "OK"
    await store.close()


# asyncio leaves the socket of a refused handshake to the garbage collector, which may warn.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_tls_store_with_an_unknown_certificate_is_refused(tls: tuple[int, Path]) -> None:
    """A certificate that nobody vouches for ends the connection, and no password is sent."""
    port, _ = tls
    store = Store(Topology(f"rediss://:tls-password@127.0.0.1:{port}/0"), [])

    with pytest.raises(StoreDown, match="cannot be reached"):
        await store.do(tag(1), "PING")
    await store.close()


async def test_sentinel_names_the_primary(
    tmp_path: Path, require_peer: Callable[[str], Path], free_port: Callable[[], int]
) -> None:
    """redis+sentinel:// asks the sentinels where the primary is."""
    binary, port, watch = require_peer("redis-server"), free_port(), free_port()
    (tmp_path / "sentinel.conf").write_text(
        f"port {watch}\nbind 127.0.0.1\nsentinel monitor shop 127.0.0.1 {port} 1\n"
        "sentinel auth-pass shop pw\nsentinel down-after-milliseconds shop 2000\n",
        encoding="utf-8",
    )
    with (
        server(
            binary, tmp_path / "one", "--port", str(port), "--bind", "127.0.0.1", "--requirepass", "pw", "--save", ""
        ),
        server(binary, tmp_path / "two", str(tmp_path / "sentinel.conf"), "--sentinel"),
    ):
        answering(redis.Redis(port=port, password="pw"))
        answering(redis.Redis(port=watch))
        store = Store(Topology(f"redis+sentinel://:pw@127.0.0.1:{watch}/shop"), [])

        assert await store.do(tag(1), "SET", "hl:{1}:x", "1") == "OK"
        await store.close()
