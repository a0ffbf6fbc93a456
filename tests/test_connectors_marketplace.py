"""The parts that marketplace connectors share."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.base import Echo, Malformed, Message, Unreachable
from connectors.marketplace import (
    NEVER,
    Counterparts,
    Succession,
    canonical,
    chain_name,
    decode,
    exact,
    identifier,
    matches,
    milliseconds,
    moment,
    said,
    sign_call,
    sign_enclosed,
    sign_path,
    sign_push,
    unwrap,
)
from connectors.testing import NOW, InMemory
from connectors.tokens import Grant, Tokens

LAZADA = {"app_key": "123456", "sign_method": "sha256", "timestamp": "1517820392000", "access_token": "test"}
TIKTOK_PATH = "/customer_service/202309/conversations/7494560109732334265/messages"

SIGNATURES = {
    "Shopee: a call of the API": (
        sign_call(
            "testpartnerkey",
            "2001887",
            "/api/v2/sellerchat/send_message",
            "1655714431",
            "59777174636562737266615546704c6d",
            "14701711",
        ),
        "16376b2ba577ab07212f1e0f383fab9acaa3ca4143eb0cba3fb3f011ef07a16c",
    ),
    "Shopee: a push": (
        sign_push(
            "testpartnerkey",
            "https://hub.example.com/hook/shopee/1|",
            b'{"code":10,"shop_id":14701711,"timestamp":1655714431,"data":{"type":"message"}}',
        ),
        "c18c131ba697a1c863c3a06dd07582fa8f1aae928d2054b8c3e5311a025b4ffa",
    ),
    "Lazada: the document's example": (
        sign_path("helloworld", "/order/get", {**LAZADA, "order_id": "1234"}),
        "4190D32361CFB9581350222F345CB77F3B19F0E31D162316848A2C1FFD5FAB4A",
    ),
    "Lazada: sending a message": (
        sign_path("testsecret", "/im/message/send", {**LAZADA, "session_id": "100", "template_id": "1", "txt": "hi"}),
        "7F58DD16897A4AE1F95A8BAAAE1E033D7F7879D4373DF75B0B5E1ECA1CC58B0F",
    ),
    "Lazada: a push": (
        sign_push(
            "testsecret",
            "123456",
            b'{"seller_id":"9999","message_type":2,"data":{},"timestamp":1603766859530,"site":"lazada_th"}',
        ),
        "f8a07e983c32e434ae63c044c39d25d03b581228751034fc5f82fa91c89a06f8",
    ),
    "TikTok Shop: the document's example": (
        sign_enclosed(
            "e59af819cc", "/authorization/202309/shops", {"timestamp": "1623812664", "app_key": "29a39d", "sign": "x"}
        ),
        "b596b73e0cc6de07ac26f036364178ab16b0a907af13d43f0a0cd2345f582dc8",
    ),
    "TikTok Shop: sending a message": (
        sign_enclosed(
            "b0b7fa5d4e1d4d1b9a0c",
            TIKTOK_PATH,
            {
                "timestamp": "1623812664",
                "app_key": "29a39d",
                "shop_cipher": "GCP_XF90igAAAABh00qsWgtvOiGFNqyubMt3",
                "access_token": "never signed",
            },
            b'{"type":"TEXT","content":"{\\"content\\": \\"hi\\"}"}',
        ),
        "bcda34826ea23772343de6de348d1aee7c7b4d7b525500fbb11eceb23bece922",
    ),
    "TikTok Shop: a push": (
        sign_push(
            "b0b7fa5d4e1d4d1b9a0c",
            "29a39d",
            b'{"type":14,"tts_notification_id":"7327112393057371910","shop_id":"7494049642642441621",'
            b'"timestamp":1644412885,"data":{"conversation_id":"1"}}',
        ),
        "2a0cefdd2a8f3e6adfc8881c1a9486f1f77e0b5340717e6f60c7a39bab467312",
    ),
}


@pytest.mark.parametrize("name", SIGNATURES)
def test_signs_as_the_platforms_do(name: str) -> None:
    """Each published or recomputed vector comes out digit by digit."""
    signature, expected = SIGNATURES[name]

    assert signature == expected


def test_canonical_order_is_that_of_the_keys() -> None:
    """Fields are joined in the order of their keys, without separators, and the signature is left out."""
    assert canonical({"b": "2", "sign": "no", "a": "1", "B": "0"}) == "B0a1b2"


@given(given_=st.text())
def test_any_header_can_be_compared(given_: str) -> None:
    """A signature header may hold anything, and only the very signature matches."""
    assert matches("ab12", given_) == (given_ == "ab12")


def test_an_uppercase_signature_does_not_match() -> None:
    """The platforms write hex in one case; another case is no signature of theirs."""
    assert not matches("ab12", "AB12")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=4), children, max_size=3),
    max_leaves=8,
)


@given(body=st.binary(max_size=60) | JSON.map(lambda tree: json.dumps(tree).encode()))
def test_a_push_is_an_object_or_malformed(body: bytes) -> None:
    """Whatever bytes arrive, they are a JSON object or `Malformed`, which shows nothing of them."""
    try:
        tree: object = decode(body)
    except Malformed as error:
        tree = str(error)

    assert isinstance(tree, dict) or tree in {"the push is not JSON", "the push is not a JSON object"}


@pytest.mark.parametrize("body", [b'{"a":' * 5000, b"[" * 100_000, b'{"a":1e999}', b'{"a":"\xff"}', b'{"a":"\\ud800"}'])
def test_hostile_json_is_malformed(body: bytes) -> None:
    """Depth, numbers out of range and broken encodings are refused like any other garbage."""
    with pytest.raises(Malformed):
        decode(body)


def test_large_numbers_keep_every_digit() -> None:
    """Ids above 2^53 become strings wherever they stand, so that no reader rounds them."""
    body = b'{"id": 7494560109732334265, "small": 9007199254740991, "in": [{"id": -9007199254740993}]}'

    assert decode(body) == {
        "id": "7494560109732334265",
        "small": 9007199254740991,
        "in": [{"id": "-9007199254740993"}],
    }


@given(tree=JSON)
def test_exact_survives_storage(tree: Any) -> None:
    """What `exact` returns goes through JSON unchanged, whatever it was given."""
    kept = exact(tree)

    assert msgspec.json.decode(msgspec.json.encode(kept)) == kept


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('{"content": "hi"}', {"content": "hi"}),
        ({"content": "hi"}, {"content": "hi"}),
        ('{"order_id": 7494560109732334265}', {"order_id": "7494560109732334265"}),
        ('{"content": "hi', {"raw": '{"content": "hi'}),
        ("plain words", {"raw": "plain words"}),
        ("[1]", {"raw": "[1]"}),
        ("", {"raw": ""}),
        ("[" * 100_000, {"raw": "[" * 100_000}),
        (5, {"raw": 5}),
        (None, {}),
    ],
)
def test_content_is_unwrapped_or_kept(content: object, expected: dict[str, Any]) -> None:
    """JSON inside a string is decoded; what is broken or no object is kept as it came."""
    assert unwrap(content) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (7494560109732334265, "7494560109732334265"),
        ("7494560109732334265", "7494560109732334265"),
        (0, "0"),
        (True, ""),
        (None, ""),
        ("", ""),
        ("a b", ""),
        ("\x00", ""),
        ("语", ""),
        (1.5, ""),
        ([1], ""),
        ("x" * 129, ""),
    ],
)
def test_ids_are_text(value: object, expected: str) -> None:
    """An id sent as a number and as a string is the same id; what cannot be an id is none."""
    assert identifier(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1696564000, 1696564000000),
        ("1696564000", 1696564000000),
        (1696564000123, 1696564000123),
        ("1696564000123", 1696564000123),
        (0, 0),
        (-5, 0),
        ("", 0),
        ("soon", 0),
        (None, 0),
        (10**16, 0),
        ("١٦٩٦٥٦٤٠٠٠", 0),
    ],
)
def test_times_are_milliseconds(value: object, expected: int) -> None:
    """Seconds and milliseconds are told apart by their size; what is no time is 0."""
    assert milliseconds(value) == expected


@pytest.mark.parametrize(
    ("index", "expected"),
    [("1696564000123", 1696564000123), ("42", 1696564000000), ("", 1696564000000), ("1999999999999", 1696564000000)],
)
def test_the_index_orders_messages_of_one_second(index: str, expected: int) -> None:
    """An index that is a time near the time of writing is the finer time; any other is none."""
    assert moment(index, 1696564000000) == expected


@pytest.mark.parametrize(("own", "kind"), [(True, Echo), (False, Message)])
def test_our_own_messages_are_echoes(own: bool, kind: type) -> None:
    """What our side wrote becomes an echo at the customer's address, what the customer wrote a message."""
    event = said(own=own, external_id="m1", address="tiktok:1", at=5, handle="c1", text="hi", author="Lily")

    assert isinstance(event, kind)
    assert (event.external_id, event.address, event.at, event.handle, event.text) == ("m1", "tiktok:1", 5, "c1", "hi")
    assert (event.author if isinstance(event, Echo) else event.name) == "Lily"


class Issuer:
    """Gives out grants; each refresh token works once."""

    def __init__(self) -> None:
        self.valid = "r0"
        self.asked: list[str] = []

    async def ask(self, refresh_token: str) -> Grant:
        self.asked.append(refresh_token)
        if refresh_token != self.valid:
            raise Unreachable("a spent refresh token")
        number = len(self.asked)
        self.valid = f"r{number}"
        return Grant(f"a{number}", NOW + 3_600_000, self.valid)


class ForgetfulOnce(InMemory):
    """Memory whose next *failures* writes fail."""

    def __init__(self, failures: int = 0) -> None:
        super().__init__(lambda: NOW)
        self.failures = failures

    async def put(self, key: str, value: str, *, ttl: float | None = None) -> None:
        if self.failures:
            self.failures -= 1
            raise ConnectionError("the store is away")
        await super().put(key, value, ttl=ttl)


def tokens(memory: InMemory, issuer: Issuer) -> Tokens:
    """Return the tokens of one process."""
    chain = Succession(Grant("a0", NEVER, "r0"), issuer.ask)
    return Tokens(memory, lambda: NOW, chain.fetch)


async def test_the_configured_token_is_used_until_it_is_refused() -> None:
    """The first grant comes from the configuration without asking the platform."""
    issuer = Issuer()
    ours = tokens(InMemory(lambda: NOW), issuer)

    assert [await ours.get(), await ours.get(), await ours.renew("a0"), await ours.get()] == ["a0", "a0", "a1", "a1"]
    assert issuer.asked == ["r0"]


async def test_fifty_refusals_cause_one_refresh() -> None:
    """Fifty tasks of two processes whose token was refused at once refresh it exactly once."""
    memory, issuer = InMemory(lambda: NOW), Issuer()
    first, second = tokens(memory, issuer), tokens(memory, issuer)
    await first.get()
    await second.get()
    renewed = await asyncio.gather(*((first if n % 2 else second).renew("a0") for n in range(50)))

    assert set(renewed) == {"a1"}
    assert issuer.asked == ["r0"]


async def test_a_new_refresh_token_is_stored_before_its_access_token_is_used() -> None:
    """Whoever gets the new access token can be sure that another process finds the new refresh token."""
    memory, issuer = InMemory(lambda: NOW), Issuer()
    ours = tokens(memory, issuer)
    await ours.get()
    await ours.renew("a0")
    other = tokens(memory, issuer)

    assert await other.renew("a1") == "a2"
    assert issuer.asked == ["r0", "r1"]


async def test_a_store_that_is_away_does_not_lose_the_refresh_token() -> None:
    """An answer that could not be stored is stored at the next try; the spent token is never shown again."""
    memory, issuer = ForgetfulOnce(), Issuer()
    ours = tokens(memory, issuer)
    await ours.get()
    memory.failures = 3
    for _ in range(3):
        with pytest.raises(ConnectionError):
            await ours.renew("a0")

    assert await ours.renew("a0") == "a1"
    assert await tokens(memory, issuer).renew("a1") == "a2"
    assert issuer.asked == ["r0", "r1"]


async def test_an_answer_is_not_reused_once_another_process_went_on() -> None:
    """A kept answer is given only as the successor of the token that it was given for."""
    memory, issuer = InMemory(lambda: NOW), Issuer()
    first, second = tokens(memory, issuer), tokens(memory, issuer)
    await first.get()

    assert await first.renew("a0") == "a1"
    assert await second.renew("a1") == "a2"
    assert await first.renew("a2") == "a3"
    assert issuer.asked == ["r0", "r1", "r2"]


async def test_a_refresh_token_that_stays_is_asked_again() -> None:
    """Where the platform does not replace the refresh token, each expiry is a new question."""
    asked: list[str] = []

    async def ask(refresh_token: str) -> Grant:
        asked.append(refresh_token)
        return Grant(f"a{len(asked)}", NOW + 3_600_000)

    ours = Tokens(InMemory(lambda: NOW), lambda: NOW, Succession(Grant("a0", NEVER, "r0"), ask).fetch)
    await ours.get()

    assert [await ours.renew("a0"), await ours.renew("a1")] == ["a1", "a2"]
    assert asked == ["r0", "r0"]


def test_new_configured_tokens_begin_a_new_chain() -> None:
    """The name of a chain depends on every configured token and shows none of them."""
    names = {chain_name("access", "refresh"), chain_name("access", "other"), chain_name("accessrefresh", "")}

    assert len(names) == 3
    assert not any("access" in name for name in names)


def test_nothing_shows_a_token() -> None:
    """Neither a chain nor what it keeps shows a token."""

    async def ask(refresh_token: str) -> Grant:
        raise AssertionError

    assert "secret" not in repr(Succession(Grant("secret-a", NEVER, "secret-r"), ask))


async def test_the_customer_of_a_conversation_is_known_to_all_processes() -> None:
    """Who wrote in a conversation is remembered across processes, for a time."""
    clock = [NOW]
    memory = InMemory(lambda: clock[0])
    await Counterparts(memory, keep=60).note("c1", "tiktok:1")

    assert [await Counterparts(memory).find("c1"), await Counterparts(memory).find("c2")] == ["tiktok:1", ""]
    clock[0] += 61_000
    assert await Counterparts(memory).find("c1") == ""


async def test_only_the_latest_customers_are_held_in_the_process() -> None:
    """Memory in the process is bounded; the shared memory still knows."""
    memory = InMemory(lambda: NOW)
    ours = Counterparts(memory, most=2)
    for number in range(5):
        await ours.note(f"c{number}", f"tiktok:{number}")

    assert len(ours._known) == 2
    assert await ours.find("c0") == "tiktok:0"
