"""Reply tokens: they say what they were made for, to nobody but us, and fit into an address."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.mail_thread import LONGEST_LOCAL, our_id, read_token, subaddress
from inbox.partitions import COUNT
from outbox.reply_tokens import EPOCH, Token, read, write

NOW = 1_795_303_839_084
moments = st.integers(0, (1 << 48) - 1)
agents = st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=63)


@given(agents, st.integers(0, COUNT - 1), moments, st.integers(0, 65_535), moments, st.integers(0, 2**31))
def test_a_token_says_what_it_was_made_for(
    agent: str, partition: int, opened: int, number: int, seen: int, made: int
) -> None:
    """Whatever is written is read again, by the agent it is for alone, and with the right secret only."""
    conversation, at = f"c{partition}-{opened}-{number}", (EPOCH + made) * 1000
    text = write("secret", agent, conversation, seen, at)

    assert Token(agent, conversation, seen, at) == read("secret", text, ["somebody", agent])
    assert read("secret", text, ["somebody"]) is None
    assert read("another", text, [agent]) is None


@given(st.text(max_size=80))
def test_anything_else_is_no_token(text: str) -> None:
    """No text that we did not write is a token, and none makes the reader fail."""
    assert read("secret", text, ["lilei"]) is None


def test_a_changed_token_is_none() -> None:
    """Of all tokens that differ in one letter none is read (but for the bits that stand for nothing at its end)."""
    text = write("secret", "lilei", "c7-1795303839084-0", NOW, NOW)
    for index in range(len(text) - 1):
        for letter in "a2":
            changed = text[:index] + letter + text[index + 1 :]
            assert changed == text or read("secret", changed, ["lilei"]) is None


def test_a_conversation_with_another_id_has_none() -> None:
    """What a token cannot hold it does not pretend to hold."""
    assert write("secret", "lilei", "c7-follow-up", NOW, NOW) == ""


@pytest.mark.parametrize(("own", "separator"), [("service@example.com", "+"), ("a-b@shop.cn", "-")])
def test_a_token_goes_with_an_address_and_comes_back(own: str, separator: str) -> None:
    """The address for answers is short enough, in small letters, and is understood however it is written."""
    token = write("secret", "lilei", "c7-1795303839084-0", NOW, NOW)
    address = subaddress(own, separator, token)

    assert len(address.partition("@")[0]) <= LONGEST_LOCAL
    assert token == read_token([address.upper()], [], own, separator)
    assert token == read_token([], ["<x@y.z>", our_id("d7-abc", own, token)], own, separator)
    assert "" == read_token([address.replace("@", "@mail.")], [], own, separator)
    assert "" == read_token([f"other{separator}r.{token}@example.com"], [our_id("d7", "a@evil.cn", token)], own, "+")


def test_a_long_mailbox_goes_without() -> None:
    """Where the address would be too long it is left as it is: the Message-ID carries the token, too."""
    token = write("secret", "lilei", "c7-1795303839084-0", NOW, NOW)

    assert "" == subaddress("a-rather-long-mailbox@example.com", "+", token)
