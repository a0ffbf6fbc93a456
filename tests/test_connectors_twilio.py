"""twilio-sms: the contract of every connector, Twilio's own vectors, and a day with the simulator."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

import pytest
from msgspec.structs import replace
from pydantic import ValidationError

from connectors.base import (
    BadOptions,
    Malformed,
    Message,
    Rejected,
    SendError,
    Sent,
    Throttled,
    Unreachable,
    Unverified,
    WebhookCall,
    WindowClosed,
)
from connectors.calls import Reply as PlatformReply
from connectors.testing import (
    NOW,
    Payload,
    ReceivingContract,
    Reply,
    Request,
    Sending,
    SendingContract,
    attachment,
    outbound,
    read_events,
    webhook_call,
)
from connectors.twilio import CODES, STATUSES, TwilioOptions, TwilioSms, parse, refusal
from connectors.twilio_signature import verified
from tests.twilio_account import ACCOUNT, BUYER, HOOK, SERVICE, SMS, TOKEN, connector, options

PAYLOADS = Path(__file__).parent / "payloads" / "twilio-sms"


def proof(url: str, fields: Mapping[str, str], token: str = TOKEN, digest: str = "sha1") -> str:
    """Sign as Twilio does, with nothing of the connector's."""
    text = url + "".join(name + fields[name] for name in sorted(fields))
    return base64.b64encode(hmac.new(token.encode(), text.encode("utf-8", "replace"), digest).digest()).decode()


def signed(body: bytes, url: str = HOOK) -> WebhookCall:
    """Return *body* as a form that Twilio posted."""
    fields: dict[str, set[str]] = {}
    for name, value in parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True):
        fields.setdefault(name, set()).add(value)
    text = url + "".join(name + value for name in sorted(fields) for value in sorted(fields[name]))
    mac = hmac.new(TOKEN.encode(), text.encode("utf-8", "replace"), "sha1").digest()
    headers = {
        "X-Twilio-Signature": base64.b64encode(mac).decode(),
        "Content-Type": "application/x-www-form-urlencoded; charset=UTF-8",
    }
    return webhook_call(body, url=url, headers=headers)


class TestContract(ReceivingContract, SendingContract):
    """What every connector promises."""

    connector_class = TwilioSms
    address = f"tel:{BUYER}"
    proofs = ("X-Twilio-Signature",)

    def options(self, platform: str) -> dict[str, Any]:
        extra = {"api_key": "SK" + "b" * 32, "api_key_secret": "an-api-key-secret", "signing_key": "a-signing-key-1"}
        return options(api_base=platform, **extra)

    def payloads(self) -> list[Payload]:
        files = sorted(PAYLOADS.glob("*.form"))
        return [
            Payload(file.stem, signed(file.read_bytes()), read_events(file.with_suffix(".expected.json")))
            for file in files
        ]

    def sign(self, body: bytes) -> WebhookCall:
        return signed(body)

    def equivalent(self, body: bytes, other: bytes) -> bool:
        """The signature covers what the form says, not how it is written (%2B or %2b)."""
        one, two = (
            sorted(set(parse_qsl(form.decode("utf-8", "replace"), keep_blank_values=True))) for form in (body, other)
        )
        return one == two

    def sendings(self) -> list[Sending]:
        sent = Sent("SM" + "1" * 32)

        def text(requests: Any) -> None:
            assert requests[0].form() == [
                ("To", BUYER),
                ("From", SMS),
                ("Body", "您的包裹已发出 😀"),
                ("StatusCallback", f"{HOOK}#rc=5&rp=ct,rt,5xx"),
            ]
            credentials = base64.b64encode(f"SK{'b' * 32}:an-api-key-secret".encode()).decode()
            assert requests[0].headers["Authorization"] == f"Basic {credentials}"
            assert requests[0].path == f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json"

        media = [
            attachment("a.jpg", "image/jpeg"),
            attachment("b.pdf", "application/pdf"),
            attachment("c.amr", "audio/amr"),
            attachment("d.mp4", "video/mp4"),
        ]

        def files(requests: Any) -> None:
            assert [value for name, value in requests[0].form() if name == "MediaUrl"] == [one.url for one in media]

        return [
            Sending("text", outbound(address=self.address, text="您的包裹已发出 😀"), sent, text),
            Sending("files", outbound(address=self.address, text="see", media=media), sent, files),
        ]

    def platform_answer(self, request: Request) -> Reply:
        return Reply(201, json.dumps({"sid": "SM" + "1" * 32, "status": "queued"}))


VECTOR = {
    "CallSid": "CA1234567890ABCDE",
    "Digits": "1234",
    "From": "+14158675309",
    "To": "+18005551212",
    "Caller": "+14158675309",
}
VECTOR_URL = "https://mycompany.com/myapp.php?foo=1&bar=2"
VECTOR_PROOF = "RSOYDt4T1cUTdK1PDd93/VVr8B8="


def form_call(fields: Mapping[str, str], url: str, given: str, **headers: str) -> WebhookCall:
    named = {"X-Twilio-Signature": given, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return webhook_call(urlencode(fields).encode(), url=url, headers=named)


def test_documented_vector() -> None:
    """The example of Twilio's documentation is accepted, and its fields are returned."""
    assert verified(form_call(VECTOR, VECTOR_URL, VECTOR_PROOF), b"12345") == VECTOR
    assert proof(VECTOR_URL, VECTOR, "12345") == VECTOR_PROOF


@pytest.mark.parametrize(
    ("called", "signed_url"),
    [
        ("https://mycompany.com:443/a?b=1", "https://mycompany.com/a?b=1"),
        ("https://mycompany.com/a?b=1", "https://mycompany.com:443/a?b=1"),
        ("https://mycompany.com:8443/a", "https://mycompany.com/a"),
        ("https://mycompany.com:8443/a", "https://mycompany.com:8443/a"),
        ("http://mycompany.com/a", "http://mycompany.com:80/a"),
        ("http://[::1]:8080/a", "http://[::1]:8080/a"),
        ("http://[::1]/a", "http://[::1]:80/a"),
        ("https://MyCompany.com/a", "https://MyCompany.com:443/a"),
    ],
)
def test_port_in_the_signed_address_does_not_matter(called: str, signed_url: str) -> None:
    """Twilio signs the address with or without its port."""
    call = form_call(VECTOR, called, proof(signed_url, VECTOR))

    assert verified(call, TOKEN.encode()) == VECTOR


@pytest.mark.parametrize("signed_url", ["https://other.example/a", "http://mycompany.com/a", "https://mycompany.com/A"])
def test_another_address_is_unverified(signed_url: str) -> None:
    """A signature for another host, scheme or path is none for this one."""
    with pytest.raises(Unverified):
        verified(form_call(VECTOR, "https://mycompany.com/a", proof(signed_url, VECTOR)), TOKEN.encode())


@pytest.mark.parametrize("url", ["https://mycompany.com:port/a", "https://[::1/a", "https://mycompany.com:99999/a", ""])
def test_an_impossible_address_is_unverified(url: str) -> None:
    """Nobody can have signed a call to an address that is none."""
    call = replace(form_call(VECTOR, HOOK, proof(url, VECTOR)), url=url)
    with pytest.raises(Unverified):
        verified(call, b"another-token")


def test_repeated_fields_are_signed_once_each() -> None:
    """Of repeated fields every distinct value is signed in order, and the first is taken."""
    call = signed(b"A=2&B=x&A=1&A=2")

    assert verified(call, TOKEN.encode()) == {"A": "2", "B": "x"}


JSON_BODY = b'{"property": "value", "boolean": true}'
JSON_URL = f"{VECTOR_URL}&bodySHA256=0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620"


def test_json_vector_is_verified() -> None:
    """For JSON only the address is signed, with the body's digest; what is no object of strings is Malformed."""
    call = webhook_call(JSON_BODY, url=JSON_URL, headers={"X-Twilio-Signature": "a9nBmqA0ju/hNViExpshrM61xv4="})
    with pytest.raises(Malformed):
        verified(call, b"12345")
    with pytest.raises(Unverified):
        verified(replace(call, body=JSON_BODY.replace(b"value", b"valuf")), b"12345")
    with pytest.raises(Unverified):
        verified(call, b"12346")


async def test_json_message_is_received() -> None:
    """The same fields as a JSON object of strings mean the same as the form."""
    fields = dict(parse_qsl((PAYLOADS / "text.form").read_text(), keep_blank_values=True))
    body = json.dumps(fields).encode()
    url = f"{HOOK}?bodySHA256={hashlib.sha256(body).hexdigest()}"
    call = webhook_call(body, url=url, headers={"X-Twilio-Signature": proof(url, {})})
    received = await connector().receive(call)

    assert tuple(received.events) == read_events(PAYLOADS / "text.expected.json")


async def test_get_webhook_is_received() -> None:
    """A number may be configured for GET: the fields stand in the address, and the signature covers it."""
    url = f"{HOOK}?{(PAYLOADS / 'text.form').read_text()}"
    call = webhook_call(method="GET", url=url, headers={"X-Twilio-Signature": proof(url, {})})
    received = await connector().receive(call)

    assert tuple(received.events) == read_events(PAYLOADS / "text.expected.json")
    assert received.answer.body == b"<Response></Response>"
    assert received.answer.content_type.startswith("text/xml")


@pytest.mark.parametrize(
    ("settings", "key", "digest", "accepted"),
    [
        ("key=webhooks_sharedkey_1,algorithm=HMAC_SHA256", "new-key-1", "sha256", True),
        ("key=webhooks_sharedkey_1, algorithm=hmac_sha256", "old-key-1", "sha256", True),
        ("key=webhooks_sharedkey_1", "new-key-1", "sha1", True),
        ("key=webhooks_sharedkey_1,algorithm=HMAC_SHA256", "new-key-1", "sha1", False),
        ("key=webhooks_sharedkey_1,algorithm=HMAC_SHA256", TOKEN, "sha256", False),
        ("key=webhooks_sharedkey_1,algorithm=HMAC_MD5", "new-key-1", "md5", False),
        ("", "new-key-1", "sha1", False),
    ],
)
def test_shared_keys(settings: str, key: str, digest: str, accepted: bool) -> None:
    """A call whose settings header names a shared key is verified with ours, old or new, and with no other secret."""
    headers = {"X_Twilio_Webhooks_Signature_Settings": settings}
    call = form_call(VECTOR, HOOK, proof(HOOK, VECTOR, key, digest), **headers)
    keys = [b"new-key-1", b"old-key-1"]
    if accepted:
        assert verified(call, TOKEN.encode(), keys) == VECTOR
    else:
        with pytest.raises(Unverified):
            verified(call, TOKEN.encode(), keys)
    with pytest.raises(Unverified):
        verified(call, TOKEN.encode())


@pytest.mark.parametrize(
    "change",
    [
        {"MessageSid": "", "SmsSid": ""},
        {"MessageSid": "SM1"},
        {"AccountSid": "AC" + "f" * 32},
        {"AccountSid": ""},
        {"From": ""},
        {"From": "12"},
        {"NumMedia": "x"},
        {"NumMedia": "1"},
        {"MessageStatus": "teleported"},
    ],
)
async def test_signed_nonsense_is_malformed(change: dict[str, str]) -> None:
    """What Twilio would never say is kept as it is for a person to look at."""
    fields = {**dict(parse_qsl((PAYLOADS / "text.form").read_text(), keep_blank_values=True)), **change}
    with pytest.raises(Malformed):
        await connector().receive(signed(urlencode(fields).encode()))


def test_every_status_of_the_documentation_is_mapped() -> None:
    """No status is forgotten; received and receiving belong to incoming messages."""
    documented = [
        "queued",
        "sending",
        "sent",
        "delivered",
        "undelivered",
        "failed",
        "read",
        "accepted",
        "scheduled",
        "partially_delivered",
        "canceled",
    ]

    assert set(STATUSES) == set(documented)


@pytest.mark.parametrize(
    ("place", "text"),
    [
        ({"Label": "人民广场", "Address": "上海"}, "人民广场\n上海"),
        ({"Address": "上海"}, "上海"),
        ({"Label": "上海", "Address": "上海"}, "上海"),
        ({}, ""),
        ({"Label": "人民广场", "Body": "在这里"}, "在这里"),
    ],
)
def test_a_location_says_where(place: dict[str, str], text: str) -> None:
    """A location has no Body but Label and Address (twilio.com/docs/messaging/guides/webhook-request)."""
    head = {"MessageSid": "SM" + "1" * 32, "From": "whatsapp:+14158675309", "Body": ""}
    [event] = parse(head | {"Latitude": "31.2304", "Longitude": "121.4737"} | place, NOW)

    assert isinstance(event, Message)
    assert (event.type, event.text) == ("location", text)


@pytest.mark.parametrize(
    ("status", "code", "expected", "retry_after"),
    [
        (400, 21610, Rejected, None),
        (400, 21211, Rejected, None),
        (400, 21614, Rejected, None),
        (400, 21617, Rejected, None),
        (400, 21408, BadOptions, None),
        (400, 21606, BadOptions, None),
        (400, 21609, BadOptions, None),
        (400, 21661, BadOptions, None),
        (400, 21702, Unreachable, None),
        (400, 21704, BadOptions, None),
        (400, 63007, BadOptions, None),
        (400, 21611, Throttled, 60.0),
        (400, 63016, WindowClosed, None),
        (401, 20003, BadOptions, None),
        (404, 20404, BadOptions, None),
        (429, 20429, Throttled, 30.0),
        (429, 99999, Throttled, 30.0),
        (400, 99999, Rejected, None),
        (403, "", BadOptions, None),
    ],
)
def test_twilio_codes_become_the_right_error(
    status: int, code: int | str, expected: type[SendError], retry_after: float | None
) -> None:
    """Twilio's own code (twilio.com/docs/api/errors) decides where it is known, and stands in the error.

    Its message, with the number, does not.
    """
    body = json.dumps({"code": code, "message": f"The 'To' number {BUYER} is bad", "status": status}).encode()
    error = refusal(PlatformReply(status, {}, body))

    assert type(error) is expected
    assert error.code == str(code or status)
    assert getattr(error, "retry_after", None) == retry_after
    assert BUYER not in f"{error}{error!r}"


def test_codes_have_a_meaning() -> None:
    """Each known code says in words what happened, for the timeline."""
    assert all(code.isdigit() and known.meaning for code, known in CODES.items())


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"account_sid": "AC1"}, "account_sid"),
        ({"from_number": None}, "from_number or messaging_service_sid"),
        ({"messaging_service_sid": SERVICE}, "from_number or messaging_service_sid"),
        ({"from_number": "13800138000x!"}, "from_number"),
        ({"api_key": "SK" + "b" * 32}, "go together"),
        ({"api_base": "api.twilio.com"}, "api_base"),
        ({"auth_token": ""}, "auth_token"),
        ({"region": "China"}, "region"),
    ],
)
def test_wrong_options_are_refused(change: dict[str, Any], fault: str) -> None:
    """Each fault names its option, and no secret."""
    with pytest.raises(ValidationError) as refused:
        TwilioOptions.model_validate(options(**change))

    assert fault in str(refused.value)
    assert TOKEN not in str(refused.value)


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (outbound(address="sms:TAOBAO", text="hi"), "texted"),
        (outbound(address="wechat:o1", text="hi"), "texted"),
        (outbound(text=""), "empty"),
        (outbound(text="hi", media=[attachment()] * 11), "10 attachments"),
        (outbound(text="😀" * 801), "1600"),
    ],
)
async def test_hopeless_messages_never_leave(message: Any, reason: str) -> None:
    """What Twilio would refuse in any case is refused without a request."""
    with pytest.raises(Rejected, match=reason):
        await connector().send(message)

    assert message.leaving.count == 0


def test_media_addresses_are_quoted_like_any_field() -> None:
    """The payload files are what a form encoder writes, so that the signatures cover what Twilio would send."""
    for file in PAYLOADS.glob("*.form"):
        pairs = parse_qsl(file.read_text(), keep_blank_values=True, strict_parsing=True)
        assert urlencode(pairs, quote_via=quote).replace("%20", "+") == file.read_text()
