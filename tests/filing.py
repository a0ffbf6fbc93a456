"""A shop's answers and conversations for tests of reports: made by a fixed seed, and written as the hub writes them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from inbox.conversations import Change, commit
from inbox.partitions import digest, partition_of
from inbox.store import Store
from inbox.wakes import Wakes
from outbox.invitations import Given, Invitations
from outbox.responses import SUPPRESSED, Answer, Invitation

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
GOOD = (
    "客服态度很好，问题解决很快",
    "物流很快，包装严实",
    "回复及时，很耐心",
    "质量不错，会再来",
    "Fast delivery and friendly service",
    "解决问题很快，客服耐心",
)
BAD = (
    "退款太慢，等了十天",
    "包装破损，退款麻烦",
    "客服半天不回复",
    "退款一直没有到账，电话13812345678没人接",
    "slow refund, nobody answers",
    "物流太慢，包装破损",
)
TEAMS = {"aftersales": ("lilei", "hanmeimei"), "frontdesk": ("wangfang",), "complaints": ("lilei",)}
TAGS = ("refund", "delivery", "quality")
CHANNELS = ("shop-wechat", "service-mail", "sms-cn")


@dataclass(frozen=True, slots=True)
class Shop:
    """What `answers` makes: how many are asked per day, and how much better the second half of the days is."""

    survey: str = "csat"
    per_day: int = 12
    better: float = 0.12
    low: int = 1
    high: int = 5


def answers(shop: Shop, since: int, days: int, seed: int = 7) -> list[tuple[Invitation, Given | None]]:
    """Return invitations with what was answered, oldest first."""
    chance = random.Random(seed)
    return [
        _one(shop, chance, since + day * DAY + 9 * HOUR + number * 20 * MINUTE, day / days)
        for day in range(days)
        for number in range(shop.per_day)
    ]


def _one(shop: Shop, chance: random.Random, at: int, progress: float) -> tuple[Invitation, Given | None]:
    team = chance.choices(list(TEAMS), (5, 3, 2))[0]
    agents = TEAMS[team][: chance.choice((1, 1, 2))]
    address = f"wechat:o{chance.getrandbits(60):x}"
    name = digest("filing", shop.survey, address)
    suppressed = chance.random() < 0.06
    sent = 0 if suppressed else at + 10 * MINUTE
    invitation = Invitation(
        id=f"i{partition_of(address)}-{name}",
        survey=shop.survey,
        version="1a2b3c4d",
        channel=chance.choices(CHANNELS, (6, 3, 1))[0],
        address=address,
        contact=f"k{partition_of(address)}-{name[:12]}",
        conversation="",
        team=team,
        agent=agents[-1],
        agents=agents,
        tags=tuple(one for one in TAGS if chance.random() < 0.4),
        stage="complaint" if team == "complaints" else "aftersale",
        topic=chance.choice(("refund", "delivery")),
        language="zh",
        created=at,
        sent=sent,
        expires=sent + 7 * DAY if sent else 0,
        state=SUPPRESSED if suppressed else "sent",
        reason="cool_down" if suppressed else "",
    )
    if suppressed or chance.random() > 0.42:
        return invitation, None
    happy = chance.random() < {"aftersales": 0.74, "frontdesk": 0.8, "complaints": 0.45}[team] + shop.better * (
        1 if progress >= 0.5 else 0
    )
    span = shop.high - shop.low
    score = shop.high - (chance.random() < 0.35) if happy else shop.low + chance.randrange(max(1, span // 2 + 1))
    given = [Answer("score", int(score))]
    if chance.random() < 0.6:
        given.append(Answer("comment", chance.choice(GOOD if happy else BAD)))
    via = chance.choice(("button", "reply", "page"))
    return invitation, Given(f"f{name}", via, sent + 20 * MINUTE, tuple(given), seconds=chance.randrange(8, 90))


async def file(store: Store, made: Sequence[tuple[Invitation, Given | None]]) -> None:
    """Keep invitations and answers as the hub does."""
    invitations = Invitations(store, Wakes(store))
    turns = asyncio.Semaphore(64)

    async def one(invitation: Invitation, given: Given | None) -> None:
        async with turns:
            await invitations.create(invitation, None)
            if given is not None:
                asked: dict[str, Any] = {"flags": "", "version": invitation.version, "event": "score"}
                told = {"invitation": invitation.id, "via": "page"}  # nobody is to be thanked
                assert await invitations.take(invitation, given, complete=True, told=told, **asked) == "taken"

    async with asyncio.TaskGroup() as group:
        for invitation, given in made:
            group.create_task(one(invitation, given))


@dataclass(frozen=True, slots=True)
class Told:
    """A conversation to be filed: its fields as `Conversation` names them, and its course."""

    key: str
    values: dict[str, Any]
    partition: int


def conversations(count: int, since: int, days: int, seed: int = 11) -> list[Told]:
    """Return conversations of a shop, with courses as the hub writes them."""
    chance = random.Random(seed)
    return [_conversation(chance, number, since, days) for number in range(count)]


def _conversation(chance: random.Random, number: int, since: int, days: int) -> Told:
    hour = chance.choices(range(24), [1] * 8 + [6, 9, 11, 9, 6, 7, 9, 10, 9, 8, 9, 11, 12, 10, 5, 2])[0]
    opened = since + chance.randrange(days) * DAY + hour * HOUR + chance.randrange(HOUR)
    team = chance.choices(list(TEAMS), (5, 4, 2))[0]
    words, last, answered, resolved = [f"W{opened}"], opened, 0, 0
    for turn in range(chance.choice((1, 1, 2, 3))):
        if turn:
            gap = int(chance.expovariate(1 / (25 * MINUTE))) + 1000
            words.append(f"w{gap}")
            last += gap
        gap = int(chance.lognormvariate(13.2, 1.1)) + 1000
        words.append(f"a{gap}")
        last += gap
        answered = answered or last
    if chance.random() < 0.93:
        gap = int(chance.lognormvariate(15.2, 0.9))
        words.append(f"r{gap}")
        resolved = last + gap
    address = f"wechat:o{chance.getrandbits(60):x}"
    values = {
        "channel": chance.choices(CHANNELS, (6, 3, 1))[0],
        "kind": "wechat",
        "address": address,
        "contact": f"k{partition_of(address)}-{number}",
        "status": "resolved" if resolved else "pending",
        "team": team,
        "agent": chance.choice(TEAMS[team]),
        "tags": tuple(one for one in TAGS if chance.random() < 0.3),
        "stage": "aftersale",
        "opened_at": opened,
        "last_message_at": last,
        "first_reply_at": answered,
        "resolved_at": resolved,
        "messages": 2 * len(words),
        "course": " ".join(words),
    }
    return Told(digest("told", str(number), address), values, partition_of(address))


async def tell(store: Store, told: Sequence[Told]) -> None:
    """Keep conversations as the hub does."""
    turns = asyncio.Semaphore(128)

    async def one(each: Told) -> None:
        async with turns:
            await commit(store, each.partition, Change(id=each.key, set=each.values))

    for start in range(0, len(told), 2000):
        async with asyncio.TaskGroup() as group:
            for each in told[start : start + 2000]:
                group.create_task(one(each))
