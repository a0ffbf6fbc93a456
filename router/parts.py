"""All parts of one hub process, made and put together; `hub.Hub` runs them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import aiohttp

from config.enrolment import Enrolment, enrolment
from config.guard import secrets_in
from config.loading import Loaded
from config.reload import Live
from config.settings import Settings
from config.templates import Filled, render
from inbox import (
    conversations,
    merging,
    work,
)
from inbox.api import Tokens
from inbox.attachments import Attachments
from inbox.caretaker import Caretaker
from inbox.channels import Channel, Channels
from inbox.chores import Chore
from inbox.fetching import Fetching
from inbox.gate import Gate
from inbox.listening import Listening
from inbox.merging import Merging
from inbox.people import People
from inbox.placing import Placer
from inbox.press import Press
from inbox.promises import Promises, due_times
from inbox.readers import Reader, Readers
from inbox.recording import Recorder
from inbox.search import Search
from inbox.serving import origin_of
from inbox.sessions import Sessions
from inbox.status import Status
from inbox.store import Store
from inbox.streams import Streams
from inbox.tail import Tail
from inbox.ticks import Ticks
from inbox.views import Views
from inbox.wakes import Wakes
from inbox.work import Desk
from outbox import (
    campaigns,
    erasing,
    notifier,
)
from outbox.answers import Answers
from outbox.aside import Aside
from outbox.audience import Audiences
from outbox.belongings import Searching
from outbox.campaigns import Campaigns
from outbox.consent import Consent
from outbox.deliveries import Deliveries
from outbox.dispatch import Dispatch
from outbox.drafts import Drafts
from outbox.endpoint_ledger import Ledger
from outbox.endpoints import delivery_shapes
from outbox.erasing import Eraser
from outbox.forgotten import Forgotten
from outbox.guard import Guard
from outbox.hands import Hands
from outbox.invitations import Invitations
from outbox.leaving import Leaving
from outbox.links import Links
from outbox.means import Means
from outbox.notifier import Notifier, Sight
from outbox.planner import Planner
from outbox.reasons import spoken
from outbox.reports import Reports
from outbox.reservations import Reservations
from outbox.retries import Policy
from outbox.schedule import Schedule
from outbox.seals import Recipient
from outbox.survey_answers import SurveyAnswers
from outbox.survey_sending import SurveySending
from outbox.surveys import Surveys
from outbox.watch import Watch
from outbox.webhooks import Relay
from outbox.worker import Worker
from router.assignment import Assigner
from router.credentials import Credentials
from router.crews import roster
from router.lookups import Orders
from router.orderly import Orderly
from router.overdue import Overdue
from router.presence import Presences
from router.proof import Proof
from router.reader import Router
from router.replays import Replays
from router.ruleset import Rules, prepare
from router.staff import Staff
from router.staffroom import Staffroom
from router.texts import Texts
from router.wording import fill


@dataclass
class Parts:
    """All of one process. *live* is the configuration, *store* is open; *place* names this worker among its peers."""

    live: Live
    store: Store
    place: str
    now: Callable[[], int]
    http: aiohttp.ClientSession = field(init=False)

    def __post_init__(self) -> None:
        self.withheld = 0
        self.channels = Channels()
        self.wakes = Wakes(self.store)
        files = self.live.current.settings.attachments
        self.attachments = Attachments(files.path, files.max_size)
        self.links = Links(self.settings, self.attachments)
        self.recorder = Recorder(self.store, self.wakes, self.attachments)
        self.placer = Placer(self.store)
        self.deliveries = Deliveries(self.store, self.wakes)
        self.desk = Desk(self.store, self.wakes, self.now)
        self.assigner = Assigner(self.store, self.desk, lambda: self._roster, self.now, self.locale)
        self.presences = Presences(self.store, self.wakes, self.assigner, lambda: self._roster, self.now)
        self.staff = Staff(
            self.store,
            self.assigner,
            self.presences,
            lambda: self._roster,
            self.settings,
            self.now,
        )
        overdue = Overdue(
            self.store,
            self.wakes,
            self.desk,
            self.assigner,
            self.presences,
            lambda: self._roster,
            self.now,
            self.locale,
        )
        self.orders = Orders(lambda: self.live.current.settings.facts.order, lambda: self.http)
        self.hooks: Counter[tuple[str, str]] = Counter()
        self.forgotten = Forgotten(self.store, lambda: self.pseudonyms)
        self.consent = Consent(self.store, lambda: self.live.current.settings.consent, self.locale, self.forgotten)
        self.campaigns = Campaigns(self.store, self.wakes, self.now, self.locale)
        self.audiences = Audiences(self.store, self.consent, self.channels, self.now)
        self.watch = Watch(self.store, lambda: self._guard, self.channels, self.locale)
        self.texts = Texts(self.store, lambda: self.live.current, self.orders, self.now)
        self.planner = Planner(
            self.store,
            self.deliveries,
            self.channels,
            self.settings,
            self.texts.fill,
            self.now,
            (self.campaigns.objection, self.consent.objection, self.watch.objection),
        )
        aside = Aside(self.store, self.deliveries, self.planner, self.now, self.locale, lambda: self.withheld)
        self.answers = Answers(
            self.store,
            self.deliveries,
            self.planner,
            aside,
            self.settings,
            self.texts.fill,
            self.now,
        )
        self.worker = Worker(
            self.store,
            self.wakes,
            self.deliveries,
            self.placer,
            self.channels,
            self.attachments,
            self.now,
            self.links.media,
            self._policy,
            aside,
            lambda: self.readers.leases.living,
            self.links.leave,
        )
        self.dispatch = Dispatch(
            self.store,
            self.campaigns,
            self.audiences,
            self.consent,
            self.deliveries,
            self.channels,
            (self.consent.objection, self.watch.objection),
            self.settings,
            self._render,
            lambda channel, address: self.links.unsubscribe(Recipient(channel, address, "campaign")),
            self.now,
        )
        self.proof = Proof(self.store, self.place, self.live, self.now)
        self.leaving = Leaving(
            self.store,
            self.consent,
            self.recorder,
            self.deliveries,
            lambda: self.links.seals,
            self._confirmation,
            self.campaigns.left,
            self.now,
        )
        fetching = Fetching(self.store, self.wakes, self.channels, self.attachments, self.now)
        self._staff(fetching)
        self.means = Means(
            self.store,
            self.wakes,
            self.deliveries,
            self.channels,
            Invitations(self.store, self.wakes),
            Reservations(self.store),
            lambda: self.live.current.surveys,
            self.settings,
            self.links.survey,
            self.now,
            (self.consent.objection, self.watch.objection),
        )
        self.merging = Merging(self.store, self.wakes, self.now)
        self.searching = Searching(self.store, self.merging, self.deliveries, self.means.invitations, self.campaigns)
        self.eraser = Eraser(
            self.store,
            self.searching,
            self.deliveries,
            self.desk,
            self.recorder,
            self.attachments,
            self.channels,
            self.forgotten,
            self.now,
        )
        self.survey_answers = SurveyAnswers(self.means)
        self.surveys = Surveys(self.means, self.survey_answers)
        self.asking = SurveySending(self.means, self.surveys, self.survey_answers, lambda: self.http)
        self.router = Router(
            self.store,
            self.wakes,
            self.placer,
            self.recorder,
            self.deliveries,
            self.assigner,
            self.channels,
            lambda: self.rules,
            self.now,
            self.orders,
            self.proof.shadow.observe,
            self.leaving,
            self.staffroom,
            survey_answers=self.survey_answers,
            merging=self.merging,
            withheld=lambda: self.withheld,
        )
        self.replays = Replays(self.store, self.now)
        self.ticks = Ticks(self.store, self.wakes, lambda: self.promises, self.now)
        listening = Listening(self.wakes, self.channels, self.recorder, self.now)
        self.views = Views(
            self.store,
            self.channels,
            lambda conversation: due_times(self.promises, conversation),
            lambda names: delivery_shapes(self.deliveries, names),
        )
        self.caretaker = Caretaker(self.store, lambda: self.settings().search)
        self.search = Search(self.store, lambda: self.settings().search.path, self.caretaker.hurry, self.now)
        self.press = Press(self.store, self.views)
        self.tail = Tail(self.store, self.wakes, self.press, self.links.base, self.now)
        self.people = People(self.store, self.now)
        self.sessions = Sessions(self.people, self.settings, self.now)
        self.gate = Gate(
            lambda: self.tokens,
            self.people,
            self.sessions,
            self.settings,
            origin_of(self.settings().http.trusted_proxies),
            self.now,
        )
        self.streams = Streams(self.store, self.tail, self.press, self.links.base, self.gate.still, self.now)
        self.ledger = Ledger(self.store, self.deliveries)
        self.relay = Relay(
            self.store,
            self.wakes,
            self.press,
            self.deliveries,
            self.ledger,
            lambda: self.live.current.settings.webhooks,
            self.now,
        )
        self.readers = Readers(
            self.store,
            self.wakes,
            self.place,
            self.now(),
            [
                Reader("router", self.router.handle),
                Reader("outbox", self.worker.handle),
                Reader("notifier", self.notifier.handle),
                Reader("surveys", self.surveys.handle),
            ],
            [
                self.worker.follow,
                self.worker.queries.follow,
                Chore(self.wakes, "f", fetching.turn, self.now).follow,
                Chore(self.wakes, work.BELL, self.desk.wake_snoozed, self.now).follow,
                Chore(self.wakes, notifier.BELL, self.notifier.turn, self.now).follow,
                self.ticks.follow,
                Chore(self.wakes, campaigns.BELL, self.dispatch.turn, self.now).follow,
                listening.follow,
                overdue.follow,
                Chore(self.wakes, "v", self.asking.turn, self.now).follow,
                self.relay.follow,
                Chore(self.wakes, merging.BELL, self.merging.turn, self.now).follow,
                Chore(self.wakes, erasing.BELL, self.eraser.turn, self.now).follow,
            ],
        )
        self.reports = Reports(self.store, lambda: self.live.current, lambda: self.promises, lambda: self.pseudonyms)
        self.schedule = Schedule(
            self.store, self.reports, self.deliveries, self.attachments, lambda: self.live.current, self.now
        )
        self.status = Status(
            self.store,
            self.channels,
            lambda: [
                ("counts", self.recorder.counts),
                ("sends", self.worker.counts),
                ("hooks", self.hooks),
                ("lookups", self.orders.counts),
                ("routing", Counter({("", name): count for name, count in self.router.counts.items()})),
                ("readers", Counter({("", name): count for name, count in self.readers.left_out.items()})),
                ("shadow", Counter({("", name): count for name, count in self.proof.shadow.counts.items()})),
                ("sla", self.ticks.counts),
                ("notices", self.notifier.counts),
                ("staff", self.staffroom.counts),
                ("surveys", self.surveys.counts + self.asking.counts),
                ("survey_answers", self.survey_answers.counts),
            ],
        )
        self.use(self.live.current, prepare(self.live.current, self.now))
        self.tokens = Tokens([])
        self.pseudonyms = ""

    def use(self, loaded: Loaded, rules: Rules) -> None:
        """Take a configuration into use, all of it at once."""
        self.rules = rules
        self.proof.use(rules)
        self._roster = roster(loaded.settings)
        self.promises = Promises.of(loaded.settings)
        self._guard = guard_of(loaded)
        self._enrolment = enrolment(loaded.settings)

    def _staff(self, fetching: Fetching) -> None:
        """Build what tells agents of their work and takes their answers."""

        async def presence(agent: str) -> str:
            return (await self.presences.all([agent]))[agent].state

        def enrolled() -> Enrolment:
            return self._enrolment

        def secret() -> str:
            return self.links.key

        self.drafts = Drafts(self.store, self.wakes, self.answers)
        self.hands = Hands(self.store)
        sight = Sight(
            self.settings,
            enrolled,
            lambda conversation: due_times(self.promises, conversation),
            presence,
            self.links.conversation,
            secret,
        )
        self.notifier = Notifier(
            self.store, self.wakes, self.deliveries, self.drafts, self.hands, self.channels, sight, self.now
        )
        orderly = Orderly(self.store, self.desk, self.drafts, self.hands, self.notifier, self.settings, self.now)
        credentials = Credentials(self.hands, self.settings, enrolled, secret)
        self.staffroom = Staffroom(
            self.store,
            self.placer,
            self.answers,
            self.deliveries,
            self.drafts,
            self.hands,
            self.notifier,
            credentials,
            orderly,
            self.desk,
            fetching,
            self.settings,
            enrolled,
            self.now,
        )
        self._policies: dict[str, Policy] = {}

    def _policy(self, channel: Channel) -> Policy:
        """Return how messages go out on a channel."""
        policy = self._policies.get(channel.name)
        if policy is None:
            special = getattr(channel.source, "delivery", None)
            settings = self.live.current.settings.delivery.under(special)
            policy = self._policies[channel.name] = Policy.of(settings)
        return policy

    def locale(self) -> str:
        """Return the language of what the hub says itself, or in which it answers who only asks."""
        return spoken(self.live.current.settings.locale)

    def region(self) -> str:
        """Return the region of phone numbers without a country code."""
        return self.live.current.guard.region if self.live.current.guard is not None else "CN"

    def settings(self) -> Settings:
        """Return the settings in use."""
        return self.live.current.settings

    def _render(self, name: str, values: Mapping[str, str], language: str, channel: str) -> Filled | None:
        """Fill a template for the row of a bulk send; None if there is none of that name."""
        template, carrier = self.live.current.templates.get(name), self.channels.get(channel)
        if template is None:
            return None
        own = {name.removeprefix("row."): value for name, value in values.items() if name.startswith("row.")}
        own = {name: value for name, value in own.items() if name in template.variables}
        kind = carrier.kind if carrier is not None else ""
        return render(template, values, language, self.settings().locale, channel=channel, kind=kind, own=own)

    def _confirmation(self, name: str, conversation: conversations.Conversation) -> str | None:
        """Fill the template that confirms an opt-out; None if there is none of that name, or something is missing."""
        filled = fill(self.live.current, name, conversation, self.now())
        return filled.text if filled is not None and not filled.missing else None


def guard_of(loaded: Loaded) -> Guard:
    """Make the policy about words ready, with what belongs to the shop itself."""
    settings = loaded.settings
    addresses = [str(getattr(one.options, "address", "")) for one in settings.channels.values()]
    addresses += [str(one.email) for one in settings.agents.values() if one.email]
    return Guard(
        loaded.guard,
        own_hosts=[urlsplit(settings.public_url).hostname or ""],
        own_emails=[one for one in addresses if "@" in one],
        secrets=list(secrets_in(settings)),
    )
