"""`huiliu backup` and `huiliu restore`: everything that the hub keeps in one file, and back into an empty store."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime as dt
import os
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any

import typer

from config import commands as config_commands
from config.faults import ConfigError
from config.settings import Settings
from inbox import doctor
from inbox.backup import DRAFT, Origin, check, make
from inbox.backup_file import Faulty, Manifest
from inbox.commands import CANNOT_TELL, NO, AsJson, dump
from inbox.directory import DATA
from inbox.embedded import Embedded, EmbeddedError, InUse
from inbox.printing import trouble
from inbox.restore import NotEmpty, Target, restore
from inbox.store import Store, StoreError

ENGLISH = {
    "made": "{file}: {size}, {conversations} conversations, {keys} keys, {files} attachments; read again, fine",
    "fine": "{file}: of {made_at}, {conversations} conversations, {keys} keys, {files} attachments: fine",
    "restored": "{store}: restored as of {made_at}, {conversations} conversations, {files} attachments",
    "left_out": "not in it: configuration and secrets (huiliu.yaml and what it names), and the search index",
    "secret": "it holds personal data and the hub's own keys: keep it as you keep the store",
    "withheld": "{count} deliveries may have left after the backup was made and wait for a word of yours:",
    "withheld_how": "list: huiliu outbox list --state uncertain; send: huiliu outbox retry ID;"
    " it arrived: huiliu outbox confirm ID",
    "damaged": "{member}: the attachment is not what its name says; the disk has changed it before the backup",
    "no_data": "there is no store in {path} yet: nothing to keep",
    "exists": "{file} is there already; name another file",
    "not_empty": "{where} is not empty and was not changed. Restore into an empty one: name another in huiliu.yaml,"
    " or move {what} away",
    "keys_there": "its data",
    "running": "a hub runs on {where}: stop it. A backup goes into an empty store; nothing was changed",
    "no_tar": "{file}: this is no backup; expected a tar file that huiliu backup has written",
    "cut": "{file}: it is cut off or damaged after {size} bytes at the latest: its manifest is missing",
    "length": "{file}: it has {size} bytes; expected {expected}",
    "header": "{file}: byte {at} and what follows: a file in a backup does not begin like this",
    "gap": "{file}: byte {at} and what follows: something stands where nothing should be",
    "changed": "{file}: {member}, from byte {at} on, was changed: sha256 is {found}; expected {expected}",
    "missing": "{file}: {member} is missing; the manifest names it",
    "stranger": "{file}: {member} at byte {at} is not in the manifest; expected nothing there",
    "manifest": "{file}: its manifest cannot be read",
    "format": "{file}: it has format {found}; this version of the hub reads format {expected}",
    "newer_store": "{member}: it has RDB format {version}, which {server} does not know; expected an older one."
    " Name a newer server, such as the one it was taken from, in HUILIU_VALKEY_BIN",
    "unloadable": "{member}: {server} cannot load it: it is damaged, or of another kind of server; HUILIU_VALKEY_BIN"
    " may name that one",
    "keys": "the snapshots hold {found} keys; expected {least} to {most}",
    "lost": "the store holds {found} keys after the restore; expected {least} to {most}; empty it and restore again",
    "store": "store: {:.0f} MB",
    "files": "attachments: {}",
    "check": "loaded: {} keys",
    "read": "read: {:.0f} MB",
    "pour": "restored: {:.0f} MB",
}
CHINESE = {
    "made": "{file}：{size}，会话 {conversations} 个，键 {keys} 个，附件 {files} 个；已重新读取核对，完好",
    "fine": "{file}：备份于 {made_at}，会话 {conversations} 个，键 {keys} 个，附件 {files} 个：完好",
    "restored": "{store}：已恢复到 {made_at}，会话 {conversations} 个，附件 {files} 个",
    "left_out": "不包含：配置与密钥（huiliu.yaml 及其引用的文件）、搜索索引",
    "secret": "其中有个人信息和系统自身的密钥，请像保管存储一样保管",
    "withheld": "{count} 条发送在备份之后可能已经发出，等您确认：",
    "withheld_how": "列出：huiliu outbox list --state uncertain；发送：huiliu outbox retry ID；"
    "已送达：huiliu outbox confirm ID",
    "damaged": "{member}：附件内容与名称不符，备份之前已在磁盘上损坏",
    "no_data": "{path} 里还没有数据，无需备份",
    "exists": "{file} 已存在，请换一个文件名",
    "not_empty": "{where} 不是空的，未作任何改动。只能恢复到空的存储：在 huiliu.yaml 里换一个，或移走 {what}",
    "keys_there": "其中的数据",
    "running": "{where} 上有汇流在运行：请先停止。备份只能恢复到空的存储；未作任何改动",
    "no_tar": "{file}：不是备份文件；应为 huiliu backup 写出的 tar 文件",
    "cut": "{file}：文件被截断或已损坏（最多到第 {size} 字节），缺少清单",
    "length": "{file}：有 {size} 字节，应为 {expected} 字节",
    "header": "{file}：第 {at} 字节起不是备份中文件应有的开头",
    "gap": "{file}：第 {at} 字节起本应为空，却有内容",
    "changed": "{file}：{member}（从第 {at} 字节起）被改动：sha256 为 {found}，应为 {expected}",
    "missing": "{file}：缺少清单中的 {member}",
    "stranger": "{file}：第 {at} 字节处的 {member} 不在清单中，此处应无内容",
    "manifest": "{file}：清单无法读取",
    "format": "{file}：格式版本为 {found}，本版本汇流读取的是 {expected}",
    "newer_store": "{member}：RDB 格式版本为 {version}，{server} 不认识，应为更旧的版本。"
    "请用 HUILIU_VALKEY_BIN 指定更新的服务程序，例如备份来源所用的",
    "unloadable": "{member}：{server} 无法读取：已损坏，或来自另一种服务程序，可用 HUILIU_VALKEY_BIN 指定",
    "keys": "快照中有 {found} 个键，应为 {least} 到 {most} 个",
    "lost": "恢复后存储中有 {found} 个键，应为 {least} 到 {most} 个；请清空后重新恢复",
    "store": "存储：{:.0f} MB",
    "files": "附件：{}",
    "check": "已载入：{} 个键",
    "read": "已读取：{:.0f} MB",
    "pour": "已恢复：{:.0f} MB",
}
MB = 1 << 20
IN_BYTES = frozenset({"store", "read", "pour"})
PAUSE = 0.5
"""Seconds between two words about progress on a terminal."""

Withhold = Callable[[Store, int], Awaitable[int]]
"""Puts before a person what is owed in a restored store, at a time; returns how much that is."""


class Teller:
    """Progress on standard error: a line that changes on a terminal, a line for each step elsewhere."""

    def __init__(self, words: dict[str, str]) -> None:
        self._words = words
        self._terminal = sys.stderr.isatty()
        self._step, self._done, self._shown = "", 0, 0.0

    def __call__(self, step: str, done: int) -> None:
        if step != self._step:
            self.end()
        self._step, self._done = step, done
        if self._terminal and time.monotonic() > self._shown + PAUSE:
            self._shown = time.monotonic()
            print(f"\r{self._line()}", end="", file=sys.stderr, flush=True)

    def end(self) -> None:
        """Say how far the step came."""
        if self._step:
            print(f"\r{self._line()}" if self._terminal else self._line(), file=sys.stderr, flush=True)
        self._step, self._shown = "", 0.0

    def _line(self) -> str:
        return self._words[self._step].format(self._done / MB if self._step in IN_BYTES else self._done)


def commands(settings: Callable[[], Settings], withhold: Withhold, locale: Callable[[], str]) -> typer.Typer:
    """Return the commands. *settings* are those of the store and the attachments."""
    app = typer.Typer()

    def words() -> dict[str, str]:
        return CHINESE if locale().startswith("zh") else ENGLISH

    @app.command()
    def backup(
        file: Annotated[str, typer.Argument(help="by default named for this moment / 默认以当前时间命名")] = "",
        only_check: Annotated[
            bool, typer.Option("--check", help="prove a backup that is there / 核对已有的备份")
        ] = False,
        as_json: AsJson = False,
    ) -> None:
        """Copy everything that the hub keeps while it runs, or prove a copy. / 在线备份，或核对备份。"""

        async def work(told: Teller) -> None:
            if only_check:
                manifest = await check(Path(file), told)
                _show(manifest, Path(file), words(), "fine", told, as_json=as_json)
                return
            path = Path(file or f"huiliu-{dt.datetime.now().astimezone():%Y%m%d-%H%M%S}.tar")
            manifest = await _made(settings(), path, told, words())
            _show(manifest, path, words(), "made", told, as_json=as_json)
            if not as_json:
                print(words()["left_out"], words()["secret"], sep="\n")

        if only_check and not file:
            raise typer.BadParameter("--check needs a file / 需要给出文件")
        _attempt(work, words(), as_json=as_json)

    @app.command("restore")
    def put_back(
        file: str,
        send: Annotated[
            bool,
            typer.Option("--send", help="what is owed goes out, as nothing has since / 照常发送：备份后没有发过"),
        ] = False,
        as_json: AsJson = False,
    ) -> None:
        """Put a backup into the empty store that the configuration names. / 恢复到配置所指的空存储。"""

        async def nothing(store: Store) -> int:  # noqa: ARG001  # the shape of what is done otherwise
            return 0

        async def work(told: Teller) -> None:
            target, now = Target(settings()), time.time_ns() // 1_000_000
            done = nothing if send else lambda store: withhold(store, now)
            manifest, count = await restore(Path(file), target, now, told, done)
            told.end()
            if as_json:
                dump({"store": target.address, "withheld": count, **shape(manifest)})
                return
            print(words()["restored"].format(**{**shape(manifest), "store": target.address}))
            if count:
                print(words()["withheld"].format(count=count), words()["withheld_how"], sep="\n")

        _attempt(work, words(), as_json=as_json)

    return app


async def _made(settings: Settings, file: Path, told: Teller, words: dict[str, str]) -> Manifest:
    """Back up the store as it runs; our own is started for it if it does not."""
    url, files = settings.store.url.get_secret_value(), settings.attachments.path
    if settings.store.kind != "embedded":
        return await make(Origin(url, files), file, told)
    folder = settings.store.path
    if not (folder / DATA).exists():
        raise EmbeddedError(words["no_data"].format(path=folder))
    store = Embedded(folder, durability=settings.store.durability, patience=0)
    try:
        await store.start()
    except InUse:
        return await make(Origin(Embedded.running(folder), files), file, told)
    try:
        return await make(Origin(store.url, files), file, told)
    finally:
        await store.stop()


def shape(manifest: Manifest) -> dict[str, Any]:
    """Return what a script wants to know of a backup."""
    return {
        "format": manifest.format,
        "hub": manifest.hub,
        "made_at": manifest.made_at,
        "store": dataclasses.asdict(manifest.store),
        "snapshots": manifest.snapshots,
        "keys": manifest.keys,
        "conversations": manifest.conversations,
        "files": manifest.files,
        "damaged": manifest.damaged,
    }


def _show(manifest: Manifest, file: Path, words: dict[str, str], how: str, told: Teller, *, as_json: bool) -> None:
    told.end()
    size = file.stat().st_size
    if as_json:
        dump({"file": str(file), "size": size, **shape(manifest)})
        return
    for member in manifest.damaged:
        print(words["damaged"].format(member=member), file=sys.stderr)
    print(words[how].format(**{**shape(manifest), "file": file, "size": f"{size / MB:.1f} MB"}))


def _attempt(work: Callable[[Teller], Coroutine[Any, Any, None]], words: dict[str, str], *, as_json: bool) -> None:
    """Do *work* and end the program with the right code: 1 when the file or the store says no, 2 when it is unknown."""
    told = Teller(words)
    try:
        asyncio.run(work(told))
    except (Faulty, NotEmpty, ConfigError, StoreError, EmbeddedError, OSError) as error:
        code, name, message = _said(error, words)
        told.end()
        if as_json:
            dump({"fault": name, "message": message})
        print(message, file=sys.stderr)
        raise typer.Exit(code) from None


def _place(error: OSError) -> Path:
    """Return where it failed; of a draft nobody has heard, so that is the directory that it was to be in."""
    path = Path(os.fsdecode(error.filename or ""))
    return next((each.parent for each in (path, *path.parents) if each.name.startswith(DRAFT)), path)


def _said(error: Exception, words: dict[str, str]) -> tuple[int, str, str]:
    """Return the exit code for *error*, what it is called, and what to say."""
    locale = "zh-CN" if words is CHINESE else "en"
    match error:
        case Faulty():
            return NO, error.code, words[error.code].format(**error.facts)
        case NotEmpty(hub=True):
            return NO, "running", words["running"].format(where=error.where)
        case NotEmpty():
            what = error.what or words["keys_there"]
            return NO, "not_empty", words["not_empty"].format(where=error.where, what=what)
        case FileExistsError():
            return NO, "exists", words["exists"].format(file=error)
        case ConfigError():
            return (
                config_commands.code(error),
                "configuration",
                config_commands.said(error, locale),
            )
        case OSError():
            return CANNOT_TELL, "file", f"{_place(error)}: {trouble(error, locale)}"
        case _:
            return CANNOT_TELL, "store", doctor.told(str(error), locale)
