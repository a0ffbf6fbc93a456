"""The commands `huiliu routes history|diff|rollback|replay|shadow`: what was in use, and what would be otherwise."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import typer

from config.documents import parse
from config.faults import Wrong
from config.loading import Attempt, Loaded, Prove, candidate
from config.values import duration
from inbox import log as logbook
from inbox.api import rfc3339
from inbox.client import Client
from inbox.commands import CANNOT_TELL, NO, AsJson, Connect, attempt, dump, one_line, table
from inbox.embedded import Embedded, EmbeddedError
from inbox.partitions import parse_id
from inbox.printing import fail, heads, objection, refuse, trouble
from inbox.refusals import said
from inbox.store import Store, StoreError, Topology
from router import reporting
from router.replay import Pair, Progress, replay
from router.rollback import Impossible, OtherFiles, plan
from router.tally import Tally
from router.versions import grow, snapshot

SETTLE = 10.0
LOOK = 0.2
Imagine = Callable[[Mapping[Path, bytes]], Attempt]

_SAID = {
    "en": {
        "replay": "replay: {:3.0f} %, {} messages",
        "store": "the store cannot be read: {}",
        "in use": "in use",
        "none": "no shadow routes: name a route file under `shadow:` in huiliu.yaml",
        "faulty": "the shadow routes are not watched:",
        "wrote": "{}: put back; what it was is in {}",
        "same": "the route files say that already",
        "other": "what stands outside the route files (hours, time zone) has changed since: the rule set is now {}",
        "taken": "in use: {}",
        "waiting": "the files are written; no hub uses them yet (huiliu channels says why)",
        "cannot write": "cannot write: {}",
        "names": "huiliu.yaml names the route files {}; the rule set was made of {}",
    },
    "zh-CN": {
        "replay": "回放：{:3.0f} %，{} 条消息",
        "store": "无法读取存储：{}",
        "in use": "使用中",
        "none": "没有旁观规则：在 huiliu.yaml 的 `shadow:` 下写上规则文件",
        "faulty": "旁观规则没有启用：",
        "wrote": "{}：已恢复；原内容在 {}",
        "same": "规则文件本来就是这样",
        "other": "规则文件以外的内容（工作时间、时区）已改变：现在的规则版本是 {}",
        "taken": "使用中：{}",
        "waiting": "文件已写入，但还没有汇流进程使用它（原因见 huiliu channels）",
        "cannot write": "无法写入：{}",
        "names": "huiliu.yaml 现在用的规则文件是 {}；该版本由 {} 组成",
    },
}


@dataclass(frozen=True, slots=True)
class Tools:
    """What the commands work with. *load* reads the configuration, *connect* finds the running hub.

    *imagine* returns the configuration's path, and what loads it with other contents of route files.
    """

    load: Callable[[], Loaded]
    connect: Connect
    locale: Callable[[], str]
    prove: Prove
    imagine: Callable[[], tuple[Path, Imagine]]

    def say(self, key: str, *values: object) -> str:
        """Return a sentence in the language of whoever reads it."""
        return _SAID["zh-CN" if self.locale().startswith("zh") else "en"][key].format(*values)


def add(app: typer.Typer, tools: Tools) -> None:
    """Add the commands to *app*."""
    add_candidates(app, tools)
    add_versions(app, tools)


def add_candidates(app: typer.Typer, tools: Tools) -> None:
    """Add what tries other routes."""

    @app.command("replay")
    def replay_command(
        files: Annotated[list[str], typer.Argument(metavar="CANDIDATE…", help="route files / 规则文件")],
        since: Annotated[str, typer.Option(help="how far back, such as 7d / 回放多久")] = "7d",
        quotes: Annotated[
            bool | None, typer.Option("--quotes/--no-quotes", help="quote examples (on a terminal) / 引用原文")
        ] = None,
        as_json: AsJson = False,
    ) -> None:
        """Run stored messages through other routes. / 用另一套规则重跑历史消息。"""
        try:
            span = duration(since)
        except Wrong as error:
            fail(f"--since: {objection(error, since, tools.locale())}", CANNOT_TELL)
        quoting = sys.stdout.isatty() if quotes is None else quotes
        run_replay(tools, files, span, quotes=quoting and not as_json, as_json=as_json)

    @app.command()
    def shadow(as_json: AsJson = False) -> None:
        """Say what the shadow routes would have done otherwise. / 旁观规则会带来哪些不同。"""

        def work() -> None:
            found = tools.connect().get("/routes/shadow")
            if as_json:
                dump(found)
            elif found["state"] == "watching":
                print(reporting.narrate(found["report"], {}, locale=tools.locale()))
            elif found["state"] == "none":
                print(tools.say("none"))
            if found["state"] == "faulty":
                print(tools.say("faulty"), *found["faults"], sep="\n", file=sys.stderr)
                raise typer.Exit(NO)

        attempt(work)


def add_versions(app: typer.Typer, tools: Tools) -> None:
    """Add what goes back to earlier routes."""

    @app.command()
    def history(limit: int = 50, as_json: AsJson = False) -> None:
        """List the rule sets that were in use, newest first. / 列出用过的规则版本。"""

        def work() -> None:
            found = tools.connect().get("/routes/history", limit=limit)
            if as_json:
                dump(found)
                return
            rows = [
                (one["hash"][:12], one["at"], one["how"], one["by"], tools.say("in use") if one["in_use"] else "")
                for one in found["items"]
            ]
            table(heads(("hash", "at", "how", "by", ""), tools.locale()), rows)

        attempt(work)

    @app.command("diff")
    def diff_command(
        old: Annotated[str, typer.Argument(metavar="HASH")],
        new: Annotated[str, typer.Argument(metavar="[HASH]", help="by default what is in use / 默认当前")] = "",
        as_json: AsJson = False,
    ) -> None:
        """Show what differs between two rule sets. / 比较两个规则版本。"""

        def work() -> None:
            query = {"from": old, "to": new}
            found = tools.connect().get("/routes/diff", **query)
            if as_json:
                dump(found)
            else:
                print("\n".join(one_line(line, 2000) for line in found["lines"]))

        attempt(work)

    @app.command()
    def rollback(version: Annotated[str, typer.Argument(metavar="HASH")], as_json: AsJson = False) -> None:
        """Put the route files back as they were in an earlier rule set. / 恢复到以前的规则版本。"""
        attempt(lambda: run_rollback(tools, version, as_json=as_json))


def run_replay(tools: Tools, files: Sequence[str], span: int, *, quotes: bool, as_json: bool) -> None:
    """Run the last *span* milliseconds through the route files *files* and print what comes out."""
    loaded = tools.load()
    documents = [parse(file) for file in files]
    tried = candidate(loaded, documents, prove=tools.prove)
    if tried.loaded is None:
        refuse(tried.faults, documents, tools.locale())
    pair = Pair.of(grow(snapshot(loaded)), grow(snapshot(tried.loaded)), loaded.settings)
    meter = Meter(lambda share, messages: tools.say("replay", share * 100, messages))
    try:
        found, texts = asyncio.run(replayed(loaded, pair, span, meter, quotes=quotes))
    except (StoreError, EmbeddedError) as error:
        fail(tools.say("store", said(str(error), tools.locale())), CANNOT_TELL)
    finally:
        meter.end()
    plain = reporting.plain(found)
    if as_json:
        dump({"live": pair.live.hash, "candidate": pair.candidate.hash, **plain})
    else:
        print(reporting.narrate(plain, texts, locale=tools.locale()))


async def replayed(
    loaded: Loaded, pair: Pair, span: int, meter: Callable[[Progress], None], *, quotes: bool
) -> tuple[Tally, dict[str, str]]:
    """Replay the last *span* milliseconds out of the store; return also the texts of the examples if *quotes*.

    Raises `StoreError`, `EmbeddedError`.
    """
    settings = loaded.settings.store
    url = settings.url.get_secret_value()
    store = Store(Topology(Embedded.running(settings.path) if url == "embedded" else url), ())
    try:
        now = time.time_ns() // 1_000_000
        tally = await replay(store, pair, now - span, now, meter)
        names = [name for move in tally.moves.values() for name in move.examples] if quotes else []
        places = [parse_id(name, "m") for name in names]
        entries = await logbook.fetch(store, [(place.partition, place.key) for place in places])
    finally:
        await store.close()
    texts = {name: entry.fields.get("tx", "") for name, entry in zip(names, entries, strict=True) if entry is not None}
    return tally, texts


def run_rollback(tools: Tools, version: str, *, as_json: bool) -> None:
    """Write the files of an earlier rule set and wait until it is in use. Raises `NoHub`, `Refused`."""
    client = tools.connect()
    found = client.get(f"/routes/history/{quote(version, safe='')}")
    config, imagined = tools.imagine()
    try:
        planned = plan(config, found["hash"], found["files"], imagined)
        client.post("/routes/rollback", {"hash": found["hash"], "written": True})
        since = time.time_ns() // 1_000_000
        changed = planned.carry_out(since)
    except OtherFiles as error:
        fail(tools.say("names", ", ".join(error.now) or "-", ", ".join(error.of)), NO)
    except Impossible as error:
        refuse(error.faults, (), tools.locale())
    except OSError as error:
        fail(tools.say("cannot write", f"{error.filename or ''} {trouble(error, tools.locale())}".strip()), CANNOT_TELL)
    result = planned.result.hash
    used = taken(client, result, since if changed else 1)
    if as_json:
        copies = [{"file": str(file), "copy": str(copy)} for file, copy in changed.items()]
        dump({"hash": result, "wanted": found["hash"], "changed": copies, "in_use": used})
    else:
        lines = [tools.say("wrote", file, copy.name) for file, copy in changed.items()] or [tools.say("same")]
        if result != found["hash"]:
            lines.append(tools.say("other", result[:12]))
        print(*lines, tools.say("taken", result[:12]) if used else tools.say("waiting"), sep="\n")
    if not used:
        raise typer.Exit(NO)


class Meter:
    """Progress on standard error: one line that changes on a terminal, a line for every tenth elsewhere."""

    def __init__(self, words: Callable[[float, int], str]) -> None:
        self._words = words
        self._shown = -1.0
        self._terminal = sys.stderr.isatty()
        self._step = 0.005 if self._terminal else 0.1

    def __call__(self, progress: Progress) -> None:
        if progress.share - self._shown < self._step and progress.share < 1:
            return
        self._shown = progress.share
        text = self._words(progress.share, progress.messages)
        print(f"\r{text}" if self._terminal else text, end="" if self._terminal else "\n", file=sys.stderr, flush=True)

    def end(self) -> None:
        """Leave the line."""
        if self._terminal and self._shown >= 0:
            print(file=sys.stderr)


def taken(client: Client, wanted: str, since: int) -> bool:
    """Wait until every process has said after *since* (milliseconds since 1970 UTC) that it uses the set *wanted*.

    False if one does not within ten seconds. What a process said earlier may be of before the last change, and what
    it used then is often the very set that is wanted back.
    """
    deadline = time.monotonic() + SETTLE
    while time.monotonic() < deadline:
        workers = client.get("/routes/status")["workers"]
        if workers and all(one["hash"] == wanted and one["said_at"] >= rfc3339(since) for one in workers):
            return True
        time.sleep(LOOK)
    return False
