"""The HTTP API of all packages behind one door: who calls, what they may see, what is written down of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

from config.faults import Fault
from config.loading import Loaded
from connectors.base import Media
from inbox import (
    people_endpoints,
    sla,
    visibility,
)
from inbox.api import Api, Route
from inbox.audit import Audit
from inbox.bulk import Bulk
from inbox.contact_endpoints import ContactApi
from inbox.contact_file_endpoints import ContactFiles
from inbox.edits import Edits
from inbox.endpoints import FileBody, Inbox
from inbox.importing import Importer
from inbox.manual import Manual
from inbox.memory import ChannelMemory
from inbox.merging import NoMerge
from inbox.oidc import Providers
from inbox.oidc_endpoints import Oidc
from inbox.openapi import Operations
from inbox.passwords import Passwords
from inbox.people_endpoints import Persons
from inbox.recording import Shunted
from inbox.repeats import Repeats
from inbox.search_endpoints import SearchApi
from inbox.second_factor import SecondFactor
from inbox.sign_in import SignIn
from inbox.suggestions import Suggestions
from inbox.visibility import Visibility
from outbox import ownership
from outbox.campaign_endpoints import CampaignApi
from outbox.campaigns import NoCampaign, NotThen
from outbox.consent_endpoints import Consents
from outbox.deliveries import NoDelivery, NotNow
from outbox.dossier import Dossier
from outbox.drafts import NoDraft
from outbox.endpoints import Outbox
from outbox.invitations import NoInvitation, NoResponse
from outbox.personal_endpoints import PersonalApi
from outbox.replies import Replies
from outbox.report_endpoints import ReportEndpoints
from outbox.staff_endpoints import StaffDesk
from outbox.survey_endpoints import SurveyApi
from outbox.templating import Templating
from outbox.webhook_endpoints import WebhookApi
from router.board import Board
from router.endpoints import Routing
from router.parts import Parts
from router.proof_endpoints import ERRORS, Proving
from router.trial import prove


def interface(
    parts: Parts, replay: Callable[[Shunted], Awaitable[str]], doubts: Callable[[Loaded], Sequence[Fault]]
) -> Api:
    """Build the API and its one table of routes; *replay* runs a shunted payload through its connector.

    *doubts* is lint.
    """

    async def find_file(given: str | FileBody) -> Media:
        return await inbox_part.find_file(given)

    outbox = Outbox(parts.store, parts.deliveries, parts.locale, parts.now)
    replies = Replies(
        parts.store,
        parts.answers,
        parts.planner,
        parts.channels,
        parts.settings,
        find_file,
        parts.now,
    )
    templating = Templating(parts.store, parts.channels, lambda: parts.live.current.templates, parts.texts.fill)
    inbox_part = Inbox(
        parts.store,
        parts.desk,
        parts.recorder,
        parts.attachments,
        parts.channels,
        parts.settings,
        parts.views,
        replay,
        parts.staff.at_work,
        replies.sending,
        parts.search,
        parts.now,
    )
    routing = Routing(
        parts.store,
        parts.placer,
        parts.channels,
        lambda: parts.rules,
        parts.proof.archive,
        parts.now,
    )
    suggestions = Suggestions(parts.store, parts.merging, parts.region)
    customers = ContactApi(parts.store, parts.merging, suggestions, parts.channels, parts.views, parts.now)
    importer = Importer(parts.store, parts.channels, parts.now)
    dossier = Dossier(parts.store, parts.searching, parts.merging, parts.views, parts.attachments, parts.now)
    accounts = sla.Accounts(parts.store, lambda: parts.promises, parts.now)
    proving = Proving(parts.proof, parts.replays, prove, doubts, parts.locale)
    board = Board(parts.store, parts.settings, parts.assigner.queues, parts.status.progress, parts.now)
    reporting = ReportEndpoints(parts.reports, parts.schedule, parts.settings, parts.now)
    asked = SurveyApi(parts.means, parts.surveys, parts.survey_answers)
    consents = Consents(parts.store, parts.consent, parts.leaving, parts.watch, parts.channels, parts.now)
    bulk = Bulk(parts.store, parts.desk, parts.search, parts.settings, parts.now)
    bulk_sends = CampaignApi(
        parts.campaigns,
        parts.audiences,
        parts.dispatch,
        parts.watch.objection,
        parts.channels,
        parts.settings,
        lambda: parts.live.current.templates,
        parts.now,
    )
    desk = StaffDesk(parts.store, parts.drafts, parts.hands, parts.settings, parts.now)
    hooks = WebhookApi(
        parts.store, parts.deliveries, parts.ledger, parts.relay, lambda: parts.settings().webhooks, parts.now
    )
    listed = (
        inbox_part,
        customers,
        ContactFiles(parts.store, importer, parts.consent.summary, parts.region),
        PersonalApi(dossier, parts.eraser),
        bulk,
        accounts,
        outbox,
        replies,
        templating,
        consents,
        bulk_sends,
        routing,
        proving,
        board,
        parts.staff,
        desk,
        asked,
        reporting,
        parts.streams,
        hooks,
        SearchApi(parts.search, parts.views, parts.caretaker),
    )
    routes = [route for part in listed for route in part.routes()]
    extra: dict[type[Exception], tuple[int, str]] = {
        NoDelivery: (404, "There is no such delivery"),
        NoMerge: (404, "There is no such merge"),
        NoDraft: (404, "There is no such draft"),
        NotNow: (409, "That makes no sense now"),
        NoCampaign: (404, "There is no such bulk send"),
        NotThen: (409, "That makes no sense now"),
        NoInvitation: (404, "There is no such invitation"),
        NoResponse: (404, "There is no such response"),
        **ERRORS,
        **people_endpoints.ERRORS,
    }
    return guarded(parts, routes, extra)


def descriptions() -> Operations:
    """Return what every route takes and gives."""
    from router.descriptions import DESCRIPTIONS  # noqa: PLC0415  # the daemon starts faster without it

    return DESCRIPTIONS


def guarded(parts: Parts, routes: list[Route], extra: Mapping[type[Exception], tuple[int, str]]) -> Api:
    """Put people before the routes: who calls, what they may see, what is written down of it."""
    people, sessions = parts.people, parts.sessions
    second = SecondFactor(people, parts.now)
    log_of_changes = Audit(parts.store, parts.settings, parts.now)
    sign_in = SignIn(people, sessions, Passwords(), second, log_of_changes, parts.settings)
    oidc = Oidc(people, sign_in, Providers(lambda: parts.http, parts.now), log_of_changes, parts.settings)
    manual = Manual(lambda: every, descriptions)
    own = (sign_in, oidc, Persons(people, sessions, second, parts.settings, parts.now), log_of_changes, manual)
    every = (*routes, *(route for part in own for route in part.routes()))
    owners = {
        ("conversations", "id"): visibility.itself,
        ("messages", "id"): visibility.of_message(parts.store, parts.placer.verdict),
        **ownership.owners(parts.deliveries, parts.drafts, parts.means.invitations),
    }
    layers = (
        Visibility(parts.store, owners),
        Repeats(parts.store),
        log_of_changes,
        Edits(lambda: every, ChannelMemory(parts.store, parts.wakes, "api")),
    )
    return Api(every, parts.gate.admit, layers, extra)
