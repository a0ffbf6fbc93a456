"""The whole of ``huiliu.yaml`` as frozen values, ready to use: milliseconds, bytes, absolute paths."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo

from pydantic import Field, IPvAnyNetwork, SecretStr, ValidationInfo, field_validator, model_validator

from config.assigning import Assign, Capacity, Shifts
from config.channels import Channel
from config.consent import Consent
from config.delivery import Outgoing
from config.faults import Wrong
from config.hours import Hours
from config.lookups import Lookups
from config.reporting import Reporting, Scheduled
from config.staff import AgentsReply, Notices, Notify, TeamNotify
from config.values import (
    DURATIONS,
    Bytes,
    Email,
    Label,
    Language,
    Millis,
    Name,
    Part,
    Paths,
    PlacedPath,
    Section,
    Share,
    StoreUrl,
    UniqueNames,
    WebUrl,
    Zone,
)
from config.webhooks import Webhook

DAY = DURATIONS["d"]
MINUTE = DURATIONS["m"]


class Store(Section):
    """Where everything is kept."""

    url: StoreUrl = SecretStr("embedded")
    """`embedded`, or the address of a Redis or Valkey; it may hold a password, so it is a secret."""
    path: PlacedPath = Field(default=Path("var"), validate_default=True)
    """Directory of the embedded store, relative to the configuration file."""
    durability: Literal["always", "everysec"] = "always"
    """always: a platform is answered only after fsync; everysec: up to a second may be lost when the machine fails."""

    @property
    def kind(self) -> str:
        """The scheme: embedded, redis, rediss, unix, redis+sentinel or redis+cluster."""
        return self.url.get_secret_value().partition("://")[0]

    @property
    def address(self) -> str:
        """The address without user, password and query, fit to be shown."""
        scheme, separator, rest = self.url.get_secret_value().partition("://")
        return scheme + separator + rest.partition("?")[0].rpartition("@")[2]


class Http(Section):
    """Where the hub listens."""

    host: str = Field(default="127.0.0.1", min_length=1)
    """Address to listen on; 0.0.0.0 for all."""
    port: int = Field(default=8080, ge=0, le=65535)
    """Port to listen on; 0 for any free one."""
    trusted_proxies: tuple[IPvAnyNetwork, ...] = ()
    """Addresses or networks of reverse proxies; their X-Forwarded-For says who calls."""


class ApiToken(Section):
    """A program that may use the HTTP API."""

    token: SecretStr
    """The bearer token."""
    role: Literal["admin", "supervisor", "agent", "readonly"]
    """What it may do."""
    agent: Name | None = None
    """The agent in whose name it works."""
    rate: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Calls per second; by default as many as it makes."""


PRESETS: Mapping[str, Mapping[str, str]] = {
    # Pinduoduo and Douyin count whether a person answers within three minutes; what machines answer does not count.
    "marketplace": {"first_reply": "3m", "next_reply": "3m", "warn_at": "100s"},
    "service": {"first_reply": "30m", "next_reply": "30m", "resolution": "24h", "warn_at": "80%"},
}
TEAMS_OWN = "team"


class Sla(Section):
    """Within what time customers are answered. Times run while `hours` are open."""

    preset: Literal["marketplace", "service"] | None = None
    """Times to begin with; what is written beside it goes before them."""
    first_reply: Millis | None = None
    """From the customer's first message to the first answer of a person."""
    next_reply: Millis | None = None
    """From each later message to its answer."""
    resolution: Millis | None = None
    """From the customer's first message to the end of the conversation."""
    hours: Name | None = None
    """The opening hours in which time runs, or `team`: those of the team; by default it always runs."""
    warn_at: Part = Share(percent=80)
    """When to warn: a percentage of each time, or a duration, which holds for replies."""

    @model_validator(mode="before")
    @classmethod
    def _from_its_preset(cls, value: Any) -> Any:
        preset = PRESETS.get(str(value.get("preset"))) if isinstance(value, dict) else None
        return {**preset, **value} if preset is not None else value

    @model_validator(mode="after")
    def _promises_something(self) -> Sla:
        replies = [limit for limit in (self.first_reply, self.next_reply) if limit is not None]
        if not replies and self.resolution is None:
            raise Wrong("this promises nothing", expected="at least one of first_reply, next_reply and resolution")
        if self.warn_at.millis >= min(replies or [self.resolution or 0]):
            raise Wrong("the warning comes after the time is over", expected="a warn_at below every reply's time")
        return self

    def warning(self, clock: str) -> int:
        """Return after what time to warn on *clock*, which is promised, in milliseconds.

        A `warn_at` that is a duration holds for replies; then the resolution warns after 80 percent, unless nothing
        else is promised.
        """
        limit: int = getattr(self, clock)
        replies = self.first_reply is not None or self.next_reply is not None
        if clock == "resolution" and replies and not self.warn_at.percent:
            return limit * 80 // 100
        return self.warn_at.of(limit)


class Team(Section):
    """A group of agents that owns conversations."""

    name: Label
    """Display name."""
    members: UniqueNames = ()
    """The agents in it."""
    sla: Name | None = None
    """The promise that holds unless a route says otherwise."""
    hours: Name | None = None
    """When the team works; by default always."""
    assign: Assign = Assign()
    """How conversations find their agent."""
    notify: tuple[TeamNotify, ...] = ()
    """Where the whole team hears of work that waits."""
    restricted: bool = False
    """Whether only its members, its `supervisors` and admins see its conversations."""
    supervisors: UniqueNames = ()
    """People of the role supervisor who see them without being members."""


class Agent(Section):
    """A person who answers."""

    name: Label
    """Display name."""
    email: Email | None = None
    """Mail address."""
    skills: UniqueNames = ()
    """What this person knows; routes may ask for it."""
    languages: tuple[Language, ...] = ()
    """Languages this person answers in."""
    notify: tuple[Notify, ...] = ()
    """Where this person hears of work, in order."""
    notices: Notices = Notices()
    """What this person hears of, and when."""
    capacity: Capacity | None = None
    """Open conversations at most, over all teams: a number, or `total` and channels or kinds; by default what the team
    says."""
    weight: int = Field(default=1, ge=1, le=100)
    """How often this person's turn comes in a team whose strategy is weighted."""
    shifts: Shifts = ()
    """When this person works: names of `hours`; by default what the team says."""

    @model_validator(mode="after")
    def _has_an_address(self) -> Agent:
        if self.email is None and any(each.kind == "email" and each.address is None for each in self.notify):
            raise Wrong("notice by email needs an address", expected="email")
        return self


class Retention(Section):
    """How long things are kept."""

    live: Millis = 90 * DAY
    """How long a resolved conversation stays in the live store before it moves to the archive; by default 90d."""
    audit: Millis = 365 * DAY
    """How long the audit log remembers; by default 365d."""


class Attachments(Section):
    """Files that came with messages."""

    path: PlacedPath = Path()
    """Directory; by default `attachments` below the store's path."""
    max_size: Bytes = 25 << 20
    """The largest file that is kept; by default 25 MB."""


class Search(Section):
    """The index by which messages are found; it holds nothing that is not in the store."""

    index: bool = True
    """Whether this machine keeps one. Without it nothing is found but names, subjects, addresses and ids."""
    path: PlacedPath = Path()
    """Directory; by default `search` below the store's path."""


class Provider(Section):
    """Where people sign in instead of here: OpenID Connect."""

    name: Label
    """What stands on the button."""
    issuer: WebUrl
    """The provider's address, as it calls itself; https, except on this machine."""
    client_id: str = Field(min_length=1)
    """What the provider calls the hub."""
    client_secret: SecretStr | None = None
    """The hub's password there; a public client has none."""
    claim: Literal["email", "preferred_username", "sub"] = "email"
    """What must be a person's `login`; a mail address counts only if the provider has verified it."""
    scopes: tuple[str, ...] = ("openid", "email", "profile")
    """What is asked for."""


class People(Section):
    """How people sign in, and for how long."""

    passwords: bool = True
    """Whether name and password will do; false leaves the providers."""
    idle: Millis = 12 * DURATIONS["h"]
    """A session that is not used for so long ends; by default 12h."""
    lasts: Millis = 7 * DAY
    """Every session ends after so long; by default 7d."""
    rate: float = Field(default=50.0, gt=0, allow_inf_nan=False)
    """Calls per second that one person may make."""
    oidc: Mapping[Name, Provider] = {}
    """Providers, by name."""


class Settings(Section):
    """Everything an admin says, except the routes and the texts."""

    locale: Literal["zh-CN", "en"] = "zh-CN"
    """Language of the command line and of pages without a better reason."""
    timezone: Zone = ZoneInfo("Asia/Shanghai")
    """Time zone of hours and reports that name none."""
    http: Http = Http()
    """Where the hub listens."""
    public_url: WebUrl = Field(default="", validate_default=True)
    """Address at which platforms and customers reach the hub; by default where it listens."""
    store: Store = Field(default_factory=dict, validate_default=True)  # so that its path lies beside the file
    """Where everything is kept."""
    api_tokens: Mapping[Name, ApiToken] = {}
    """Programs that may use the HTTP API, by name."""
    people: People = People()
    """How people sign in."""
    channels: Mapping[Name, Channel] = {}
    """Accounts on platforms, by name."""
    hours: Mapping[Name, Hours] = {}
    """Opening hours, by name."""
    sla: Mapping[Name, Sla] = {}
    """Promises to customers, by name."""
    teams: Mapping[Name, Team] = {}
    """Groups of agents, by name."""
    agents: Mapping[Name, Agent] = {}
    """People who answer, by name."""
    delivery: Outgoing = Outgoing()
    """How messages leave: time to undo, quiet hours, what to do where a channel takes none, retries, limits."""
    templates: Paths = ()
    """Files of texts: what the hub sends by itself, and what agents answer with."""
    routes: Paths = ()
    """Files of routes, in order."""
    shadow: Paths = ()
    """Files of routes that are tried beside those in use, without effect; what they would change is reported."""
    surveys: PlacedPath | None = None
    """File of surveys."""
    reporting: Reporting = Reporting()
    """How figures of reports are counted."""
    reports: Mapping[Name, Scheduled] = {}
    """Reports that are sent by mail, by name."""
    facts: Lookups = Lookups()
    """What routes may ask existing tools."""
    webhooks: Mapping[Name, Webhook] = {}
    """Existing tools that are told what happens, by name."""
    retention: Retention = Retention()
    """How long things are kept."""
    attachments: Attachments = Field(default_factory=Attachments, validate_default=True)
    """Files that came with messages."""
    search: Search = Field(default_factory=Search, validate_default=True)
    """The index by which messages are found."""
    consent: Consent = Consent()
    """Who may be written to."""
    guard: PlacedPath | None = None
    """File of what may not leave in words."""
    agents_reply: AgentsReply = AgentsReply()
    """How agents answer from where they are told."""

    @field_validator("public_url", mode="before")
    @classmethod
    def _reached_where_it_listens(cls, value: object, info: ValidationInfo) -> object:
        http = info.data.get("http", Http())
        host = f"[{http.host}]" if ":" in http.host else http.host
        return value if value != "" else f"http://{host}:{http.port or 8080}"

    @field_validator("hours", mode="after")
    @classmethod
    def _no_name_with_a_meaning(cls, value: Mapping[str, Hours]) -> Mapping[str, Hours]:
        if TEAMS_OWN in value:
            raise Wrong('the name "team" stands for the hours of a team', expected="another name")
        return value

    @field_validator("hours", mode="after")
    @classmethod
    def _in_the_hubs_zone(cls, value: Mapping[str, Hours], info: ValidationInfo) -> Mapping[str, Hours]:
        zone = info.data.get("timezone", ZoneInfo("UTC"))
        return {
            name: hours if "timezone" in hours.model_fields_set else hours.model_copy(update={"timezone": zone})
            for name, hours in value.items()
        }

    @field_validator("delivery", mode="after")
    @classmethod
    def _quiet_in_the_hubs_zone(cls, value: Outgoing, info: ValidationInfo) -> Outgoing:
        if value.quiet is None or "timezone" in value.quiet.model_fields_set:
            return value
        quiet = value.quiet.model_copy(update={"timezone": info.data.get("timezone", ZoneInfo("UTC"))})
        return value.model_copy(update={"quiet": quiet})

    @field_validator("attachments", mode="after")
    @classmethod
    def _below_the_store(cls, value: Attachments, info: ValidationInfo) -> Attachments:
        if "path" in value.model_fields_set or "store" not in info.data:
            return value
        return value.model_copy(update={"path": info.data["store"].path / "attachments"})

    @field_validator("search", mode="after")
    @classmethod
    def _beside_the_store(cls, value: Search, info: ValidationInfo) -> Search:
        if "path" in value.model_fields_set or "store" not in info.data:
            return value
        return value.model_copy(update={"path": info.data["store"].path / "search"})
