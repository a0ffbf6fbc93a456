"""The backup's file: nothing in it can change, go missing or be added without being told; and its commands."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import json
import string
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

import hub
from inbox.attachments import Attachments
from inbox.backup import Origin, check, database, make
from inbox.backup_commands import CHINESE, ENGLISH
from inbox.backup_file import DIGEST, MANIFEST, Faulty, digest_line, head, read
from inbox.embedded import Embedded
from tests.stores import EmbeddedStore, connect

SNAPSHOT = "store-0.rdb"
Members = dict[str, bytes]


def silent(step: str, done: int) -> None:
    """Hear of progress and say nothing."""


@pytest.fixture(scope="module")
def backup(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small backup: some keys, one that ends, one attachment."""
    folder = tmp_path_factory.mktemp("backup")
    store = EmbeddedStore(folder)
    file = folder / "good.tar"
    url = store.start()
    try:
        with connect(url) as client:
            client.hset("hl:{1}:c:1", mapping={"status": "open"})
            client.zadd("hl:{1}:i:s:open", {"1": 1})
            client.set("hl:{1}:passing", "v", px=1)
        asyncio.run(Attachments(folder / "files").save(b"a picture"))
        asyncio.run(make(Origin(url, folder / "files"), file, silent))
    finally:
        store.stop()
    return file


def members(file: Path) -> Members:
    """Return what is in a backup, by name."""
    with tarfile.open(file) as tar:
        found = {one.name: tar.extractfile(one) for one in tar}
        return {name: content.read() for name, content in found.items() if content is not None}


def written(file: Path, content: Members) -> Path:
    """Write a backup as the hub does, whatever is in it."""
    with tarfile.open(file, "w", format=tarfile.GNU_FORMAT) as tar:
        for name, data in content.items():
            tar.addfile(head(name, len(data)), io.BytesIO(data))
    return file


def vouched(content: Members, **changes: Any) -> Members:
    """Return *content* with a manifest that agrees with it but for *changes*."""
    rest = {name: data for name, data in content.items() if name not in (MANIFEST, DIGEST)}
    manifest = json.loads(content[MANIFEST])
    manifest["members"] = [
        {"name": name, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in rest.items()
    ]
    text = json.dumps({**manifest, **changes}).encode()
    return {**rest, MANIFEST: text, DIGEST: digest_line(hashlib.sha256(text).hexdigest())}


def fault(file: Path) -> Faulty:
    """Return what is wrong with a backup."""
    with pytest.raises(Faulty) as raised:
        asyncio.run(check(file, silent))
    return raised.value


def test_a_good_backup_says_what_it_is(backup: Path) -> None:
    """The manifest counts what is in it; a key whose time is over by now does not make it bad."""
    manifest = asyncio.run(check(backup, silent))

    assert (1, 1, 1, []) == (manifest.snapshots, manifest.files, manifest.conversations, manifest.damaged)
    assert [SNAPSHOT] == [one.name for one in manifest.members if "/" not in one.name]


@given(place=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
def test_any_changed_byte_is_told(
    backup: Path, tmp_path_factory: pytest.TempPathFactory, place: float, flip: int
) -> None:
    """Wherever one byte is another one, the backup is refused."""
    data = bytearray(backup.read_bytes())
    data[int(place * len(data))] ^= flip
    bad = tmp_path_factory.getbasetemp() / "changed.tar"
    bad.write_bytes(data)

    with pytest.raises(Faulty):
        read(bad, None, silent)


@given(share=st.floats(0, 1, exclude_max=True))
def test_a_cut_backup_is_told(backup: Path, tmp_path_factory: pytest.TempPathFactory, share: float) -> None:
    """Wherever it ends too early, the backup is refused."""
    data = backup.read_bytes()
    bad = tmp_path_factory.getbasetemp() / "cut.tar"
    bad.write_bytes(data[: int(share * len(data))])

    with pytest.raises(Faulty):
        read(bad, None, silent)


def newer(content: Members) -> Members:
    return vouched({**content, SNAPSHOT: b"VALKEY999" + content[SNAPSHOT][9:]})


def junk(content: Members) -> Members:
    return vouched({**content, SNAPSHOT: b"hello" * 100})


def damaged(content: Members) -> Members:
    return vouched({**content, SNAPSHOT: content[SNAPSHOT][:-20]})


def missing(content: Members) -> Members:
    whole = vouched(content)
    return {name: data for name, data in whole.items() if not name.startswith("attachments/")}


def stranger(content: Members) -> Members:
    return {"more": b"x", **vouched(content)}


def changed(content: Members) -> Members:
    return {**vouched(content), SNAPSHOT: b"x" * len(content[SNAPSHOT])}


def nameless(content: Members) -> Members:
    return {name: data for name, data in content.items() if name != MANIFEST}


FAULTS: list[tuple[str, Callable[[Members], Members]]] = [
    ("newer_store", newer),
    ("unloadable", junk),
    ("unloadable", damaged),
    ("missing", missing),
    ("stranger", stranger),
    ("changed", changed),
    ("cut", nameless),
    ("format", lambda content: vouched(content, format=2)),
    ("manifest", lambda content: vouched(content, keys="many")),
    ("keys", lambda content: vouched(content, keys=7)),
]


@pytest.mark.parametrize(("code", "spoil"), FAULTS, ids=lambda one: one if isinstance(one, str) else "")
def test_each_fault_has_its_name(backup: Path, tmp_path: Path, code: str, spoil: Callable[[Members], Members]) -> None:
    """It is said what is wrong, where, and what was expected, in both languages; nothing of it names a customer."""
    found = fault(written(tmp_path / "bad.tar", spoil(members(backup))))

    assert code == found.code
    for words in (ENGLISH, CHINESE):
        assert "hl:" not in words[code].format(**found.facts)


def test_what_is_no_tar_is_told(tmp_path: Path) -> None:
    """Any other file is called what it is."""
    (tmp_path / "x").write_text("hello", encoding="utf-8")

    assert "no_tar" == fault(tmp_path / "x").code


def test_a_rotten_attachment_is_named(tmp_path: Path) -> None:
    """A file that the disk has changed goes in as it is, and is told of: that is no reason to have no backup."""

    async def made() -> list[str]:
        files = tmp_path / "files"
        name = await Attachments(files).save(b"a picture")
        (files / name[:2] / name).write_bytes(b"a pixture")
        async with Embedded(tmp_path / "store") as store:
            return (await make(Origin(store.url, files), tmp_path / "a.tar", silent)).damaged

    [name] = asyncio.run(made())
    assert name.startswith("attachments/")


@pytest.mark.parametrize(
    ("url", "number"),
    [
        ("unix://:s3cret@/run/store.sock?db=0", 0),
        ("redis://u:p%2Fw@host:6379/3", 3),
        ("rediss://host/2?ssl_ca_certs=/x", 2),
        ("redis+sentinel://:p@a:26379,b:26379/mymaster?db=4", 4),
        ("redis+sentinel://a:26379,b:26379/mymaster", 0),
        ("redis+cluster://a:7000,b:7000", 0),
    ],
)
def test_the_database_is_known(url: str, number: int) -> None:
    """Of a server with several databases the hub's own is counted and restored."""
    assert number == database(url)


def test_both_languages_have_the_same_words() -> None:
    """Every message is there in English and Chinese and says the same things."""

    def gaps(words: dict[str, str]) -> dict[str, set[str]]:
        return {
            name: {field for _, field, _, _ in string.Formatter().parse(text) if field is not None}
            for name, text in words.items()
        }

    assert gaps(ENGLISH) == gaps(CHINESE)


@dataclass
class Terminal:
    """A terminal in the folder of a shop with the embedded store."""

    folder: Path

    def run(self, *arguments: str, code: int, language: str = "en_US.UTF-8") -> Result:
        """Run a command, which ends with *code*."""
        with contextlib.chdir(self.folder):
            environ = {"LC_ALL": language, "HUILIU_CONFIG": ""}
            done = CliRunner().invoke(hub.command_line(), list(arguments), env=environ)
        assert code == done.exit_code, (done.output, done.exception)
        return done

    @contextlib.contextmanager
    def hub_runs(self) -> Iterator[None]:
        """Hold the store as a hub does that runs."""
        store = EmbeddedStore(self.folder)
        with connect(store.start()) as client:
            client.set("hl:{hub}:partitions", 64)
            try:
                yield
            finally:
                store.stop()


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    (tmp_path / "huiliu.yaml").write_text("store: {path: store}\n", encoding="utf-8")
    return Terminal(tmp_path)


def test_the_commands(terminal: Terminal) -> None:
    """Backed up with a hub and without one, proved, refused where something is, restored where nothing is."""
    terminal.run("backup", code=2)  # there is nothing yet
    with terminal.hub_runs():
        nowhere = terminal.run("backup", "nowhere/a.tar", code=2, language="zh_CN.UTF-8").stderr
        assert f"{terminal.folder / 'nowhere'}: 文件不存在\n" in nowhere
        done = json.loads(terminal.run("backup", "a.tar", "--json", code=0).stdout)
        assert (1, 0) == (done["keys"], done["files"])
        assert "a hub runs" in terminal.run("restore", "a.tar", code=1).stderr
        assert "有汇流在运行" in terminal.run("restore", "a.tar", code=1, language="zh_CN.UTF-8").stderr
    assert "is there already" in terminal.run("backup", "a.tar", code=1).stderr
    assert "not in it: configuration" in terminal.run("backup", "b.tar", code=0).stdout
    terminal.run("backup", "--check", "b.tar", code=0)
    terminal.run("backup", "--check", "c.tar", code=2)
    assert "no_tar" == json.loads(terminal.run("backup", "--check", "huiliu.yaml", "--json", code=1).stdout)["fault"]
    assert "is not empty" in terminal.run("restore", "a.tar", code=1).stderr

    (terminal.folder / "store").rename(terminal.folder / "old")
    terminal.run("restore", "a.tar", code=0)
    assert ["a.tar", "b.tar", "huiliu.yaml", "old", "store"] == sorted(one.name for one in terminal.folder.iterdir())
    with terminal.hub_runs():
        terminal.run("backup", "c.tar", code=0)


def test_a_backup_gets_a_name_of_its_own(terminal: Terminal) -> None:
    """Without a file it is called after the moment, lies here, and only its owner can read it."""
    with terminal.hub_runs():
        terminal.run("backup", code=0)

    [file] = terminal.folder.glob("huiliu-*.tar")
    assert 0o600 == file.stat().st_mode & 0o777


def test_a_store_that_is_away_cannot_be_told(terminal: Terminal, free_port: Callable[[], int]) -> None:
    """Where the store does not answer there is neither a backup nor a refusal."""
    url = f"redis://127.0.0.1:{free_port()}"
    (terminal.folder / "huiliu.yaml").write_text(f"store: {{url: '{url}', path: store}}\n", encoding="utf-8")

    terminal.run("backup", "a.tar", code=2)
    assert "连不上存储" in terminal.run("backup", "a.tar", code=2, language="zh_CN.UTF-8").stderr
    assert not (terminal.folder / "a.tar").exists()


def test_a_backup_without_a_configuration(terminal: Terminal) -> None:
    """Where the configuration cannot be read nothing is known; where it has faults it is a no, each told in Chinese."""
    (terminal.folder / "huiliu.yaml").unlink()
    assert "无法读取文件" in terminal.run("backup", "a.tar", code=2, language="zh_CN.UTF-8").stderr
    (terminal.folder / "huiliu.yaml").write_text("store: {urll: embedded}\n", encoding="utf-8")
    assert "未知的键" in terminal.run("backup", "a.tar", code=1, language="zh_CN.UTF-8").stderr
