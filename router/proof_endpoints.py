"""The API of the proof: where the rules stand, their history, a candidate in the shadow, replays, rollback."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web

from config import chinese as translation
from config.documents import understand
from config.faults import Fault, Wrong
from config.loading import Loaded, Prove, candidate
from config.values import duration
from config.wordlists import Wordlists
from inbox.api import Ask, Problem, Route, answer, listing, rfc3339
from inbox.partitions import AT
from router import reporting, standing
from router.archive import NoVersion
from router.proof import Proof
from router.replay import Pair
from router.replays import Busy, Replays, State
from router.rollback import Impossible, plan
from router.ruleset import Rules
from router.versions import Unreadable, Version, diff, grow, snapshot

MAX_CANDIDATE = 8 << 20
SINCE = "7d"
ERRORS: dict[type[Exception], tuple[int, str]] = {
    NoVersion: (404, "There is no such rule set"),
    Unreadable: (409, "The rule set cannot be read any more"),
    Busy: (409, "That makes no sense now"),
}


class RollbackBody(msgspec.Struct, forbid_unknown_fields=True):
    """POST /routes/rollback. *written*: the caller writes the files, and only says so."""

    hash: str
    written: bool = False


class CandidateFile(msgspec.Struct, forbid_unknown_fields=True):
    """A route file that lies nowhere."""

    name: str
    text: str


class ReplayBody(msgspec.Struct, forbid_unknown_fields=True):
    """POST /routes/replays."""

    files: list[CandidateFile]
    since: str = SINCE


@dataclass(frozen=True, slots=True)
class Proving:
    """What the endpoints need. *prove* runs the tests of route files, *doubts* is lint."""

    proof: Proof
    replays: Replays
    prove: Prove
    doubts: Callable[[Loaded], Sequence[Fault]]
    locale: Callable[[], str]

    @property
    def rules(self) -> Rules:
        return self.proof.rules

    def routes(self) -> list[Route]:
        """Return the table: method, path, least role, handler."""
        return [
            Route("GET", "/routes/status", "readonly", self.status),
            Route("GET", "/routes/lint", "readonly", self.lint),
            Route("GET", "/routes/history", "readonly", self.history),
            Route("GET", "/routes/history/{id}", "readonly", self.version),
            Route("GET", "/routes/diff", "readonly", self.diff),
            Route("POST", "/routes/rollback", "admin", self.rollback),
            Route("GET", "/routes/shadow", "readonly", self.shadow),
            Route("POST", "/routes/replays", "supervisor", self.replay),
            Route("GET", "/routes/replays/{id}", "readonly", self.replayed),
        ]

    async def status(self, _: Ask) -> web.Response:
        """Which rules every process uses, and what is wrong with the files as they are now."""
        return answer(standing.shape(await standing.all_of_them(self.proof.store, self.proof.now())))

    async def lint(self, ask: Ask) -> web.Response:
        """What lint finds in the configuration in use, in the order of files and lines; `?language=` is zh or en."""
        language = ask.query("language") or self.locale()
        found = await asyncio.to_thread(self.doubts, self.proof.live.current)
        return listing([finding(one, chinese=language.startswith("zh")) for one in found])

    async def history(self, ask: Ask) -> web.Response:
        """Every change of the rules in use, newest first."""
        cursor = ask.query("cursor")
        if cursor and not AT.fullmatch(cursor):
            raise Problem(400, "Bad parameter", "this is no cursor of this list")
        loads, following = await self.proof.archive.history(ask.limit(), cursor)
        current = self.rules.version.hash
        return listing(
            [
                {"hash": one.hash, "at": rfc3339(one.at), "by": one.by, "how": one.how, "in_use": one.hash == current}
                for one in loads
            ],
            following,
        )

    async def version(self, ask: Ask) -> web.Response:
        """One rule set, with its files as they were written."""
        found = await self.proof.archive.find(ask.part("id"))
        return answer({"hash": found.hash, "files": found.files, "timezone": str(found.timezone)})

    async def diff(self, ask: Ask) -> web.Response:
        """What differs between two rule sets, as a unified diff; by default between one and that in use."""
        old = await self._version(ask.query("from"))
        new = await self._version(ask.query("to"))
        return answer({"from": old.hash, "to": new.hash, "lines": await asyncio.to_thread(diff, old, new)})

    async def _version(self, digits: str) -> Version:
        return await self.proof.archive.find(digits) if digits else self.rules.version

    async def rollback(self, ask: Ask) -> web.Response:
        """Write the route files as they were in an earlier rule set; the hub then loads them as after any change."""
        body = await ask.body(RollbackBody)
        version = await self.proof.archive.find(body.hash)
        live = self.proof.live
        try:
            planned = await asyncio.to_thread(plan, live.current.path, version.hash, version.files, live.imagine)
        except Impossible as error:
            raise Problem(
                409, "The rule set cannot be used any more", str(error), reasons=list(error.reasons)
            ) from None
        await self.proof.archive.ask(planned.result, ask.token.name)
        changed: dict[Path, Path] = {}
        if not body.written:
            try:
                changed = await asyncio.to_thread(planned.carry_out, self.proof.now())
            except OSError as error:
                detail = f"{error.strerror or type(error).__name__}; huiliu routes rollback does it where you may write"
                raise Problem(409, "The hub may not write the route files", detail) from None
        return answer(
            {
                "hash": planned.result.hash,
                "wanted": version.hash,
                "changed": [{"file": str(path), "copy": str(copy)} for path, copy in changed.items()],
            }
        )

    async def shadow(self, _: Ask) -> web.Response:
        """What the candidate in the shadow would have done otherwise, counted by all processes."""
        rules, shadow = self.rules, self.proof.shadow
        faults = [str(fault) for fault in rules.shadow_faults]
        return answer(
            {
                "state": "faulty" if faults else "watching" if shadow.pair is not None else "none",
                "live": rules.tree.hash,
                "candidate": rules.shadow.hash if rules.shadow is not None else None,
                "faults": faults,
                "report": reporting.plain(await shadow.report()),
            }
        )

    async def replay(self, ask: Ask) -> web.Response:
        """Begin to run stored messages through a candidate; 202 with where to ask how far it is."""
        body = await ask.body(ReplayBody, MAX_CANDIDATE)
        try:
            since = self.proof.now() - duration(body.since)
        except Wrong as error:
            raise Problem(422, "The body does not fit", f"since: expected {error.expected}") from None
        if not body.files:
            raise Problem(422, "The body does not fit", "files: expected at least one route file")
        pair = await asyncio.to_thread(self._pair, body.files)
        state = await self.replays.order(pair, since)
        return answer(shown(state), 202)

    def _pair(self, files: list[CandidateFile]) -> Pair:
        loaded = self.proof.live.current
        # Without variables: whoever may try rules need not know the secrets of the hub's environment.
        documents = [understand(Path(file.name or "candidate.yaml"), file.text.encode(), environ={}) for file in files]
        # Nor may rules be a way to look into files of this machine.
        known = {Path(os.path.normpath(path)): text.encode() for path, text in loaded.words.items()}
        lists = Wordlists(loaded.path.parent, known, closed=True)
        tried = candidate(loaded, documents, prove=self.prove, lists=lists)
        if tried.loaded is None:
            faults = [str(fault) for fault in tried.faults]
            raise Problem(422, "The candidate has faults", "\n".join(faults), faults=faults)
        return Pair.of(self.rules.tree, grow(snapshot(tried.loaded)), loaded.settings)

    async def replayed(self, ask: Ask) -> web.Response:
        """How far a replay is, and what it found."""
        state = await self.replays.find(ask.part("id"))
        if state is None:
            raise Problem(404, "There is no such replay", "What a replay found is kept for a day.")
        return answer(shown(state))


def finding(one: Fault, *, chinese: bool) -> dict[str, Any]:
    """Return what lint found as the API shows it; of the file only its name is told."""
    worded = translation.translated(one.what) if chinese else one.what
    expected = translation.expected(one.expected) if chinese else one.expected
    return {
        "file": Path(one.file).name,
        "line": one.line,
        "column": one.column,
        "path": one.path,
        "what": worded,
        "expected": expected or None,
        "rule": one.rule or None,
        "severity": one.severity,
    }


def shown(state: State) -> dict[str, Any]:
    """Return a replay as the API shows it."""
    plain: dict[str, Any] = msgspec.to_builtins(state)
    return {**plain, "since": rfc3339(state.since), "at": rfc3339(state.at)}
