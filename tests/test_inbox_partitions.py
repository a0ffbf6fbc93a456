"""Ids find their slot, and everything that one script touches lies in one."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
from redis.crc import key_slot

import hub
from inbox.partitions import (
    COUNT,
    Id,
    UnknownId,
    before,
    digest,
    key,
    new_key,
    parse_id,
    partition_of,
    position,
    shared_key,
    tag,
)

ROOT = Path(hub.__file__).parent


@pytest.mark.parametrize(
    ("text", "letter", "expected"),
    [
        ("c0-1763763000000-0", "c", Id("c", 0, "1763763000000-0")),
        ("m63-1763763000000-12", "m", Id("m", 63, "1763763000000-12")),
        ("d7-9f8e7d6c5b4a", "d", Id("d", 7, "9f8e7d6c5b4a")),
        ("k10-1-1", "k", Id("k", 10, "1-1")),
    ],
)
def test_ids_are_read_as_they_are_printed(text: str, letter: str, expected: Id) -> None:
    """An id holds what it names, its partition and its key, and prints as it was."""
    assert expected == parse_id(text, letter)
    assert text == str(expected)


@pytest.mark.parametrize(
    "text",
    [
        "", "c", "c1", "c1-", "c-1", "1-2", "c64-1", "c-1-1", "c1-a b", "c1-{x}", "c1-\n", "c1-1\n", "C1-1", "c01-1",
        "c٣-1", "c1-٣", "m1-1", "c1-" + "a" * 41, "c1-é", "c99999-1", "c1-a:b", "c1-a/b", "c1-*", "\x00",
    ],
)  # fmt: skip
def test_what_is_no_id_is_refused(text: str) -> None:
    """Ids come from strangers: nothing but an id of the wanted kind gets through."""
    with pytest.raises(UnknownId):
        parse_id(text, "c")


@pytest.mark.parametrize("text", ["m1-abc", "m1-1", "m1-1-", "m1-1-1-1", "m1-" + "9" * 17 + "-0", "m1-x-1"])
def test_a_message_id_is_a_position_in_the_log(text: str) -> None:
    """What cannot be a log position is refused before the store is asked for it."""
    with pytest.raises(UnknownId):
        parse_id(text, "m")


def test_everything_of_a_partition_shares_a_slot() -> None:
    """All keys of one partition, and all of one group, hash to one slot of a cluster."""
    names = ["log", "lease", "due", "c:1-0", "a:tel:+86", "a:wechat:{odd}", "t:1-0", "i:s:open", "seen:0f"]
    for partition in range(COUNT):
        assert {key_slot(tag(partition).encode())} == {key_slot(key(partition, name).encode()) for name in names}
    assert {key_slot(b"ch:shop")} == {key_slot(shared_key("ch:shop", name).encode()) for name in ("rate", "v:{x}")}


def test_customers_spread_evenly() -> None:
    """No partition has more than twice, or less than half, its share of 20 000 phone numbers."""
    counts = Counter(partition_of(f"tel:+86138{number:08}") for number in range(20_000))

    assert COUNT == len(counts)
    assert 2 * 20_000 / COUNT > max(counts.values())
    assert 0.5 * 20_000 / COUNT < min(counts.values())


def test_the_place_of_a_customer_never_changes() -> None:
    """Stored data depend on these numbers: another hash would lose every customer."""
    addresses = ("tel:+8613800138000", "mailto:a@b.cn", "wechat:o9AgO5Kd5ggOC-bXrbNODIiE3bGY", "")
    assert [36, 38, 7, 37] == [partition_of(address) for address in addresses]
    assert "b3a9747281802f8470a178a6" == digest("shop", "m", "1")


def test_parts_of_a_digest_do_not_run_together() -> None:
    """("ab", "c") and ("a", "bc") are different things."""
    assert digest("ab", "c") != digest("a", "bc")
    assert 24 == len(digest("a"))


def test_keys_without_origin_are_unique() -> None:
    """Random keys do not repeat and fit into an id."""
    keys = {new_key() for _ in range(1000)}
    assert 1000 == len(keys)
    assert all(parse_id(f"d1-{one}", "d") for one in keys)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [("1-0", "1-1", True), ("9-0", "10-0", True), ("1-10", "1-9", False), ("5", "5-0", False)],
)
def test_log_positions_have_an_order(first: str, second: str, expected: bool) -> None:
    """Positions compare as numbers, not as text."""
    assert expected == before(first, second)
    assert position(first) <= position(second) or not expected


@pytest.mark.parametrize("path", sorted(ROOT.glob("*/**/*.lua")), ids=lambda path: path.name)
def test_a_script_makes_keys_only_from_the_ones_it_is_given(path: Path) -> None:
    """A script that names a key by itself could touch a foreign slot of a cluster, where it would be refused."""
    source = "\n".join(line.partition("--")[0] for line in path.read_text(encoding="utf-8").splitlines())

    calls = re.findall(r"redis\.call\('(?:[A-Z]+)'(?:,\s*([^,)]+))?", source)
    literal = [argument for argument in calls if argument.strip().startswith(("'", '"'))]
    literal = [argument for argument in literal if argument != "'STREAM'"]  # XINFO names its key after that
    assert [] == literal
