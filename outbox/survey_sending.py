"""Sends invitations when their time has come, reminds once, ends what has expired, and asks at the times of schedules.

Every job stands in the store with its time; doing one twice changes nothing.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections import Counter
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import aiohttp
import msgspec

from config.hours import weekdays
from config.surveys import Incentive, Resolved, Scheduled, Survey
from inbox.conversations import Conversation, load_many
from inbox.leases import Held
from inbox.partitions import Id, key, partition_of, tag
from inbox.store import Script, StoreError
from outbox.asking import Asked, approved, invite
from outbox.invitations import DUE, RUNS, body
from outbox.means import Means
from outbox.obstacles import Obstacle, Sending
from outbox.planner import prefers_templates
from outbox.responses import ANSWERED, EXPIRED, SENT, SUPPRESSED, WAITING, Invitation
from outbox.survey_answers import CHATS, SurveyAnswers
from outbox.survey_post import INVITE, REMIND, belongs, conversation_of, post, within
from outbox.surveys import Surveys, after_quiet, running

log = logging.getLogger(__name__)

FORGET = Script.load(Path(__file__).parent / "scripts" / "forget.lua")
AT_ONCE = 100
AGAIN = 60_000
HELD = 3_600_000  # how long to wait where nobody says until when something stands in the way
WEBHOOK_TIMEOUT = 5.0
WEBHOOK_LIFE = 2 * 24 * 3_600_000
MISSED = 24 * 3_600_000  # a time of a schedule that was missed by more than a day is left out
PAGE = 200


class SurveySending:
    """The jobs of the surveys in the partitions that this process holds. *counts* are by channel and outcome."""

    def __init__(self, means: Means, surveys: Surveys, answers: SurveyAnswers, http: Any) -> None:
        self._means = means
        self._surveys = surveys
        self._answers = answers
        self._http = http
        self.counts: Counter[tuple[str, str]] = Counter()

    async def turn(self, held: Held) -> int | None:
        """Do what is due in a partition; return when the next job is. Raises `StoreError`."""
        if not self._means.surveys():
            return None
        await self._schedules(held)
        slot, name = tag(held.partition), key(held.partition, DUE)
        now = self._means.now()
        for job in await self._means.store.do(slot, "ZRANGEBYSCORE", name, "-inf", now, "LIMIT", 0, AT_ONCE):
            what, _, invitation = job.partition(":")
            try:
                again = await self._job(what, Id("i", held.partition, invitation))
            except StoreError:
                raise
            except Exception:
                log.exception("a job of a survey of partition %d failed; it is tried again", held.partition)
                again = self._means.now() + AGAIN
            if again is None:
                await self._means.store.do(slot, "ZREM", name, job)
            else:
                await self._means.store.do(slot, "ZADD", name, again, job)
        later = await self._means.store.do(slot, "ZRANGE", name, 0, 0, "WITHSCORES")
        return int(float(later[1])) if later else None

    async def _job(self, what: str, place: Id) -> int | None:
        """Do one job; return when to try it again, None when it is done."""
        one = (await self._means.invitations.load_many([place]))[0]
        if one is None:
            return None
        survey = self._means.surveys().get(one.survey)
        if what == "expire":
            return await self._expire(one)
        if survey is None:
            if what == "send" and await self._means.invitations.suppress(one, "withdrawn"):
                await self._surveys.let_go(one)
            return None
        match what:
            case "send":
                return await self._send(survey, one)
            case "remind":
                return await self._remind(survey, one)
            case _:
                return await self._fetch_code(survey, one)

    async def _send(self, survey: Survey, one: Invitation) -> int | None:
        means, now = self._means, self._means.now()
        if one.state != WAITING:
            return None
        conversation = await conversation_of(means, one)
        later = after_quiet(survey.quiet, means.settings().timezone, now)
        if later > now:
            return later
        reason = self._moot(survey, one, conversation)
        if not reason and await self._words(survey, one, conversation) is None:
            one = await self._elsewhere(survey, one)
        if not reason:
            until, reason = await self._obstacles(survey, one, conversation)
            if until is not None and until < one.created + survey.expires:
                return until
        asked = await self._words(survey, one, conversation)
        if reason or asked is None:
            reason = reason or "window_closed"
            if await means.invitations.step(one, (WAITING,), {"state": SUPPRESSED, "reason": reason}):
                self.counts[one.channel, reason] += 1
                await self._surveys.let_go(one)
            return None
        await self._await_words(one)
        delivery, _ = await post(means, one, conversation, asked, INVITE)
        await belongs(means, one, delivery)
        jobs = [("expire", now + survey.expires)]
        if survey.remind is not None:
            jobs.append(("remind", now + survey.remind))
        values: dict[str, str | int] = {
            "state": SENT,
            "sent": now,
            "expires": now + survey.expires,
            "delivery": delivery.id,
        }
        if await means.invitations.step(one, (WAITING,), values, later=jobs):
            self.counts[one.channel, "sent"] += 1
        return None

    async def _words(
        self, survey: Survey, one: Invitation, conversation: Conversation | None, *, reminder: bool = False
    ) -> Asked | None:
        """Return what the channel takes now: the invitation, what its platform has approved, or None."""
        means, occasion = self._means, self._means.occasion(survey, one, conversation)
        channel = means.channels.get(one.channel)
        if channel is not None and prefers_templates(channel.capabilities):
            ready = approved(survey, occasion, channel.kind)
            if ready is not None:
                return ready
        if await means.open(one.channel, one.address):
            return invite(survey, occasion, one.channel, means.capabilities(one.channel), reminder=reminder)
        if channel is None or not channel.capabilities.templates:
            return None
        return approved(survey, occasion, channel.kind)

    async def _elsewhere(self, survey: Survey, one: Invitation) -> Invitation:
        """Return the invitation for another preferred channel that takes it now, or as it is if there is none."""
        for channel, address in await self._means.ways(survey.prefer, one.contact):
            if await self._means.open(channel, address):
                moved = msgspec.structs.replace(one, channel=channel, address=address)
                await self._means.invitations.step(one, (WAITING,), {"b": body(moved)})
                return moved
        return one

    def _moot(self, survey: Survey, one: Invitation, conversation: Conversation | None) -> str:
        """Return why there is no sense in asking any more."""
        if not running(survey, self._means.now(), self._means.settings().timezone):
            return "withdrawn"
        if one.channel not in self._means.settings().channels:
            return "channel_gone"
        opened = conversation is not None and conversation.status != "resolved"
        return "reopened" if opened and isinstance(survey.trigger, Resolved) else ""

    async def _obstacles(
        self, survey: Survey, one: Invitation, conversation: Conversation | None
    ) -> tuple[int | None, str]:
        """Return until when something stands in the way, or why the customer cannot be asked at all."""
        sending = Sending(
            channel=one.channel,
            address=one.address,
            lane="survey",
            text=invite(
                survey,
                self._means.occasion(survey, one, conversation),
                one.channel,
                self._means.capabilities(one.channel),
            ).text,
            contact=one.contact,
            conversation=one.conversation if within(one, conversation) else "",
        )
        found: list[Obstacle] = [each for objection in self._means.objections for each in await objection(sending)]
        block = next((each for each in found if each.weight == "block"), None)
        if block is not None:
            return None, block.code
        holds = [each for each in found if each.weight == "hold"]
        if holds:
            return max(each.until or self._means.now() + HELD for each in holds), holds[0].code
        return None, ""

    async def _await_words(self, one: Invitation) -> None:
        """Let the customer's next words on this channel be looked at: they may be an answer."""
        partition = partition_of(one.address)
        name = key(partition, f"a:{one.address}")
        await self._means.store.do(tag(partition), "HSET", name, f"sv:{one.channel}", one.id)

    async def _remind(self, survey: Survey, one: Invitation) -> int | None:
        means, now = self._means, self._means.now()
        if one.state != SENT or one.reminded:
            return None
        later = after_quiet(survey.quiet, means.settings().timezone, now)
        if later > now:
            return later if later < one.expires else None
        conversation = await conversation_of(means, one)
        if self._moot(survey, one, conversation):
            return None
        until, reason = await self._obstacles(survey, one, conversation)
        if until is not None and until < one.expires:
            return until
        if reason:
            return None
        asked = await self._words(survey, one, conversation, reminder=True)
        if asked is None:
            return None
        await post(means, one, conversation, asked, REMIND)
        if await means.invitations.step(one, (SENT,), {"reminded": now}):
            self.counts[one.channel, "reminded"] += 1
        return None

    async def _expire(self, one: Invitation) -> int | None:
        if await self._means.invitations.step(one, (SENT,), {"state": EXPIRED}, done=("remind",)):
            self.counts[one.channel, "expired"] += 1
        partition = partition_of(one.address)
        keys = [key(partition, f"a:{one.address}")]
        await self._means.store.run(FORGET, tag(partition), keys, (f"sv:{one.channel}", one.id))
        place = one.place
        if one.delivery:
            await self._means.store.do(
                tag(place.partition), "HDEL", key(place.partition, "ivof"), one.delivery.partition("-")[2]
            )
        return None

    async def _fetch_code(self, survey: Survey, one: Invitation) -> int | None:
        """Ask another tool for the customer's code, then thank with it. The tool may be asked twice, with one key."""
        means, incentive = self._means, survey.incentive
        if one.state != ANSWERED or incentive is None or incentive.webhook is None:
            return None
        progress = await means.invitations.answers(one)
        code = await means.reservations.known_code(one.survey, one.id) or await self._asked(incentive, one)
        late = means.now() > progress.response.at + WEBHOOK_LIFE
        if not code and not late:
            return means.now() + AGAIN
        if code:
            code = await means.reservations.keep_code(one.survey, one.id, code)
        else:
            log.warning("no code for %s of survey %s in two days", one.id, one.survey)
        if progress.response.via in CHATS:
            await self._answers.go_on(survey, one, await conversation_of(means, one), progress, code)
        return None

    async def _asked(self, incentive: Incentive, one: Invitation) -> str:
        headers = {"Idempotency-Key": one.id}
        if incentive.secret is not None:
            headers["Authorization"] = f"Bearer {incentive.secret.get_secret_value()}"
        body = {"survey": one.survey, "invitation": one.id, "contact": one.contact, "channel": one.channel}
        limit = aiohttp.ClientTimeout(total=WEBHOOK_TIMEOUT)
        try:
            async with self._http().post(
                str(incentive.webhook), json=body, headers=headers, timeout=limit, allow_redirects=False
            ) as response:
                found = await response.json(content_type=None) if response.status < 300 else {}
        except (aiohttp.ClientError, TimeoutError, ValueError):
            found = {}
        code = found.get("code") if isinstance(found, dict) else None
        return code.strip()[:200] if isinstance(code, str) else ""

    async def _schedules(self, held: Held) -> None:
        """Ask whom a schedule means, once for each of its times."""
        means, now = self._means, self._means.now()
        zone = means.settings().timezone
        for name, survey in means.surveys().items():
            trigger = survey.trigger
            if not isinstance(trigger, Scheduled) or not running(survey, now, zone):
                continue
            latest = last_time(trigger, now, zone)
            slot, done = tag(held.partition), key(held.partition, RUNS)
            known = await means.store.do(slot, "HGET", done, name)
            if latest is None or (known is not None and int(known) >= latest):
                continue
            if known is not None and now < latest + MISSED:
                await self._ask_all(held.partition, name, survey, trigger, latest)
            await means.store.do(slot, "HSET", done, name, latest)

    async def _ask_all(self, partition: int, name: str, survey: Survey, trigger: Scheduled, at: int) -> None:
        """Choose among the conversations of a partition that were resolved lately."""
        index, start = key(partition, "i:s:resolved"), 0
        while True:
            bounds = (at - trigger.look_back, at, "LIMIT", start, PAGE)
            found = await self._means.store.do(tag(partition), "ZRANGEBYSCORE", index, *bounds)
            for conversation in await load_many(self._means.store, [Id("c", partition, each) for each in found]):
                if conversation is not None:
                    person = await self._surveys.about(conversation)
                    await self._surveys.choose(name, survey, person, f"schedule {at}")
            if len(found) < PAGE:
                return
            start += PAGE


def last_time(trigger: Scheduled, now: int, zone: ZoneInfo) -> int | None:
    """Return the latest time of a schedule that is not after *now*, in milliseconds; None if there was none lately."""
    hour, minute = (int(part) for part in trigger.at.split(":"))
    local = dt.datetime.fromtimestamp(now / 1000, zone)
    days = weekdays(trigger.days)
    for back in range(63):  # a 31st comes at least every second month
        day = (local - dt.timedelta(days=back)).replace(hour=hour, minute=minute, second=0, microsecond=0)
        fits = day.weekday() in days and (not trigger.month_days or day.day in trigger.month_days)
        if fits and day <= local:
            return int(day.timestamp() * 1000)
    return None
