"""The contract suite can fail: a sound connector keeps every promise, and each broken one is caught at its promise."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import inspect
import json
from collections.abc import Callable
from typing import Any, ClassVar

import msgspec
import pytest
from pydantic import BaseModel, ConfigDict

from connectors.base import (
    BadOptions,
    Capabilities,
    Event,
    Kit,
    Malformed,
    Message,
    Options,
    Outbound,
    Received,
    Rejected,
    SecretStr,
    Sent,
    Throttled,
    Uncertain,
    Unreachable,
    Unverified,
    WebhookCall,
)
from connectors.calls import call
from connectors.testing import (
    NOW,
    Leaving,
    Payload,
    ReceivingContract,
    Reply,
    Request,
    Sending,
    SendingContract,
    attachment,
    outbound,
    webhook_call,
)

SECRET = "a-webhook-secret"
PASSWORD = "a-token-password"


class SoundOptions(Options):
    """What the sound connector needs."""

    secret: SecretStr
    password: SecretStr
    api_base: str


class Note(msgspec.Struct, frozen=True):
    """What the imaginary platform posts."""

    id: str
    sender: str
    text: str


class Granted(msgspec.Struct, frozen=True):
    """The answer to a request for a token, or to a send."""

    id: str


class Sound:
    """A connector that does everything right; the broken ones below differ in one thing each."""

    kind: ClassVar[str] = "sound"
    Options: ClassVar[type[Options]] = SoundOptions
    capabilities: ClassVar[Capabilities] = Capabilities(text_limit=40, media=frozenset({"image"}), media_limit=1000)

    def __init__(self, options: SoundOptions, kit: Kit) -> None:
        self.options, self.kit = options, kit

    def verify(self, call: WebhookCall) -> None:
        secret = self.options.secret.get_secret_value().encode()
        expected = hmac.new(secret, call.body, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(expected.encode(), call.headers.get("X-Signature", "").encode()):
            raise Unverified("X-Signature is missing or wrong")

    def parse(self, call: WebhookCall) -> tuple[Event, ...]:
        try:
            note = msgspec.json.decode(call.body, type=Note)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise Malformed("not a note") from None
        if not note.id or not note.sender.strip():
            raise Malformed("a note without id or sender")
        return (Message(note.id, f"sound:{note.sender}", call.now, text=note.text),)

    async def receive(self, call: WebhookCall) -> Received:
        self.verify(call)
        return Received(self.parse(call))

    async def prepare(self) -> str:
        reply = await call(
            self.kit.http,
            "POST",
            f"{self.options.api_base}/token",
            repeatable=True,
            json={"password": self.options.password.get_secret_value()},
        )
        return str(reply.json()["id"])

    async def deliver(self, message: Outbound, token: str) -> Sent:
        reply = await call(
            self.kit.http,
            "POST",
            f"{self.options.api_base}/send",
            leaving=message.leaving,
            headers={"Authorization": f"Bearer {token}"},
            json={"to": message.address, "text": message.text, "media": [media.url for media in message.media]},
        )
        try:
            return Sent(msgspec.json.decode(reply.body, type=Granted).id)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise Uncertain("accepted with an answer that cannot be read") from None

    async def send(self, message: Outbound) -> Sent:
        if len(message.text) > 40:
            raise Rejected("the text is too long")
        return await self.deliver(message, await self.prepare())


class Contract(ReceivingContract, SendingContract):
    """The suite for whichever class is put in."""

    address = "sound:customer-0815"
    proofs = ("X-Signature",)

    def options(self, platform: str) -> dict[str, Any]:
        return {"secret": SECRET, "password": PASSWORD, "api_base": platform}

    def sign(self, body: bytes) -> WebhookCall:
        return webhook_call(body, headers={"X-Signature": hmac.new(SECRET.encode(), body, "sha256").hexdigest()})

    def payloads(self) -> list[Payload]:
        body = b'{"id": "n1", "sender": "customer-0815", "text": "where is my order"}'
        return [Payload("note", self.sign(body), (Message("n1", self.address, NOW, text="where is my order"),))]

    def sendings(self) -> list[Sending]:
        return [
            Sending("text", outbound(address=self.address, text="on its way"), Sent("s1")),
            Sending("picture", outbound(address=self.address, media=[attachment()]), Sent("s1")),
        ]

    def platform_answer(self, request: Request) -> Reply:
        return Reply(200, '{"id": "s1"}')

    def delivers(self, request: Request) -> bool:
        return request.path == "/send"


class TestSound(Contract):
    """A sound connector keeps the whole contract."""

    connector_class = Sound


PROMISES = [name for name in dir(Contract) if name.startswith("test_")]


def keep(connector: type[Any], promise: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run one promise of the contract, for all its cases, and let what it raises go up."""

    class Tried(Contract):
        connector_class = connector
        proofs = getattr(connector, "proofs", Contract.proofs)

    contract = Tried()
    method = getattr(contract, promise)
    if hasattr(method, "hypothesis"):
        inner = method.hypothesis.inner_test
        monkeypatch.setattr(method.hypothesis, "inner_test", lambda *given, **kw: asyncio.run(inner(*given, **kw)))
        method()
        return
    cases: list[dict[str, Any]] = [{}]
    for name, source in (("payload", contract.payloads), ("sending", contract.sendings)):
        if name in inspect.signature(method).parameters:
            cases = [{name: case} for case in source()]
    for case in cases:
        outcome = method(**case)
        if outcome is not None:
            asyncio.run(outcome)


def like(**changes: Any) -> type[Any]:
    """Return the sound connector with something replaced."""
    return type("Broken", (Sound,), changes)


def able(**changes: Any) -> type[Any]:
    """Return the sound connector with other capabilities."""
    return like(capabilities=msgspec.structs.replace(Sound.capabilities, **changes))


def verifying(check: Callable[[str, str], bool]) -> type[Any]:
    """Return a connector that compares signatures by *check*."""

    def verify(self: Sound, call: WebhookCall) -> None:
        expected = hmac.new(SECRET.encode(), call.body, hashlib.sha256).hexdigest()
        if not check(expected, call.headers.get("X-Signature", "")):
            raise Unverified("no")

    return like(verify=verify)


def parsing(parse: Callable[[WebhookCall], tuple[Event, ...]]) -> type[Any]:
    return like(parse=lambda _self, call: parse(call))


class Loose(BaseModel):
    """Options that are not strict."""

    secret: str
    password: str
    api_base: str


class Chatty(SoundOptions):
    """Options that show a secret."""

    def __repr__(self) -> str:
        return self.password.get_secret_value()


class Lenient(SoundOptions):
    """Options that take anything."""

    model_config = ConfigDict(extra="ignore")


def connect_at_once(self: Sound, options: SoundOptions, kit: Kit) -> None:
    self.options, self.kit = options, kit
    kit.http.get(options.api_base)


async def cut_long_texts(self: Sound, message: Outbound) -> Sent:
    short = msgspec.structs.replace(message, text=message.text[:40])
    return await self.deliver(short, await self.prepare())


async def refuse_full_texts(self: Sound, message: Outbound) -> Sent:
    if len(message.text) >= 40:
        message = msgspec.structs.replace(message, text=message.text[:39])
    return await self.deliver(message, await self.prepare())


def fresh_ids(call: WebhookCall) -> tuple[Event, ...]:
    return (Message(f"n{call.now}", "sound:customer-0815", NOW, text="where is my order"),)


def by_exact_header(self: Sound, call: WebhookCall) -> None:
    if dict(call.headers.items()).get("X-Signature", "") == "":
        raise Unverified("no")
    Sound.verify(self, call)


def kept_password(call: WebhookCall) -> tuple[Event, ...]:
    return (Message("n1", "sound:customer-0815", NOW, text="where is my order", details={"k": PASSWORD}),)


def bare_address(call: WebhookCall) -> tuple[Event, ...]:
    return (Message("n1", "customer-0815", NOW, text="where is my order"),)


def without_id(call: WebhookCall) -> tuple[Event, ...]:
    return (Message("", "sound:customer-0815", NOW, text="where is my order"),)


def careless(call: WebhookCall) -> tuple[Event, ...]:
    fields = json.loads(call.body)
    return (Message(fields["id"], f"sound:{fields['sender']}", call.now, text=fields["text"].strip()),)


def trusting(call: WebhookCall) -> tuple[Event, ...]:
    try:
        return careless(call)
    except (ValueError, LookupError, TypeError):
        return ()


def half_careless(call: WebhookCall) -> tuple[Event, ...]:
    """Notice what is no JSON object, but not which fields it has: of a hundred damaged ones many have a field less."""
    try:
        fields = msgspec.json.decode(call.body, type=dict[str, Any])
        return (Message(fields["id"], f"sound:{fields['sender']}", call.now, text=fields["text"].strip()),)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Malformed("no") from None


def telling(call: WebhookCall) -> tuple[Event, ...]:
    try:
        return careless(call)
    except ValueError:
        raise Malformed(f"cannot read {call.body!r}") from None


async def raw(self: Sound, message: Outbound, token: str) -> Sent:
    """Call the platform without translating any error."""
    await message.leaving()
    async with self.kit.http.post(f"{self.options.api_base}/send", json={"text": message.text}) as response:
        response.raise_for_status()
        return Sent((await response.json(content_type=None))["id"])


def guessing(**statuses: type[Exception]) -> Any:
    """Return a delivery that maps some statuses in another way."""

    async def deliver(self: Sound, message: Outbound, token: str) -> Sent:
        try:
            return await Sound.deliver(self, message, token)
        except (Throttled, Unreachable, Uncertain, BadOptions, Rejected) as error:
            wrong = statuses.get(f"s{error.code}")
            if wrong is Throttled:
                raise Throttled("slow", retry_after=1) from None
            if wrong is not None:
                raise wrong("wrong") from None
            raise

    return deliver


async def following(self: Sound, message: Outbound, token: str) -> Sent:
    await message.leaving()
    url, headers = f"{self.options.api_base}/send", {"Authorization": f"Bearer {token}"}
    async with self.kit.http.post(url, headers=headers, json={"text": message.text}) as response:
        if response.status != 200:
            raise Rejected("no")
        return Sent("s1")


async def sending_twice(self: Sound, message: Outbound, token: str) -> Sent:
    try:
        return await Sound.deliver(self, message, token)
    except Uncertain:
        return await Sound.deliver(self, msgspec.structs.replace(message, leaving=Leaving()), token)


async def silent_about_leaving(self: Sound, message: Outbound, token: str) -> Sent:
    return await Sound.deliver(self, msgspec.structs.replace(message, leaving=Leaving()), token)


async def leaving_too_often(self: Sound, message: Outbound, token: str) -> Sent:
    await message.leaving()
    return await Sound.deliver(self, message, token)


async def leaving_early(self: Sound, message: Outbound) -> Sent:
    await message.leaving()
    token = await self.prepare()
    return await Sound.deliver(self, msgspec.structs.replace(message, leaving=Leaving()), token)


async def deaf_to_leaving(self: Sound, message: Outbound, token: str) -> Sent:
    with contextlib.suppress(RuntimeError):
        await message.leaving()
    return await Sound.deliver(self, msgspec.structs.replace(message, leaving=Leaving()), token)


async def retrying_nonsense(self: Sound, message: Outbound, token: str) -> Sent:
    try:
        return await Sound.deliver(self, message, token)
    except Uncertain:
        raise Unreachable("what was that?") from None


async def blabbing(self: Sound, message: Outbound, token: str) -> Sent:
    try:
        return await Sound.deliver(self, message, token)
    except Uncertain as error:
        raise Uncertain(f"{error} (password {PASSWORD})") from None


async def blabbing_below(self: Sound, message: Outbound, token: str) -> Sent:
    """The error is clean but the one it comes from is not."""
    try:
        return await Sound.deliver(self, message, token)
    except Uncertain as error:
        raise Uncertain("no answer") from ValueError(PASSWORD, str(error))


async def passing_on(self: Sound, message: Outbound, token: str) -> Sent:
    await message.leaving()
    async with self.kit.http.post(f"{self.options.api_base}/send", json={}, allow_redirects=False) as response:
        raise Rejected((await response.read()).decode())


async def preparing_once_and_for_all(self: Sound) -> str:
    try:
        return await Sound.prepare(self)
    except Unreachable:
        raise Rejected("no token, no message") from None


async def without_pictures(self: Sound, message: Outbound, token: str) -> Sent:
    return Sent("s2") if message.media else await Sound.deliver(self, message, token)


BROKEN: list[tuple[str, type[Any], str]] = [
    ("kind", like(kind="Sound Kind"), "test_names_itself"),
    ("no send", like(send=None), "test_names_itself"),
    ("own options", like(Options=Loose), "test_names_itself"),
    ("limit of zero", able(text_limit=0), "test_capabilities_agree_with_each_other"),
    ("unknown family", able(media=frozenset({"hologram"})), "test_capabilities_agree_with_each_other"),
    ("media without limit", able(media_limit=0), "test_capabilities_agree_with_each_other"),
    (
        "mixed without media",
        able(media=frozenset(), media_limit=0, mixed=True),
        "test_capabilities_agree_with_each_other",
    ),
    ("unknown receipt", able(receipts=frozenset({"seen"})), "test_capabilities_agree_with_each_other"),
    ("rate of zero", able(rate=0.0), "test_capabilities_agree_with_each_other"),
    ("any option goes", like(Options=Lenient), "test_options_are_strict_and_silent"),
    ("options in clear", like(Options=Chatty), "test_options_are_strict_and_silent"),
    ("itself in clear", like(__repr__=lambda self: f"Sound({PASSWORD})"), "test_options_are_strict_and_silent"),
    ("connects at once", like(__init__=connect_at_once), "test_construction_does_no_io"),
    ("cuts texts", like(send=cut_long_texts), "test_text_over_the_limit_is_refused"),
    ("cuts full texts", like(send=refuse_full_texts), "test_text_at_the_limit_goes_whole"),
    ("no receive", like(receive=None), "test_is_a_webhook"),
    ("wrong events", parsing(lambda call: ()), "test_payload_becomes_events"),
    ("own ids", parsing(fresh_ids), "test_repeated_payload_has_the_same_ids"),
    ("case of headers", like(verify=by_exact_header), "test_repeated_payload_has_the_same_ids"),
    ("keeps a secret", parsing(kept_password), "test_events_can_be_stored"),
    ("address without scheme", parsing(bare_address), "test_events_can_be_stored"),
    ("event without id", parsing(without_id), "test_events_can_be_stored"),
    ("trusts everybody", like(verify=lambda self, call: None), "test_forged_call_is_unverified"),
    ("trusts the start", verifying(lambda good, given: given[:8] == good[:8]), "test_forged_call_is_unverified"),
    ("trusts the absent", verifying(lambda good, given: given in ("", good)), "test_forged_call_is_unverified"),
    ("trips over bytes", verifying(hmac.compare_digest), "test_forged_call_is_unverified"),
    ("proves nothing, has no path", like(proofs=()), "test_unproven_pushes_need_a_secret_path"),
    ("trusts garbage", like(verify=lambda self, call: None), "test_garbage_is_malformed"),
    ("trips over garbage", parsing(careless), "test_garbage_is_malformed"),
    ("swallows garbage", parsing(trusting), "test_garbage_is_malformed"),
    ("trips over damage", parsing(half_careless), "test_damaged_payload_is_understood_or_malformed"),
    ("shows the payload", parsing(telling), "test_refusals_show_nothing"),
    ("loses pictures", like(deliver=without_pictures), "test_message_is_sent"),
    ("silent about leaving", like(deliver=silent_about_leaving), "test_message_is_sent"),
    ("leaves too often", like(deliver=leaving_too_often), "test_message_is_sent"),
    ("leaves too early", like(send=leaving_early), "test_message_is_sent"),
    ("family without case", able(media=frozenset({"image", "video"})), "test_every_media_family_has_a_case"),
    ("raw errors", like(deliver=raw), "test_every_status_becomes_the_right_error"),
    ("patient with 400", like(deliver=guessing(s400=Unreachable)), "test_every_status_becomes_the_right_error"),
    ("sure about 500", like(deliver=guessing(s500=Rejected)), "test_every_status_becomes_the_right_error"),
    ("repeats after 500", like(deliver=guessing(s500=Unreachable)), "test_every_status_becomes_the_right_error"),
    ("gives up at 503", like(deliver=guessing(s503=Rejected)), "test_every_status_becomes_the_right_error"),
    ("blames the message", like(deliver=guessing(s401=Rejected)), "test_every_status_becomes_the_right_error"),
    ("deaf to Retry-After", like(deliver=guessing(s429=Throttled)), "test_every_status_becomes_the_right_error"),
    ("passes refusals on", like(deliver=passing_on), "test_every_status_becomes_the_right_error"),
    ("follows redirects", like(deliver=following), "test_redirect_is_not_followed"),
    ("raw timeouts", like(deliver=raw), "test_lost_answer_is_uncertain"),
    ("sends again", like(deliver=sending_twice), "test_lost_answer_is_uncertain"),
    ("blabs", like(deliver=blabbing), "test_lost_answer_is_uncertain"),
    ("blabs below", like(deliver=blabbing_below), "test_lost_answer_is_uncertain"),
    ("retries nonsense", like(deliver=retrying_nonsense), "test_nonsense_answer_is_not_retried"),
    ("trips over nonsense", like(deliver=raw), "test_nonsense_answer_is_not_retried"),
    ("gives up too early", like(prepare=preparing_once_and_for_all), "test_trouble_before_the_send_is_retried"),
    ("unsure of nothing", like(prepare=preparing_once_and_for_all), "test_refused_connection_is_unreachable"),
    ("deaf to take-over", like(deliver=deaf_to_leaving), "test_taken_over_delivery_is_not_sent"),
]


@pytest.mark.parametrize("promise", PROMISES)
def test_sound_connector_keeps_each_promise(promise: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run as the broken ones are run, the sound connector passes: what fails below fails for its fault."""
    keep(Sound, promise, monkeypatch)


@pytest.mark.parametrize(("connector", "promise"), [pytest.param(*row[1:], id=row[0]) for row in BROKEN])
def test_broken_connector_is_caught(connector: type[Any], promise: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each fault makes the promise fail that it breaks."""
    with pytest.raises((Exception, pytest.fail.Exception)):
        keep(connector, promise, monkeypatch)


def test_every_promise_is_seen_to_fail() -> None:
    """No promise of the suite is without a connector that breaks it."""
    assert set(PROMISES) == {promise for _, _, promise in BROKEN}
