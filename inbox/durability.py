"""What the store really promises to keep, read from the store itself, and whether that is enough.

The measured reasons stand in docs/decisions/0002-embedded-store.md: with `appendfsync everysec` a
plain kill of the server loses acknowledged writes, and an eviction policy deletes the inbox when
memory is short.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

from redis.asyncio import Redis, RedisCluster
from redis.exceptions import ResponseError

Asked = Literal["always", "everysec"]

SETTINGS = ("appendonly", "appendfsync", "maxmemory-policy", "min-replicas-to-write")


@dataclass(frozen=True, slots=True)
class Durability:
    """What one node says of itself; None means that it does not tell (managed stores often forbid CONFIG).

    *server* is "valkey" or "redis". *replicas* counts the connected ones. *write_error* is true
    when the last append to the log failed. *nodes* says for how many primaries this stands.
    """

    server: str = "unknown"
    version: str = ""
    appendonly: bool | None = None
    appendfsync: str | None = None
    maxmemory_policy: str | None = None
    replicas: int | None = None
    min_replicas_to_write: int | None = None
    write_error: bool = False
    nodes: int = 1

    @classmethod
    def parse(cls, settings: dict[str, str], facts: dict[str, str]) -> Self:
        """Read the answers of CONFIG GET and INFO; either may be empty. CONFIG wins where both tell."""
        valkey = facts.get("valkey_version")
        appendonly = settings.get("appendonly") or {"1": "yes", "0": "no"}.get(facts.get("aof_enabled", ""))
        return cls(
            server="valkey" if valkey else "redis" if "redis_version" in facts else "unknown",
            version=valkey or facts.get("redis_version", ""),
            appendonly=None if appendonly is None else appendonly == "yes",
            appendfsync=settings.get("appendfsync"),
            maxmemory_policy=settings.get("maxmemory-policy") or facts.get("maxmemory_policy"),
            replicas=whole(facts.get("connected_slaves")),
            min_replicas_to_write=whole(settings.get("min-replicas-to-write")),
            write_error=facts.get("aof_last_write_status", "ok") != "ok",
        )


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is weaker than asked ("refuse": do not start on it) or worth knowing ("warn")."""

    level: Literal["refuse", "warn"]
    message: str


async def read(client: Redis | RedisCluster) -> Durability:
    """Ask the store, every primary of a cluster, and return the weakest answer for each setting.

    What the store forbids to ask is None in the result. Raises redis-py's connection errors.
    """
    if isinstance(client, RedisCluster):
        return weakest([await read_node(client, target_nodes=node) for node in client.get_primaries()])
    return await read_node(client)


async def read_node(client: Redis | RedisCluster, **where: Any) -> Durability:
    """Ask one node; *where* is the cluster client's `target_nodes`."""
    settings: dict[str, str] = {}
    facts: dict[str, str] = {}
    for setting in SETTINGS:  # one by one: servers before 7.0 and some proxies take one pattern only
        with contextlib.suppress(ResponseError):
            settings |= flat(await client.execute_command("CONFIG GET", setting, **where))
    for section in ("server", "persistence", "memory", "replication"):
        with contextlib.suppress(ResponseError):
            facts |= flat(await client.execute_command("INFO", section, **where))
    return Durability.parse(settings, facts)


def flat(answer: Any) -> dict[str, str]:
    """Turn an answer into plain strings, whichever protocol and decoding the client was opened with."""
    if isinstance(answer, list):
        answer = dict(zip(answer[::2], answer[1::2], strict=True))
    return {text(name): text(value) for name, value in answer.items()}


def text(value: Any) -> str:
    """Return *value* as text."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def whole(value: str | None) -> int | None:
    """Return a number that the store printed, None if it printed none."""
    return int(value) if value is not None and value.isdigit() else None


def weakest(nodes: Sequence[Durability]) -> Durability:
    """Combine the primaries of a cluster: it keeps no more than its weakest node does."""
    return replace(
        nodes[0],
        appendonly=min((node.appendonly for node in nodes), key=[False, None, True].index),
        appendfsync=min((node.appendfsync for node in nodes), key=strength),
        maxmemory_policy=min((node.maxmemory_policy for node in nodes), key=mercy),
        replicas=max((node.replicas for node in nodes if node.replicas is not None), default=None),
        min_replicas_to_write=min(
            (node.min_replicas_to_write for node in nodes if node.min_replicas_to_write is not None), default=None
        ),
        write_error=any(node.write_error for node in nodes),
        nodes=len(nodes),
    )


def strength(fsync: str | None) -> float:
    """Rank an appendfsync: an unknown one is worse than always and better than a known weak one."""
    return {"always": 2, None: 1.5, "everysec": 1}.get(fsync, 0)


def mercy(policy: str | None) -> int:
    """Rank a maxmemory-policy in the same way."""
    return {"noeviction": 2, None: 1}.get(policy, 0)


def judge(durability: Durability, asked: Asked) -> list[Finding]:
    """Compare what the store keeps with what the configuration asks for; an empty list means that it is enough."""
    return [*judge_log(durability, asked), *judge_memory(durability), *judge_replicas(durability)]


def judge_log(durability: Durability, asked: Asked) -> list[Finding]:
    """Judge the append-only log and its fsync."""
    findings = []
    if durability.appendonly is False:
        findings.append(
            Finding("refuse", f"store.durability asks for {asked}, but the store has appendonly no; set appendonly yes")
        )
    elif durability.appendonly is None:
        findings.append(Finding("warn", "the store does not tell whether it keeps an append-only log (appendonly)"))
    fsync = durability.appendfsync
    if durability.appendonly is not False:
        if fsync is None:
            findings.append(Finding("warn", f"the store does not tell its appendfsync; {asked} is asked for"))
        elif strength(fsync) < strength(asked):
            findings.append(
                Finding(
                    "refuse",
                    f"store.durability asks for {asked}, but the store has appendfsync {fsync}; "
                    f"set appendfsync {asked}" + (", or ask for everysec" if fsync == "everysec" else ""),
                )
            )
    if durability.write_error:
        findings.append(
            Finding("warn", "the store could not write its append-only log the last time; is its disk full?")
        )
    return findings


def judge_memory(durability: Durability) -> list[Finding]:
    """Judge what happens when memory is short."""
    policy = durability.maxmemory_policy
    if policy is None:
        return [Finding("warn", "the store does not tell its maxmemory-policy; only noeviction keeps every message")]
    if policy == "noeviction":
        return []
    advice = "which deletes messages when memory is short; set maxmemory-policy noeviction"
    return [Finding("refuse", f"the store has maxmemory-policy {policy}, {advice}")]


def judge_replicas(durability: Durability) -> list[Finding]:
    """Judge failover: replication is asynchronous, so a new primary may lack what the old one acknowledged."""
    if durability.replicas and durability.min_replicas_to_write == 0:
        return [
            Finding(
                "warn",
                "the store has replicas but min-replicas-to-write 0: a failover may lose acknowledged writes; "
                "set min-replicas-to-write 1",
            )
        ]
    return []
