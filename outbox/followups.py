"""A low score becomes work, once: the conversation is opened again for a team, with a note, and its clocks start."""

from __future__ import annotations

from typing import Any

import msgspec

from config.surveys import FollowUp, Survey
from inbox import log as logbook
from inbox.conversations import PRIORITIES, Change, Conflict, Conversation, NoConversation, Value, commit, load, stepped
from inbox.course import OPENED, extended
from inbox.partitions import Id, digest, key, parse_id, partition_of, tag
from inbox.work import HUB, encode
from outbox.means import Means
from outbox.responses import Invitation
from outbox.survey_words import say

TRIES = 16


async def open_follow_up(means: Means, survey: Survey, one: Invitation, score: int, comment: str) -> bool:
    """Open the follow-up of a low *score*; False if that was done. Raises `Conflict`, `StoreError`."""
    assert survey.follow_up is not None
    assert survey.main is not None
    language = means.settings().locale
    note = say(language, "follow_up", survey=one.survey, score=score, most=survey.main.max)
    if comment:
        note += "\n" + say(language, "follow_up_comment", comment=comment)
    for _ in range(TRIES):
        try:
            known = await load(means.store, one.conversation) if one.conversation else None
        except NoConversation:
            known = None
        if known is None:
            place = Id("c", partition_of(one.address), digest("follow-up", one.id))
            change = await _fresh(means, survey.follow_up, one, place, note)
        else:
            place = known.place
            change = _reopened(means, survey.follow_up, one, known, note)
        try:
            done = await commit(means.store, place.partition, change)
        except Conflict:
            continue
        if known is None and done.fresh:
            name = key(place.partition, f"a:{one.address}")
            await means.store.do(tag(place.partition), "HSETNX", name, f"conv:{one.channel}", str(place))
        means.wakes.ring((f"p{place.partition}",))
        return done.fresh
    raise Conflict


def _reopened(means: Means, wanted: FollowUp, one: Invitation, known: Conversation, note: str) -> Change:
    """Return the change that opens the customer's own conversation for a follow-up."""
    now = means.now()
    values = _values(wanted, known.priority, known.tags)
    story: dict[str, Any] = {"from": known.status, "because": "low_score", "survey": one.survey, "invitation": one.id}
    if wanted.team is not None and wanted.team != known.team:
        values |= {"team": wanted.team, "agent": "", "route": "", "assigned_at": now, "why": f"survey {one.survey}"}
        story |= {"from_team": known.team, "from_agent": known.agent}
    logged: list[tuple[str, list[Value]]] = []
    place = known.place
    if known.status == "resolved":
        values |= {"status": "open", "snoozed_until": 0, **stepped(known, OPENED, now)}
        logged.append(("s", _event(place.key, "reopened", now, story)))
    else:
        logged.append(("s", _event(place.key, "follow_up", now, story)))
    logged.append(("n", _note(place.key, now, note)))
    return Change(
        id=place.key,
        version=known.version,
        unless=f"fu:{one.place.key}",
        set=values,
        records=[(f"fu:{one.place.key}", ["at", now])],
        log=logged,
        unmarks=(("snoozed", place.key),) if known.status == "resolved" else (),
    )


async def _fresh(means: Means, wanted: FollowUp, one: Invitation, place: Id, note: str) -> Change:
    """Return the change that opens a conversation with somebody who was asked without one."""
    now = means.now()
    channel = means.channels.get(one.channel)
    partition = place.partition
    record = await means.store.do(tag(partition), "HGET", key(partition, f"a:{one.address}"), "contact")
    contact = record or f"k{partition}-{digest('contact', one.address)}"
    values = {
        "channel": one.channel,
        "kind": channel.kind if channel is not None else "",
        "address": one.address,
        "contact": contact,
        "opened_at": now,
        "last_message_at": now,
        "status": "open",
        "subject": note.partition("\n")[0],
        "language": one.language,
        "course": extended("", OPENED, now),
        "team": wanted.team or one.team or next(iter(means.settings().teams), ""),
        **_values(wanted, "normal", ()),
    }
    records: list[tuple[str, list[Value]]] = [(f"fu:{one.place.key}", ["at", now])]
    if not record:
        records.append((f"a:{one.address}", ["contact", contact]))
        records.append((f"k:{parse_id(contact, 'k').key}", ["addresses", one.address, "since", now]))
    story = {"because": "low_score", "survey": one.survey, "invitation": one.id, "from": ""}
    return Change(
        id=place.key,
        unless=f"fu:{one.place.key}",
        set={name: value for name, value in values.items() if value},
        records=records,
        log=[("s", _event(place.key, "reopened", now, story)), ("n", _note(place.key, now, note))],
    )


def _values(wanted: FollowUp, priority: str, tags: tuple[str, ...]) -> dict[str, Any]:
    """Return what a follow-up sets on its conversation; a priority is raised, never lowered."""
    values: dict[str, Any] = {"tags": tuple(dict.fromkeys((*tags, *wanted.tags)))}
    if PRIORITIES.index(wanted.priority) > PRIORITIES.index(priority):
        values["priority"] = wanted.priority
    if wanted.sla is not None:
        values["sla"] = wanted.sla
    return values


def _event(conversation: str, name: str, now: int, story: dict[str, Any]) -> list[Value]:
    fields: list[Value] = ["t", logbook.STATE, "c", conversation, "ev", name, "at", now, "au", encode(HUB)]
    return [*fields, "b", msgspec.json.encode(story).decode()]


def _note(conversation: str, now: int, text: str) -> list[Value]:
    return ["t", logbook.NOTE, "c", conversation, "at", now, "au", encode(HUB), "tx", text]
