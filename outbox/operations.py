"""What the API says of the outbox's routes: answers, deliveries, drafts, bulk sends, surveys, reports, webhooks."""

from __future__ import annotations

from inbox.endpoints import Nothing
from inbox.openapi import PAGED, Operation, Operations, Page, Query
from inbox.report import Report
from inbox.schemas import Delivery, Obstacle
from outbox import (
    campaign_endpoints,
    consent_endpoints,
    personal_endpoints,
    replies,
    staff_endpoints,
    survey_endpoints,
    templating,
    webhook_endpoints,
)
from outbox.editions import FIGURES, RESPONSES
from outbox.report_endpoints import TYPES
from outbox.responses import STATES
from outbox.schemas import (
    Campaign,
    CampaignMade,
    CampaignPreview,
    CampaignWritten,
    Composing,
    Consented,
    DeliveryShown,
    Draft,
    DraftSent,
    Filled,
    Gone,
    Plan,
    Replaying,
    Replied,
    ReportSent,
    Revoked,
    ScheduledReport,
    Template,
    Told,
    WebhookShown,
)
from outbox.survey_schemas import (
    Codebook,
    Entered,
    Survey,
    SurveyAsked,
    SurveyInvitation,
    SurveyPreview,
    SurveyResponse,
    SurveyShown,
)

ONE = "/conversations/{id}"
STATE = Query("state", "which", {"type": "string", "enum": ["", "due", "scheduled", "uncertain", "dead"]})
INVITED = Query("state", "in this state", {"type": "string", "enum": ["", *STATES]})
LANGUAGE = Query("language", "in this language only; all by default")
FLAG = {"type": "string", "enum": ["", "true", "false"]}
ASKED = (
    Query("since", "a day, a time, or how long ago"),
    Query("until", "a day or a time"),
    Query("by", "groups, separated by commas"),
    Query("team", "of this team only"),
    Query("agent", "of this agent only"),
    Query("channel", "of this channel only"),
    Query("tag", "with this tag only"),
    Query("language", "the language of the report: `zh` or `en`"),
    Query("progress", "`true`: lines of JSON first that tell how far it is", FLAG),
)
QUOTES = Query("texts", "`true`: with examples of open answers", FLAG)
WHOSE = Query("contacts", "`true`: with who has answered", FLAG)
TOLD = "application/x-huiliu-report"
MADE = (409, 500)


def _forms(names: tuple[str, ...]) -> Query:
    return Query("format", "the form of the report", {"type": "string", "enum": ["", *names]})


def _kinds(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the media types of these forms but JSON, each once."""
    found = [TYPES[name].partition(";")[0] for name in names if name != "json"]
    return tuple(dict.fromkeys([*found, TOLD]))


CAMPAIGN = {"name": "双十一", "text": {"zh": "满减开始了。", "en": "The sale is on."}, "segment": {"tags": ["vip"]}}

OPERATIONS: Operations = {
    ("POST", f"{ONE}/replies"): Operation(
        "Answer on the customer's channel", Replied, replies.ReplyBody, 202, example={"text": "您好，已为您处理。"}
    ),
    ("POST", f"{ONE}/replies/preview"): Operation(
        "What would become of an answer", Plan, replies.ReplyBody, example={"text": "您好，已为您处理。"}
    ),
    ("GET", "/templates"): Operation("List templates", Page[Template]),
    ("POST", "/templates/{name}/preview"): Operation(
        "How a template reads", Filled, templating.PreviewBody, optional=True, example={"channel": "site-chat"}
    ),
    ("GET", f"{ONE}/composing"): Operation("Who is writing an answer", Page[Composing]),
    ("POST", f"{ONE}/composing"): Operation(
        "Say that one is writing, or has stopped",
        Page[Composing],
        staff_endpoints.ComposingBody,
        optional=True,
        example={"on": True},
    ),
    ("GET", "/drafts"): Operation("List answers that wait for approval", Page[Draft], query=PAGED),
    ("GET", "/drafts/{id}"): Operation("Show a draft", Draft),
    ("POST", "/drafts/{id}/approve"): Operation("Send it", DraftSent, Nothing, 202, optional=True),
    ("POST", "/drafts/{id}/discard"): Operation("Do not send it", Draft, Nothing, optional=True),
    ("GET", "/deliveries"): Operation("List what needs something yet", Page[Delivery], query=(STATE, *PAGED)),
    ("GET", "/deliveries/{id}"): Operation("Show a delivery and how it came to be so", DeliveryShown),
    ("POST", "/deliveries/{id}/retry"): Operation("Try it again now", Delivery, status=202),
    ("POST", "/deliveries/{id}/confirm"): Operation("Say that what is uncertain arrived", Delivery),
    ("POST", "/deliveries/{id}/cancel"): Operation("Call it back", Delivery),
    ("GET", "/dead"): Operation("List what could not be delivered", Page[Delivery], query=PAGED),
    ("POST", "/dead/{id}/retry"): Operation("Try it again now", Delivery, status=202),
    ("POST", "/dead/{id}/drop"): Operation("Give it up", Delivery),
    ("GET", "/contacts/{id}/consent"): Operation("Whether they may be written to", Page[Consented]),
    ("PUT", "/contacts/{id}/consent"): Operation(
        "Record what they said about that",
        Page[Consented],
        consent_endpoints.ConsentBody,
        example={"address": "tel:+8613800138000", "state": "opted_out", "reason": "电话里说的"},
    ),
    ("GET", "/contacts/{id}/export"): Operation("Read everything about one person", "application/zip"),
    ("POST", "/contacts/{id}/erase"): Operation(
        "Remove what is known of a person",
        Gone,
        personal_endpoints.EraseBody,
        example={"reason": "客户来信要求", "dry_run": True},
        optional=True,
    ),
    ("POST", "/guard/test"): Operation(
        "What the policy about words says to a text",
        Page[Obstacle],
        consent_endpoints.GuardBody,
        example={"text": "加我微信 shop123"},
    ),
    ("POST", "/agents/{id}/revoke"): Operation(
        "Let an agent's notices be answered no more", Revoked, Nothing, optional=True
    ),
    ("GET", "/campaigns"): Operation("List bulk sends", Page[Campaign], query=PAGED),
    ("POST", "/campaigns"): Operation("Keep a bulk send", CampaignMade, CampaignWritten, 201, example=CAMPAIGN),
    ("POST", "/campaign-preview"): Operation(
        "What would come of one", CampaignPreview, CampaignWritten, example=CAMPAIGN
    ),
    ("GET", "/campaigns/{id}"): Operation("Show a bulk send", Campaign),
    ("GET", "/campaigns/{id}/preview"): Operation("What would come of it now", CampaignPreview, errors=(422,)),
    ("POST", "/campaigns/{id}/start"): Operation(
        "Begin, or go on", Campaign, campaign_endpoints.StartBody, 202, optional=True, example={"confirm": []}
    ),
    ("POST", "/campaigns/{id}/pause"): Operation("Pause it", Campaign, Nothing, 202, optional=True),
    ("POST", "/campaigns/{id}/stop"): Operation("End it for good", Campaign, Nothing, 202, optional=True),
    ("GET", "/surveys"): Operation("List surveys", Page[Survey]),
    ("GET", "/surveys/{id}"): Operation("Show a survey with its questions", SurveyShown),
    ("GET", "/surveys/{id}/preview"): Operation(
        "How its invitation reads on each channel", Page[SurveyPreview], query=(LANGUAGE,)
    ),
    ("GET", "/surveys/{id}/invitations"): Operation(
        "Who was asked, and who was not and why", Page[SurveyInvitation], query=(INVITED, *PAGED)
    ),
    ("POST", "/surveys/{id}/invitations"): Operation(
        "Ask people by name",
        Page[SurveyAsked],
        survey_endpoints.InviteBody,
        example={"recipients": [{"channel": "sms", "address": "tel:+8613800138000"}], "key": "2026-11"},
    ),
    ("GET", "/surveys/{id}/responses"): Operation("What was answered", Page[SurveyResponse], query=PAGED),
    ("POST", "/surveys/{id}/responses"): Operation(
        "Enter what was said by telephone or in person",
        Entered,
        survey_endpoints.ResponseBody,
        201,
        again=200,
        example={"conversation": "c7-1-0", "answers": {"score": 5}, "key": "8f1c"},
    ),
    ("POST", "/surveys/{id}/responses/{response}/codes"): Operation(
        "File an open answer under codes", SurveyResponse, survey_endpoints.CodesBody, example={"codes": ["物流"]}
    ),
    ("GET", "/reports/service"): Operation(
        "Volumes, times, promises kept",
        Report,
        query=(*ASKED, QUOTES, WHOSE, _forms(FIGURES)),
        also=_kinds(FIGURES),
        errors=MADE,
    ),
    ("GET", "/reports/surveys/{id}"): Operation(
        "Response rate, scores and words of a survey",
        Report,
        query=(*ASKED, QUOTES, WHOSE, _forms((*FIGURES, "sav"))),
        also=_kinds((*FIGURES, "sav")),
        errors=(*MADE, 501),
    ),
    ("GET", "/reports/surveys/{id}/responses"): Operation(
        "Single responses for analysis",
        Codebook,
        query=(*ASKED, QUOTES, WHOSE, _forms(RESPONSES)),
        also=_kinds(RESPONSES),
        errors=(*MADE, 501),
    ),
    ("GET", "/reports/scheduled"): Operation("List reports that are sent by mail", Page[ScheduledReport]),
    ("POST", "/reports/scheduled/{id}/send"): Operation("Send one now", ReportSent, status=202, errors=(500,)),
    ("GET", "/webhooks"): Operation("List outgoing webhooks", Page[WebhookShown]),
    ("GET", "/webhooks/{name}"): Operation("Show one and how it fares", WebhookShown),
    ("GET", "/webhooks/{name}/deliveries"): Operation("What it was sent", Page[Told], query=PAGED),
    ("POST", "/webhooks/{name}/deliveries/{id}/redeliver"): Operation(
        "Send an event once more", Told, Nothing, 202, optional=True
    ),
    ("POST", "/webhooks/{name}/test"): Operation("Send an event that means nothing", Told, Nothing, 202, optional=True),
    ("POST", "/webhooks/{name}/replay"): Operation(
        "Send again from a time on",
        Replaying,
        webhook_endpoints.ReplayBody,
        202,
        example={"since": "2026-11-21T00:00:00Z"},
    ),
    ("POST", "/webhooks/{name}/enable"): Operation(
        "Let a disabled one be told again", WebhookShown, Nothing, optional=True
    ),
}
