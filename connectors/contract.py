"""The promises that every connector keeps, as tests that a connector's own tests inherit (see `connectors.testing`)."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy
from pydantic import ValidationError

from connectors.base import (
    Answer,
    BadOptions,
    Connector,
    Event,
    Kit,
    Malformed,
    Options,
    Outbound,
    Receipt,
    Rejected,
    SendError,
    Sent,
    Throttled,
    Uncertain,
    Unreachable,
    Unverified,
    Webhook,
    WebhookCall,
    media_family,
)
from connectors.hostile import damaged, flips, leaks, secrets_of, with_proof
from connectors.props import Leaving, kit, outbound
from connectors.scripted import Fault, Platform, Reply, Request, closed_port, session


@dataclass(frozen=True, slots=True)
class Payload:
    """A genuine call and what it means. *answer* is the exact answer, None if any status below 300 will do."""

    label: str
    call: WebhookCall
    events: tuple[Event, ...]
    answer: Answer | None = None


@dataclass(frozen=True, slots=True)
class Sending:
    """A message, what the connector must return for it, and *check*, which asserts what the platform must have got."""

    label: str
    message: Outbound
    sent: Sent
    check: Callable[[Sequence[Request]], None] | None = None


_HOSTILE = settings(
    max_examples=150,
    deadline=None,
    database=None,
    # One inherited test runs for each connector: that is what a contract is.
    suppress_health_check=[HealthCheck.differing_executors, HealthCheck.too_slow],
)


class ConnectorContract:
    """What every connector promises, whatever it speaks.

    A subclass sets `connector_class` and `options`. `address` is somebody the channel could write to.
    """

    connector_class: ClassVar[type[Any]]
    address: ClassVar[str] = "tel:+8613800138000"

    def options(self, platform: str) -> Mapping[str, Any]:
        """Return options as they stand in YAML, with *platform* (a base URL) wherever the platform's address goes.

        Give every secret a value that occurs nowhere else, at least 8 characters long.
        """
        raise NotImplementedError

    def connector(self, kit: Kit, platform: str = "http://127.0.0.1:9") -> Any:
        """Return a new connector with these options."""
        return self.connector_class(self._options(platform), kit)

    def secrets(self) -> tuple[str, ...]:
        """Return every value that may never be shown."""
        return secrets_of(self._options("http://127.0.0.1:9"))

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Make one test per case of `payloads` and `sendings`."""
        for name, source in (("payload", "payloads"), ("sending", "sendings")):
            if name in metafunc.fixturenames:
                cases = list(getattr(self, source)())
                metafunc.parametrize(name, cases, ids=[case.label for case in cases])

    def _options(self, platform: str) -> Options:
        checked: Options = self.connector_class.Options.model_validate(self.options(platform))
        return checked

    def test_names_itself(self) -> None:
        """A connector has a kind that YAML can say, options of our strict base, and a send."""
        connector: type[Connector] = self.connector_class

        assert re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", connector.kind), f"kind {connector.kind!r}"
        assert issubclass(connector.Options, Options), "Options must extend connectors.base.Options"
        assert callable(getattr(connector, "send", None)), "no send()"

    def test_capabilities_agree_with_each_other(self) -> None:
        """Capabilities are data that the outbox and the console rely on: they may not contradict each other."""
        can = self.connector_class.capabilities

        assert can.text_limit is None or can.text_limit > 0, "text_limit"
        assert can.media <= {"image", "file", "voice", "video"}, f"unknown families {sorted(can.media)}"
        assert bool(can.media) == (can.media_limit > 0), "media_limit must be set if and only if media are sent"
        assert can.media or not can.mixed, "mixed without media"
        assert can.receipts <= {"sent", "delivered", "read", "failed"}, f"unknown receipts {sorted(can.receipts)}"
        assert can.rate is None or can.rate > 0, "rate"
        assert can.window is None or can.window.seconds > 0, "window"

    def test_options_are_strict_and_silent(self) -> None:
        """An unknown option is refused, and no secret shows in the options, the connector or the refusal."""
        good = self._options("http://127.0.0.1:9")
        with pytest.raises(ValidationError) as refused:
            self.connector_class.Options.model_validate({**self.options("http://127.0.0.1:9"), "no_such_option": 1})
        shown = f"{good!r} {good} {self.connector(kit())!r} {refused.value}"

        assert [word for word in self.secrets() if word in shown] == [], "a secret is shown"

    def test_construction_does_no_io(self) -> None:
        """A connector can be made without a loop and without a network."""
        assert self.connector(kit()) is not None

    async def test_text_over_the_limit_is_refused(self) -> None:
        """A text over the limit is `Rejected` before anything leaves: the outbox cuts, a connector never does."""
        limit = self.connector_class.capabilities.text_limit
        if limit is None:
            pytest.skip("this connector has no text limit")
        leaving = Leaving()
        with pytest.raises(Rejected):
            await self.connector(kit()).send(outbound(address=self.address, text="a" * (limit + 1), leaving=leaving))

        assert leaving.count == 0, "a message that is too long was announced as leaving"


class ReceivingContract(ConnectorContract):
    """What every connector with a webhook promises.

    `proofs` are the headers or query parameters that prove where a call comes from; `body_proven`
    says whether the proof covers the body (false only where the platform's scheme does not). A platform that proves
    nothing has no `proofs`: then the channel's secret path does, which the door compares.
    """

    proofs: ClassVar[tuple[str, ...]]
    body_proven: ClassVar[bool] = True

    def payloads(self) -> Iterable[Payload]:
        """Return genuine calls, best from the platform's documents, with the events they mean."""
        raise NotImplementedError

    def sign(self, body: bytes) -> WebhookCall:
        """Return *body* as a genuine call, signed by code that is not the connector's."""
        raise NotImplementedError

    def meaningful(self, body: bytes) -> bool:  # noqa: ARG002  # for subclasses
        """Tell whether *body*, made at random, happens to be something the platform could say."""
        return False

    def equivalent(self, body: bytes, other: bytes) -> bool:
        """Tell whether the platform's signature cannot tell *other* from *body*, because they mean the same."""
        return body == other

    def test_is_a_webhook(self) -> None:
        """The hub finds `receive` by the protocol."""
        assert isinstance(self.connector(kit()), Webhook)

    async def test_payload_becomes_events(self, payload: Payload) -> None:
        """A genuine call gives exactly the expected events and an answer that the platform takes as done."""
        received = await self.connector(kit(now=lambda: payload.call.now)).receive(payload.call)

        assert tuple(received.events) == payload.events
        assert received.answer.status < 300 if payload.answer is None else received.answer == payload.answer

    async def test_repeated_payload_has_the_same_ids(self, payload: Payload) -> None:
        """The same call a second later, in another process and with lower-case headers, gives the same ids."""
        lower = CIMultiDictProxy(CIMultiDict({name.lower(): value for name, value in payload.call.headers.items()}))
        repeated = msgspec.structs.replace(payload.call, now=payload.call.now + 1000, headers=lower)
        first = await self.connector(kit(now=lambda: payload.call.now)).receive(payload.call)
        again = await self.connector(kit(now=lambda: repeated.now)).receive(repeated)

        assert [_identity(event) for event in first.events] == [_identity(event) for event in again.events]

    async def test_events_can_be_stored(self, payload: Payload) -> None:
        """Every event has an id and an address, survives JSON, and holds no secret of the channel."""
        received = await self.connector(kit(now=lambda: payload.call.now)).receive(payload.call)
        stored = msgspec.json.encode(tuple(received.events))

        assert msgspec.json.decode(stored, type=tuple[Event, ...]) == tuple(received.events)
        assert all(all(_identity(event)) for event in received.events), "an event without an id"
        for event in received.events:
            address = getattr(event, "address", "x:y")
            assert re.fullmatch(r"[a-z][a-z0-9+.-]*:\S.*", address, re.DOTALL), "an address is scheme:value"
        assert [word for word in self.secrets() if word.encode() in stored] == [], "a secret is stored"

    async def test_forged_call_is_unverified(self, payload: Payload) -> None:
        """Without its proof, or with any bit of the proof or of the body changed, a call is refused."""
        if not self.proofs:
            return
        connector, call = self.connector(kit(now=lambda: payload.call.now)), payload.call
        proofs = {name: call.headers.get(name, call.query.get(name)) for name in self.proofs}
        present = {name: value for name, value in proofs.items() if value is not None}
        assert present, f"the payload carries none of {self.proofs}"
        forged = [with_proof(call, name, value) for name in present for value in (None, "", "ä", "0")]
        for name, value in present.items():
            forged += [with_proof(call, name, bits.decode("latin-1")) for bits in flips(value.encode(), 512)]
        if self.body_proven:
            bodies = (*flips(call.body, 256), call.body + b" ", b"")
            others = (body for body in bodies if not self.equivalent(call.body, body))
            forged += [msgspec.structs.replace(call, body=body) for body in others]
        outcomes = {await _outcome(connector, one) for one in forged if one != call}

        assert outcomes == {"Unverified"}, f"forged calls ended as {outcomes}"

    def test_unproven_pushes_need_a_secret_path(self) -> None:
        """A channel whose platform proves nothing is refused without a secret path, which is nowhere shown."""
        if self.proofs:
            return
        options = dict(self.options("http://127.0.0.1:9"))
        path = options.pop("secret_path", "")
        with pytest.raises(ValidationError):
            self.connector_class.Options.model_validate(options)

        assert path in self.secrets(), "secret_path is no SecretStr"

    @_HOSTILE
    @given(
        body=st.binary(max_size=300)
        | st.text(max_size=80).map(str.encode)
        | st.sampled_from([b"null", b"[]", b"{}", b"1"])
    )
    async def test_garbage_is_malformed(self, body: bytes) -> None:
        """Rightly signed garbage is `Malformed` and nothing else; without its proof it is `Unverified`."""
        connector, call = self.connector(kit()), self.sign(body)
        unsigned = call
        for name in self.proofs:
            unsigned = with_proof(unsigned, name, None)
        allowed = {"Malformed", "received"} if self.meaningful(body) else {"Malformed"}

        assert await _outcome(connector, call) in allowed, "signed garbage"
        assert not self.proofs or await _outcome(connector, unsigned) == "Unverified", "unsigned garbage"

    @_HOSTILE
    @given(data=st.data())
    async def test_damaged_payload_is_understood_or_malformed(self, data: st.DataObject) -> None:
        """A rightly signed call whose body is almost right is received or `Malformed`; nothing else ever escapes."""
        bodies = [payload.call.body for payload in self.payloads() if payload.call.body]
        body = data.draw(st.sampled_from(bodies).flatmap(damaged))
        outcome = await _outcome(self.connector(kit()), self.sign(body))

        assert outcome in {"Malformed", "received"}, f"{outcome} for {body!r}"

    async def test_refusals_show_nothing(self, payload: Payload) -> None:
        """Neither a refused nor a malformed call puts a secret or a customer's data into the error."""
        words = [*self.secrets(), *(word for event in payload.events for word in _personal(event))]
        connector = self.connector(kit(now=lambda: payload.call.now))
        unsigned, body = payload.call, payload.call.body
        for name in self.proofs:
            unsigned = with_proof(unsigned, name, None)
        for call in (unsigned, *map(self.sign, (body + b"\x00", b"\x00" + body, body[: len(body) // 2]))):
            error = await _refusal(connector, call)

            assert leaks(error, words) == [], "the error shows a secret or personal data"


class SendingContract(ConnectorContract):
    """What every connector that sends by HTTP promises.

    The scripted platform answers each request by `platform_answer`; `delivers` tells the request
    that cannot be taken back from those that only prepare it (tokens, uploads).
    """

    def sendings(self) -> Iterable[Sending]:
        """Return messages with what must come of them: the plainest first, and one for every media family."""
        raise NotImplementedError

    def platform_answer(self, request: Request) -> Reply:
        """Return what the platform answers when all is well."""
        raise NotImplementedError

    def delivers(self, request: Request) -> bool:  # noqa: ARG002  # for subclasses
        """Tell whether *request* is the one that cannot be taken back."""
        return True

    def refusal(self, status: int) -> bytes:  # noqa: ARG002  # for subclasses
        """Return the body that goes with an error status; the default shows secrets, which must not be passed on."""
        return json.dumps({"message": " ".join([*self.secrets(), self.address])}).encode()

    def expected_errors(self, status: int) -> tuple[type[SendError], ...]:
        """Return the errors that an HTTP *status* of the sending request may become; none if it means success."""
        if status == 429:
            return (Throttled,)
        if status == 503:
            return (Unreachable, Throttled)
        if status >= 500:
            return (Uncertain, Unreachable) if self.connector_class.capabilities.idempotent else (Uncertain,)
        return (BadOptions,) if status in (401, 403) else (Rejected,)

    async def test_message_is_sent(self, sending: Sending) -> None:
        """The platform gets the message once, after one announcement; what prepares it comes before that."""
        async with self._stage(self.platform_answer) as stage:
            sent = await stage.send(sending)

            assert sent == sending.sent
            assert stage.leaving.count == 1, f"leaving was awaited {stage.leaving.count} times"
            delivering = [request for request in stage.platform.requests if self.delivers(request)]
            assert [request.left for request in delivering] == [1], "exactly one request after leaving was announced"
            assert all(request.left == 0 for request in stage.platform.requests if not self.delivers(request))
            if sending.check is not None:
                sending.check(stage.platform.requests)

    async def test_every_media_family_has_a_case(self) -> None:
        """What the capabilities name is shown to work by at least one sending."""
        shown = {media_family(media.type) for sending in self.sendings() for media in sending.message.media}

        assert self.connector_class.capabilities.media <= shown

    async def test_text_at_the_limit_goes_whole(self) -> None:
        """A text of exactly the limit is sent, all of it."""
        limit = self.connector_class.capabilities.text_limit
        if limit is None:
            pytest.skip("this connector has no text limit")
        first = next(iter(self.sendings()))
        message = msgspec.structs.replace(first.message, text="a" * limit, media=())
        async with self._stage(self.platform_answer) as stage:
            await stage.send(replace(first, message=message))

            requests = stage.platform.requests
            told = [one for request in requests for one in (request.body.decode("latin-1"), *request.query.values())]
            assert any("a" * limit in one for one in told), "the text was cut"

    async def test_every_status_becomes_the_right_error(self) -> None:
        """Each HTTP status from 300 to 599 becomes a `SendError` that says truly whether to try again."""
        wrong = []
        async with self._stage(self.platform_answer) as stage:
            for status in range(300, 600):
                for headers in ({}, {"Retry-After": "7"}) if status in (429, 503) else ({},):
                    stage.restart(partial(self._unless, Reply(status, self.refusal(status), headers)))
                    error = await stage.fail()
                    expected = self.expected_errors(status)
                    if not expected and error is None:
                        continue
                    if not isinstance(error, expected):
                        named = " or ".join(one.__name__ for one in expected)
                        wrong.append(f"{status}: {type(error).__name__}, expected {named}")
                    elif isinstance(error, Throttled) and (
                        error.retry_after != 7 if headers else error.retry_after <= 0
                    ):
                        wrong.append(f"{status}: retry_after {error.retry_after}")
                    elif stage.leaked(error):
                        wrong.append(f"{status}: a secret or personal data is shown")

        assert wrong == []

    async def test_redirect_is_not_followed(self) -> None:
        """A platform that redirects a send does not get its secrets carried elsewhere."""
        async with Platform(lambda _: Reply()) as elsewhere:
            for status in (301, 302, 303, 307, 308):
                reply = Reply(status, headers={"Location": f"{elsewhere.url}/stolen"})
                async with self._stage(partial(self._unless, reply)) as stage:
                    error = await stage.fail()

                    assert isinstance(error, SendError), f"{status}: {type(error).__name__}"
                assert elsewhere.requests == [], f"status {status} was followed to another host"

    async def test_lost_answer_is_uncertain(self) -> None:
        """When the platform hangs or cuts the connection, the send is `Uncertain`, made once, and shows no secret."""
        for fault in Fault:
            async with self._stage(partial(self._unless, fault)) as stage:
                error = await stage.fail()

                assert isinstance(error, self.expected_errors(500)), f"{fault.name}: {type(error).__name__}"
                assert stage.leaked(error) == [], f"{fault.name}: the error shows a secret or personal data"
                assert sum(map(self.delivers, stage.platform.requests)) == 1, f"{fault.name}: sent again blindly"
                assert stage.leaving.count == 1, f"{fault.name}: leaving"

    async def test_nonsense_answer_is_not_retried(self) -> None:
        """A success that cannot be read is no reason to send again, and never another exception."""
        for body in (b"", b"\x00\xff", b"null", b"[]", b"{}", b'"x"', b"<html>"):
            async with self._stage(partial(self._unless, Reply(200, body))) as stage:
                outcome = await stage.fail()

                assert outcome is None or (isinstance(outcome, SendError) and not outcome.retryable), (
                    f"{type(outcome).__name__} for {body!r}"
                )

    async def test_trouble_before_the_send_is_retried(self) -> None:
        """If what prepares a send (a token, an upload) fails by hanging, cutting or 500, nothing left: try again."""
        for fault in (Fault.HANG, Fault.CUT, Reply(500)):
            script = partial(self._unless_preparing, fault)
            async with self._stage(script) as stage:
                error = await stage.fail()
                prepared = any(not self.delivers(request) for request in stage.platform.requests)

                assert getattr(error, "retryable", False) == prepared, f"{fault}: {error!r}"
                assert stage.leaving.count == (0 if prepared else 1), f"{fault}: leaving"

    async def test_refused_connection_is_unreachable(self) -> None:
        """Nothing left when nobody listens: `Unreachable`, without a secret."""
        async with self._stage(self.platform_answer, f"http://127.0.0.1:{closed_port()}") as stage:
            error = await stage.fail()

            assert isinstance(error, Unreachable), type(error).__name__
            assert stage.leaked(error) == []

    async def test_taken_over_delivery_is_not_sent(self) -> None:
        """When `leaving` raises, another process has the delivery: its error goes up and no request goes out."""
        taken = RuntimeError("taken over")
        async with self._stage(self.platform_answer, leaving=Leaving(taken)) as stage:
            with pytest.raises(RuntimeError, match="taken over"):
                await stage.send(next(iter(self.sendings())))

            assert not any(map(self.delivers, stage.platform.requests)), "the message was sent all the same"

    def _unless(self, reply: Reply | Fault, request: Request) -> Reply | Fault:
        return reply if self.delivers(request) else self.platform_answer(request)

    def _unless_preparing(self, reply: Reply | Fault, request: Request) -> Reply | Fault:
        return self.platform_answer(request) if self.delivers(request) else reply

    @contextlib.asynccontextmanager
    async def _stage(
        self, script: Callable[[Request], Reply | Fault], url: str = "", leaving: Leaving | None = None
    ) -> AsyncIterator[_Stage]:
        leaving = leaving or Leaving()
        async with Platform(script, leaving) as platform, session(platform) as http:
            stage = _Stage(self, platform, leaving, partial(self.connector, kit(http=http), url or platform.url))
            stage.restart(script)
            yield stage


@dataclass(slots=True)
class _Stage:
    """A connector before a scripted platform."""

    contract: SendingContract
    platform: Platform
    leaving: Leaving
    make: Callable[[], Any]
    connector: Any = None

    def restart(self, script: Callable[[Request], Reply | Fault]) -> None:
        """Put a new connector on, before a platform that answers by *script*."""
        self.platform.script = script
        self.platform.requests.clear()
        self.leaving.count = 0
        self.connector = self.make()

    async def send(self, sending: Sending) -> Sent:
        sent: Sent = await self.connector.send(msgspec.structs.replace(sending.message, leaving=self.leaving))
        return sent

    async def fail(self) -> BaseException | None:
        """Send the plainest message and return what it raised."""
        try:
            await self.send(next(iter(self.contract.sendings())))
        except Exception as error:  # noqa: BLE001  # the caller judges what it is
            return error
        return None

    def leaked(self, error: BaseException | None) -> list[str]:
        message = next(iter(self.contract.sendings())).message
        words = [*self.contract.secrets(), message.address.partition(":")[2]]
        return leaks(error, words) if error is not None else []


def _identity(event: Event) -> tuple[str, ...]:
    return (event.message_id, event.state) if isinstance(event, Receipt) else (event.external_id,)


def _personal(event: Event) -> list[str]:
    """Return what of *event* no error may show; words too short to be found by chance are left out."""
    values = (getattr(event, "address", "").partition(":")[2], getattr(event, "text", ""))
    return [value for value in values if len(value) > 3]


async def _refusal(connector: Any, call: WebhookCall) -> Exception:
    try:
        await connector.receive(call)
    except (Unverified, Malformed) as error:
        return error
    return Malformed("understood all the same")


async def _outcome(connector: Any, call: WebhookCall) -> str:
    """Name what `receive` did with *call*: "received", "Unverified", "Malformed" or the wrong exception."""
    try:
        await connector.receive(call)
    except Exception as error:  # noqa: BLE001  # naming the wrong exception is the point
        return type(error).__name__
    return "received"
