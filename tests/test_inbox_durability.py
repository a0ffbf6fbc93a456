"""What the store promises to keep: read from real servers, judged by a table."""

from __future__ import annotations

from typing import Any

import pytest
import redis.asyncio as redis_asyncio

from inbox.durability import Asked, Durability, judge, read, weakest

SOUND = {
    "server": "valkey",
    "version": "9.1.2",
    "appendonly": True,
    "appendfsync": "always",
    "maxmemory_policy": "noeviction",
    "replicas": 0,
    "min_replicas_to_write": 0,
}


def durability(**changes: object) -> Durability:
    """A sound store, but for *changes*."""
    return Durability(**{**SOUND, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "asked", "expected"),
    [
        ({}, "always", []),
        ({}, "everysec", []),
        ({"appendfsync": "everysec"}, "everysec", []),
        ({"appendfsync": "everysec"}, "always", [("refuse", "appendfsync everysec")]),
        ({"appendfsync": "no"}, "always", [("refuse", "appendfsync no")]),
        ({"appendfsync": "no"}, "everysec", [("refuse", "appendfsync no")]),
        ({"appendfsync": None}, "always", [("warn", "does not tell its appendfsync")]),
        ({"appendfsync": None}, "everysec", [("warn", "does not tell its appendfsync")]),
        ({"appendonly": False}, "always", [("refuse", "appendonly no")]),
        ({"appendonly": False}, "everysec", [("refuse", "appendonly no")]),
        ({"appendonly": False, "appendfsync": "no"}, "always", [("refuse", "appendonly no")]),
        ({"appendonly": None}, "always", [("warn", "append-only log")]),
        ({"maxmemory_policy": "allkeys-lru"}, "always", [("refuse", "maxmemory-policy allkeys-lru")]),
        ({"maxmemory_policy": "volatile-ttl"}, "everysec", [("refuse", "maxmemory-policy volatile-ttl")]),
        ({"maxmemory_policy": None}, "always", [("warn", "does not tell its maxmemory-policy")]),
        ({"replicas": 1}, "always", [("warn", "min-replicas-to-write 0")]),
        ({"replicas": 1, "min_replicas_to_write": 1}, "always", []),
        ({"replicas": 1, "min_replicas_to_write": None}, "always", []),
        ({"write_error": True}, "always", [("warn", "is its disk full?")]),
        (
            {"appendfsync": "everysec", "maxmemory_policy": "allkeys-lfu"},
            "always",
            [("refuse", "appendfsync everysec"), ("refuse", "allkeys-lfu")],
        ),
        (
            {"appendonly": None, "appendfsync": None, "maxmemory_policy": None, "replicas": None},
            "always",
            [("warn", "append-only log"), ("warn", "appendfsync"), ("warn", "maxmemory-policy")],
        ),
    ],
)
def test_judges(changes: dict[str, object], asked: Asked, expected: list[tuple[str, str]]) -> None:
    """Whatever is weaker than asked is refused, what is unknown is a warning, and each names the setting."""
    findings = judge(durability(**changes), asked)

    assert [level for level, _ in expected] == [finding.level for finding in findings]
    for (_, words), finding in zip(expected, findings, strict=True):
        assert words in finding.message


@pytest.mark.parametrize(
    ("settings", "facts", "expected"),
    [
        (
            {
                "appendonly": "yes",
                "appendfsync": "always",
                "maxmemory-policy": "noeviction",
                "min-replicas-to-write": "1",
            },
            {"redis_version": "7.2.4", "valkey_version": "9.1.2", "connected_slaves": "2"},
            Durability("valkey", "9.1.2", True, "always", "noeviction", 2, 1),
        ),
        (
            {},
            {
                "redis_version": "7.0.15",
                "aof_enabled": "1",
                "maxmemory_policy": "volatile-lru",
                "connected_slaves": "0",
            },
            Durability("redis", "7.0.15", True, None, "volatile-lru", 0, None),
        ),
        (
            {},
            {"redis_version": "7.0.15", "aof_enabled": "0", "aof_last_write_status": "err"},
            Durability("redis", "7.0.15", False, None, None, None, None, True),
        ),
        ({}, {}, Durability()),
    ],
)
def test_reads_answers(settings: dict[str, str], facts: dict[str, str], expected: Durability) -> None:
    """CONFIG and INFO complete each other, and what neither tells stays unknown."""
    assert expected == Durability.parse(settings, facts)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ([{}, {}, {}], {}),
        ([{}, {"appendfsync": "everysec"}, {"appendfsync": None}], {"appendfsync": "everysec"}),
        ([{}, {"appendfsync": None}], {"appendfsync": None}),
        ([{"appendonly": None}, {"appendonly": False}, {}], {"appendonly": False}),
        ([{"appendonly": None}, {}], {"appendonly": None}),
        ([{}, {"maxmemory_policy": "allkeys-lru"}, {"maxmemory_policy": None}], {"maxmemory_policy": "allkeys-lru"}),
        ([{}, {"replicas": 2}, {"replicas": None}], {"replicas": 2}),
        ([{"min_replicas_to_write": 1}, {"min_replicas_to_write": 0}], {"min_replicas_to_write": 0}),
        ([{}, {"write_error": True}], {"write_error": True}),
    ],
)
def test_a_cluster_is_as_weak_as_its_weakest_node(
    changes: list[dict[str, object]], expected: dict[str, object]
) -> None:
    """One weak node of many decides, and an unknown one is not taken for sound."""
    nodes = [durability(**change) for change in changes]

    assert durability(nodes=len(nodes), **expected) == weakest(nodes)


def client(url: str, **options: Any) -> redis_asyncio.Redis | redis_asyncio.RedisCluster:
    """Open the store under test as the hub's own commands do."""
    if url.startswith("redis+cluster"):
        return redis_asyncio.RedisCluster.from_url(url.replace("redis+cluster", "redis", 1), **options)
    return redis_asyncio.Redis.from_url(url, **options)


@pytest.mark.parametrize(
    "options",
    [{}, {"decode_responses": True}, {"protocol": 2}, {"protocol": 3, "legacy_responses": False}],
    ids=["default", "decoded", "RESP2", "RESP3"],
)
async def test_reads_a_real_store(store_url: str, options: dict[str, Any]) -> None:
    """However the client was opened, a real store's settings are read and found sound."""
    async with client(store_url, **options) as opened:
        found = await read(opened)

    assert (
        found.appendonly,
        found.appendfsync,
        found.maxmemory_policy,
        found.replicas,
        found.min_replicas_to_write,
    ) == (True, "always", "noeviction", 0, 0)
    assert judge(found, "always") == []
    assert found.nodes == (3 if "cluster" in store_url else 1)


async def send(opened: redis_asyncio.Redis, *command: str) -> None:
    """Run a command for which redis-py has no typed method."""
    await opened.execute_command(*command)  # type: ignore[no-untyped-call]


async def test_a_store_that_forbids_config(store_url: str) -> None:
    """Where CONFIG is forbidden, as in most managed stores, INFO tells the rest and fsync stays unknown."""
    if "cluster" in store_url:
        pytest.skip("users are made on one node only")
    async with redis_asyncio.Redis.from_url(store_url) as admin:
        await send(admin, "ACL", "SETUSER", "hub", "on", ">pass", "~*", "+@all", "-config")
        await send(admin, "ACL", "SETUSER", "mute", "on", ">pass", "~*", "+@all", "-config", "-info")
        try:
            found = {}
            for user in ("hub", "mute"):
                where = admin.connection_pool.connection_kwargs | {"username": user, "password": "pass"}
                kind = admin.connection_pool.connection_class
                pool = redis_asyncio.ConnectionPool(connection_class=kind, **where)
                async with redis_asyncio.Redis.from_pool(pool) as limited:
                    found[user] = await read(limited)
        finally:
            await send(admin, "ACL", "DELUSER", "hub", "mute")

    assert (
        found["hub"].appendonly,
        found["hub"].appendfsync,
        found["hub"].maxmemory_policy,
    ) == (True, None, "noeviction")
    assert {"warn"} == {finding.level for finding in judge(found["hub"], "always")}
    assert Durability() == found["mute"]


async def test_sees_what_changed(store_url: str) -> None:
    """A store that somebody weakened while it runs is seen for what it is."""
    if "cluster" in store_url:
        pytest.skip("CONFIG SET goes to every node of a cluster, and one weak node is in the table above")
    async with redis_asyncio.Redis.from_url(store_url) as opened:
        await opened.config_set("appendfsync", "everysec")
        try:
            found = await read(opened)
        finally:
            await opened.config_set("appendfsync", "always")

    assert [finding.level for finding in judge(found, "always")] == ["refuse"]
