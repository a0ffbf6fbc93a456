"""Every fault that admins make gets one message: where, what, what was expected, the nearest right thing."""

from __future__ import annotations

from pathlib import Path

import pytest

from config import chinese
from config.faults import Fault, dotted, listed, nearest
from config.loading import attempt
from tests.config_kinds import kinds

CONFIGS = Path(__file__).parent / "configs"
FAULTY = sorted(CONFIGS.glob("*.yaml"))
EXPECT = "# expect: "


def faults_of(file: Path) -> list[str]:
    """Return the messages for *file*, with names of files relative to its directory."""
    return [str(fault).removeprefix(f"{CONFIGS}/") for fault in attempt(file, kinds, environ={}).faults]


@pytest.mark.parametrize("file", FAULTY, ids=lambda file: file.stem)
def test_one_fault_one_message(file: Path) -> None:
    """A file with one fault is refused with exactly the message in its first line, and no other."""
    expected = file.read_text().partition("\n")[0].removeprefix(EXPECT)

    assert [expected] == faults_of(file)


def test_there_are_enough() -> None:
    """The usual mistakes are all there."""
    assert len(FAULTY) >= 32


@pytest.mark.parametrize("file", FAULTY, ids=lambda file: file.stem)
def test_faults_are_said_in_chinese(file: Path) -> None:
    """Whoever reads Chinese gets the same fault at the same place in Chinese."""
    (fault,) = attempt(file, kinds, environ={}).faults
    said = chinese.said(fault)

    assert said.startswith(f"{fault.file}:{fault.line}:{fault.column}: ")
    assert chinese.translated(fault.what) != fault.what or "an opening bracket" in fault.what
    assert fault.nearest in said
    assert not fault.expected or "；应为 " in said


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ((), ""),
        (("teams", "a", "members", 0), "teams.a.members[0]"),
        (("routes", 2, "routes", 0), "routes[2].routes[0]"),
    ],
)
def test_paths_read_as_admins_say_them(path: tuple[str | int, ...], text: str) -> None:
    """A path is printed with dots, and brackets for numbers."""
    assert text == dotted(path)


@pytest.mark.parametrize(
    ("words", "text"), [([], ""), (["a"], "a"), (["a", "b"], "a or b"), (["a", "b", "c"], "a, b or c")]
)
def test_lists_read_as_people_say_them(words: list[str], text: str) -> None:
    """Known words are listed with commas and one "or"."""
    assert text == listed(words)


def test_long_lists_are_cut() -> None:
    """A list that nobody would read is not printed in full."""
    assert listed(map(str, range(100))).endswith(", …")


def test_only_likely_slips_are_suggested() -> None:
    """A word that is near nothing gets no suggestion."""
    assert (nearest("biling", ["billing", "frontdesk"]), nearest("xyz", ["billing", "frontdesk"])) == ("billing", "")


def test_a_fault_leaves_out_what_it_does_not_know() -> None:
    """No empty path, expectation or suggestion is printed."""
    assert str(Fault("f", 1, 2, "", "what")) == "f:1:2: what"
