"""What the API says of the inbox's routes: conversations, work, files, contacts, people, sessions, the audit log."""

from __future__ import annotations

from typing import Any

from inbox import bulk, contact_endpoints, endpoints, people_endpoints, sign_in
from inbox.contact_schemas import (
    Customer,
    Imported,
    MergeDone,
    PastMerge,
    Person,
    SplitDone,
    Suggested,
)
from inbox.conversations import STATUSES
from inbox.openapi import PAGED, Done, Operation, Operations, Page, Query
from inbox.schemas import (
    Agent,
    BulkDone,
    Changed,
    Channel,
    Conversation,
    ConversationShown,
    Ended,
    File,
    Invitation,
    Invited,
    Listed,
    Me,
    Message,
    Noted,
    Payload,
    PersonShown,
    Recovery,
    Secret,
    SessionShown,
    Shunted,
    Team,
    Ways,
)

ONE = "/conversations/{id}"
BINARY = "application/octet-stream"
EACH = f"(?:{'|'.join(STATUSES)})"
MANY = {"type": "string", "pattern": f"^(?:{EACH}(?:,{EACH})*)?$"}
FLAG = {"type": "string", "enum": ["", "true", "false"]}
LATEST = Query("latest", "also who spoke last, and how that begins", FLAG)
FILTERS = (
    Query("team", "of this team"),
    Query("agent", "of this agent; `me` is the caller's own"),
    Query("status", "in this status, or in one of several with commas between them", MANY),
    Query("channel", "of this channel"),
    Query("q", "words in messages, subject, names, addresses, ids"),
    Query("unassigned", "only those that no agent has", FLAG),
    Query("at_risk", "only those of which a clock has warned or is over, or an answer did not arrive", FLAG),
    Query("sla", "`late`: a clock has warned or is over", {"type": "string", "enum": ["", "late"]}),
)
STEPS = Query(
    "deliveries",
    "`all`: every change of a delivery, too; else only what went wrong",
    {"type": "string", "enum": ["", "trouble", "all"]},
)
EVENTS = (
    Query("types", "only these: `message.received,conversation.*`"),
    Query("team", "only what concerns one of these teams"),
    Query("conversation", "only what happens in this one"),
    Query("last_event_id", "as the header, for who cannot set one"),
)
ORDER = Query("order", "`asc`: each page oldest first", {"type": "string", "enum": ["", "asc", "desc"]})
WHO = (
    Query("who", "`person:lilei` or `token:ops`"),
    Query("since", "a time", {"type": "string", "format": "date-time"}),
)

CUSTOMER = "/contacts/{id}"
CUSTOMERS = (
    Query("q", "words in name, addresses or id"),
    Query("tag", "with this tag"),
    Query("tier", "of this tier"),
    Query("language", "of this language"),
)

OPERATIONS: Operations = {
    ("GET", "/conversations"): Operation("List conversations", Page[Listed], query=(*FILTERS, LATEST, *PAGED)),
    ("GET", ONE): Operation("Show a conversation", ConversationShown),
    ("GET", f"{ONE}/messages"): Operation("List its messages", Page[Message], query=(ORDER, STEPS, *PAGED)),
    ("GET", f"{ONE}/sla"): Operation("Explain its clocks", dict[str, Any]),
    ("POST", f"{ONE}/notes"): Operation("Leave a note", Noted, endpoints.NoteBody, 201, example={"text": "已致电客户"}),
    ("POST", f"{ONE}/assign"): Operation(
        "Give it to a team or an agent", Conversation, endpoints.AssignBody, example={"team": "aftersales"}
    ),
    ("POST", f"{ONE}/resolve"): Operation("Mark it as done", Conversation, endpoints.Nothing, optional=True),
    ("POST", f"{ONE}/reopen"): Operation("Open it again", Conversation, endpoints.Nothing, optional=True),
    ("POST", f"{ONE}/snooze"): Operation(
        "Put it aside", Conversation, endpoints.SnoozeBody, example={"until": "2027-01-01T01:00:00Z"}
    ),
    ("POST", f"{ONE}/tags"): Operation(
        "Add and remove tags", Conversation, endpoints.TagsBody, example={"add": ["vip"]}, optional=True
    ),
    ("POST", f"{ONE}/read"): Operation("Mark it as read", Conversation, endpoints.ReadBody, optional=True),
    ("POST", "/conversations/bulk"): Operation(
        "Do one thing to many",
        BulkDone,
        bulk.BulkBody,
        example={"action": "resolve", "filter": {"team": "aftersales"}, "preview": True},
    ),
    ("GET", "/messages/{id}/attachments/{index}"): Operation("Read a file", BINARY),
    ("POST", "/attachments"): Operation(
        "Keep a file for a reply",
        File,
        BINARY,
        201,
        query=(Query("name", "its name"), Query("type", "its MIME type")),
    ),
    ("GET", "/contacts"): Operation("List contacts", Page[Customer], query=(*CUSTOMERS, *PAGED)),
    ("GET", CUSTOMER): Operation("Show a contact", Person),
    ("PUT", CUSTOMER): Operation(
        "Say what rules may ask about it",
        Person,
        contact_endpoints.ContactBody,
        example={"tags": ["vip"]},
        optional=True,
    ),
    ("GET", f"{CUSTOMER}/conversations"): Operation(
        "List its conversations on all channels", Page[Conversation], query=PAGED
    ),
    ("GET", f"{CUSTOMER}/timeline"): Operation("Show them as one timeline", Page[Message], query=PAGED),
    ("GET", f"{CUSTOMER}/suggestions"): Operation("Say who may be the same person", Page[Suggested]),
    ("GET", f"{CUSTOMER}/merges"): Operation("List its merges, also past ones", Page[PastMerge]),
    ("POST", f"{CUSTOMER}/merge"): Operation(
        "Make another one part of it",
        MergeDone,
        contact_endpoints.MergeBody,
        example={"with": "k9-1795303839999-0", "reason": "same order number"},
    ),
    ("POST", f"{CUSTOMER}/split"): Operation(
        "Take a merge back", SplitDone, contact_endpoints.SplitBody, example={"merge": "g7-0a1b2c3d4e5f6a7b8c9d"}
    ),
    ("POST", f"{CUSTOMER}/apart"): Operation(
        "Say that two are two people", Person, contact_endpoints.ApartBody, example={"with": "k9-1795303839999-0"}
    ),
    ("GET", "/contacts/export"): Operation("Write contacts into a file", "text/csv", query=CUSTOMERS),
    ("POST", "/contacts/import"): Operation(
        "Take contacts of a file in",
        Imported,
        "text/csv",
        query=(Query("preview", "only say what that would do", {"type": "string", "enum": ["", "true", "false"]}),),
    ),
    ("GET", "/teams"): Operation("List teams", Page[Team]),
    ("GET", "/agents"): Operation("List agents", Page[Agent]),
    ("GET", "/channels"): Operation("List channels", Page[Channel]),
    ("GET", "/shunted"): Operation("List what nobody could parse", Page[Shunted], query=PAGED),
    ("GET", "/shunted/{id}"): Operation("Show it as it came", Payload),
    ("POST", "/shunted/{id}/replay"): Operation("Try to understand it again", Done),
    ("POST", "/shunted/{id}/drop"): Operation("Forget it", Done),
    ("POST", "/session"): Operation(
        "Sign in", Me, sign_in.SignInBody, errors=(401,), example={"name": "lilei", "password": "…"}
    ),
    ("GET", "/session"): Operation("Who am I", Me),
    ("PUT", "/session"): Operation("Choose a language", Me, sign_in.PreferenceBody, example={"locale": "zh-CN"}),
    ("DELETE", "/session"): Operation("Sign out", Done),
    ("GET", "/session/ways"): Operation("How one may sign in", Ways),
    ("POST", "/session/password"): Operation(
        "Set a password with the secret of a link", Done, sign_in.WelcomeBody, errors=(404,)
    ),
    ("PUT", "/session/password"): Operation("Change one's password", Done, sign_in.PasswordBody),
    ("POST", "/session/totp"): Operation("Begin to set up an app", Secret, sign_in.ProofBody, 201),
    ("PUT", "/session/totp"): Operation("Take the app into use", Recovery, sign_in.CodeBody),
    ("DELETE", "/session/totp"): Operation("Do without a second factor", Done, sign_in.ProofBody),
    ("GET", "/session/oidc/{provider}"): Operation("Go to a provider", status=302),
    ("GET", "/session/oidc/{provider}/callback"): Operation(
        "Come back from a provider",
        status=302,
        query=(Query("code", "the provider's code"), Query("state", "which sign-in"), Query("iss", "who answers")),
    ),
    ("GET", "/sessions"): Operation("List one's sessions", Page[SessionShown], errors=(409,)),
    ("DELETE", "/sessions/{id}"): Operation("End one of one's sessions", Done),
    ("GET", "/people"): Operation("List people", Page[PersonShown]),
    ("POST", "/people"): Operation(
        "Add somebody", Invited, people_endpoints.PersonBody, 201, example={"id": "lilei", "role": "agent"}
    ),
    ("GET", "/people/{id}"): Operation("Show somebody", PersonShown),
    ("PUT", "/people/{id}"): Operation(
        "Change somebody", PersonShown, people_endpoints.ChangeBody, example={"disabled": True}, optional=True
    ),
    ("DELETE", "/people/{id}"): Operation("Forget somebody", Done),
    ("POST", "/people/{id}/invitation"): Operation("Make a link to set a password", Invitation, status=201),
    ("DELETE", "/people/{id}/totp"): Operation("Take somebody's second factor away", PersonShown),
    ("GET", "/people/{id}/sessions"): Operation("List somebody's sessions", Page[SessionShown]),
    ("DELETE", "/people/{id}/sessions"): Operation("End somebody's sessions", Ended),
    ("GET", "/audit"): Operation("List changes", Page[Changed], query=(*WHO, *PAGED), errors=(422,)),
    ("GET", "/events"): Operation(
        "Hear what happens as it happens (server-sent events)",
        "text/event-stream",
        query=EVENTS,
        headers=(Query("Last-Event-ID", "goes on behind the event with this id"),),
    ),
    ("GET", "/openapi.json"): Operation("Describe the API", dict[str, Any]),
    ("GET", "/docs"): Operation("Show the API to people", "text/html"),
    ("GET", "/docs/{file}"): Operation("A part of that page", "text/javascript"),
}
