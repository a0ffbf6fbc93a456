"""Who of an audience is asked: by chance that can be repeated, exactly within strata, within quotas. Pure."""

from __future__ import annotations

import datetime as dt
import hashlib
import math
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from config.surveys import Audience, Sampling, Strata


@dataclass(frozen=True, slots=True)
class Case:
    """What is known of one person who might be asked, and of the service that they had."""

    channel: str
    kind: str = ""
    team: str = ""
    agent: str = ""
    agents: tuple[str, ...] = ()
    stage: str = ""
    tags: tuple[str, ...] = ()
    topic: str = ""
    language: str = ""
    contact_tags: tuple[str, ...] = ()
    tier: str = ""


def meant(audience: Audience, case: Case) -> bool:
    """Tell whether *audience* includes *case*: everything that is given holds, of a list one item."""
    served = {case.agent, *case.agents} - {""}
    return (
        (not audience.channels or case.channel in audience.channels)
        and (not audience.kinds or case.kind in audience.kinds)
        and (not audience.teams or case.team in audience.teams)
        and (not audience.agents or not served.isdisjoint(audience.agents))
        and (not audience.stages or case.stage in audience.stages)
        and (not audience.tags or not set(case.tags).isdisjoint(audience.tags))
        and (not audience.topics or case.topic in audience.topics)
        and (not audience.languages or any(f"{case.language}-".startswith(f"{one}-") for one in audience.languages))
        and (not audience.contact_tags or not set(case.contact_tags).isdisjoint(audience.contact_tags))
        and (not audience.tiers or case.tier in audience.tiers)
    )


def lot(seed: int, *words: str) -> float:
    """Return a number from 0 up to 1 that depends on nothing but *seed* and *words*."""
    text = "\x00".join([str(seed), *words])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest()) / 2**64


def drawn(sampling: Sampling, survey: str, unit: str) -> bool:
    """Tell whether chance takes *unit*: the same seed, survey and unit always give the same answer."""
    return lot(sampling.seed, survey, unit) * 100 < sampling.rate


def stratum(strata: Strata, case: Case) -> str:
    """Return the group that *case* belongs to: the values of what makes groups, joined with a slash."""
    return "/".join(str(getattr(case, name)) or "-" for name in strata.by)


def taken(sampling: Sampling, survey: str, group: str, number: int) -> bool:
    """Tell whether the *number*-th unit (0 = the first) of a group is taken.

    Of every block of units, as many as the rate says are taken: 3 of 10 at 30 %. Which ones is shuffled by the seed,
    so that nobody can tell who is next.
    """
    assert sampling.strata is not None
    rate = sampling.strata.rates.get(group, sampling.rate)
    size = 100 // math.gcd(rate, 100)
    block, place = divmod(number, size)
    order = sorted(range(size), key=lambda index: lot(sampling.seed, survey, group, str(block), str(index)))
    return place in order[: rate * size // 100]


def period(per: str, now: int, zone: ZoneInfo) -> str:
    """Return the name of the day, week or month that *now* is in; "" where a quota holds altogether."""
    local = dt.datetime.fromtimestamp(now / 1000, zone)
    match per:
        case "day":
            return f"{local:%Y-%m-%d}"
        case "week":
            year, week, _ = local.isocalendar()
            return f"{year}-W{week:02}"
        case "month":
            return f"{local:%Y-%m}"
        case _:
            return ""
