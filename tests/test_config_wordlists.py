"""Words in files of their own: read like the rest of the configuration, with faults by line and column."""

from __future__ import annotations

from pathlib import Path

import pytest

from config import chinese, content
from config.loading import attempt, load
from config.wordlists import MAX_WORDS, parse
from router.rules import compile_routes, decide, explain
from tests.config_kinds import kinds
from tests.routing import message

MAIN = "teams: {front: {name: 前台}, legal: {name: 法务}}\nroutes: routes/main.yaml\n"
ROUTES = """\
default: {team: front}
routes:
  - name: listed
    when: {text: {any_of: {file: ../words/bad.txt}}}
    set: {team: legal}
"""


def planted(folder: Path, words: bytes | None = "投诉\n".encode(), routes: str = ROUTES) -> Path:
    """Write a configuration with a file of *words* beside its routes, and return its path."""
    for name in ("routes", "words"):
        (folder / name).mkdir(exist_ok=True)
    (folder / "huiliu.yaml").write_text(MAIN, encoding="utf-8")
    (folder / "routes" / "main.yaml").write_text(routes, encoding="utf-8")
    if words is not None:
        (folder / "words" / "bad.txt").write_bytes(words)
    return folder / "huiliu.yaml"


def faults(file: Path) -> list[str]:
    """Return what an admin reads, with names relative to the configuration."""
    return [str(fault).replace(f"{file.parent}/", "") for fault in attempt(file, kinds, environ={}).faults]


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"a\nb\n", ("a", "b")),
        (b"a\r\nb", ("a", "b")),
        (b"\xef\xbb\xbf# a list\n\n  a  # why\n\tb\n", ("a", "b")),
        (b"a\na\nA\n", ("a", "A")),
        (b"C#\n#1 is a comment\nno#1\n", ("C#", "no#1")),
        ("退 款\n投诉\n".encode(), ("退 款", "投诉")),
    ],
)
def test_one_word_a_line(raw: bytes, words: tuple[str, ...]) -> None:
    """Space around a word, empty lines, comments and a byte order mark do not count; a word counts once."""
    assert parse(raw) == (words, [])


@pytest.mark.parametrize(
    ("raw", "fault"),
    [
        (b"", "routes/../words/bad.txt:1:1: there is no word in this file; expected one word a line"),
        (b"# nothing\n", "routes/../words/bad.txt:1:1: there is no word in this file; expected one word a line"),
        (
            b"ok\n  \xcd\xb6\xcb\xdf\n",
            "routes/../words/bad.txt:2:4: the file is not UTF-8; it looks like GBK; expected UTF-8",
        ),
        (
            b"ok\n" + b"x" * 201,
            "routes/../words/bad.txt:2:1: this word has more than 200 characters; expected one word a line",
        ),
        (
            b"ok\n \x00\n",
            "routes/../words/bad.txt:2:2: this word holds a character that nobody can write; expected text",
        ),
        ("ok\n\u200b\n".encode(), "routes/../words/bad.txt:2:1: this text is empty; expected something to look for"),
        (
            b"".join(b"w%d\n" % number for number in range(MAX_WORDS + 1)),
            "routes/../words/bad.txt:100001:1: there are more than 100000 words; expected at most 100000 words",
        ),
    ],
    ids=range(7),
)
def test_faults_have_their_place(tmp_path: Path, raw: bytes, fault: str) -> None:
    """What is wrong in a list is said with the file, line and column of the list, also in Chinese."""
    file = planted(tmp_path, raw)

    assert faults(file) == [fault]
    (found,) = attempt(file, kinds, environ={}).faults
    assert chinese.translated(found.what) != found.what


@pytest.mark.parametrize(
    ("routes", "fault"),
    [
        (
            ROUTES.replace("../words/bad.txt", "bad.txt"),
            (
                "routes/main.yaml:4:19: routes[0].when.text.any_of: the file of words cannot be read"
                " (no such file or directory)"
            ),
        ),
        (
            ROUTES.replace("{file: ../words/bad.txt}", "{fiel: ../words/bad.txt}"),
            "routes/main.yaml:4:28: routes[0].when.text.any_of.fiel: unknown key; expected file; did you mean file?",
        ),
        (
            ROUTES.replace("any_of", "regex"),
            "routes/main.yaml:4:19: routes[0].when.text.regex: this is a mapping; expected text or a list",
        ),
    ],
    ids=["missing", "misspelt", "regex"],
)
def test_faults_of_the_place_that_names_it(tmp_path: Path, routes: str, fault: str) -> None:
    """A list that is not there, or cannot be used there, is a fault of the route that names it."""
    assert faults(planted(tmp_path, routes=routes)) == [fault]


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("text: {any_of: {file: ../words/bad.txt}}", True),
        ("text: {all_of: {file: ../words/bad.txt}}", False),
        ("text: {none_of: {file: ../words/bad.txt}}", False),
        ("text: {starts_with: {file: ../words/bad.txt}}", False),
        ("text: {equals: {file: ../words/bad.txt}}", False),
        ("text: {any_of: {file: ../words/bad.txt}, exact: true}", False),
        ("subject: {any_of: {file: ../words/bad.txt}}", False),
        ("sender: {any_of: {file: ../words/bad.txt}}", True),
        ("sender: {none_of: {file: ../words/bad.txt}}", False),
        ("not: {sender: {any_of: {file: ../words/bad.txt}}}", False),
        ("sender: {starts_with: {file: ../words/bad.txt}}", False),
    ],
)
def test_a_list_means_its_words(tmp_path: Path, condition: str, holds: bool) -> None:
    """Wherever words may stand, a file of them may: with all operators, for texts and for senders."""
    routes = ROUTES.replace("text: {any_of: {file: ../words/bad.txt}}", condition)
    loaded = load(planted(tmp_path, "12315\n投訴\nevil.example\n".encode(), routes), kinds, environ={})
    tree = compile_routes(loaded.routes, {})
    facts = message("我要投诉", sender="mailto:a@mail.evil.example")

    assert holds == (decide(tree, facts).route == "listed")


def test_an_explanation_does_not_recite_the_list(tmp_path: Path) -> None:
    """An explanation names the file, how many words it has, and those that were found."""
    loaded = load(planted(tmp_path, b"a\nb\nc\n"), kinds, environ={})
    verdict = explain(compile_routes(loaded.routes, {}), message("x b")).tried[0].condition

    assert verdict is not None
    assert verdict.parts[1].expected == {"file": "../words/bad.txt", "words": 3}
    assert verdict.parts[1].value == ["b"]


def test_the_words_are_a_part_of_the_rules(tmp_path: Path) -> None:
    """Other words make other rules: another hash, a file that is watched; the same words make the same."""
    first = load(planted(tmp_path, b"a\n"), kinds, environ={})
    second = load(planted(tmp_path, b"# said otherwise\na\n"), kinds, environ={})
    third = load(planted(tmp_path, b"b\n"), kinds, environ={})
    hashes = [compile_routes(loaded.routes, {}).hash for loaded in (first, second, third)]

    assert hashes[0] == hashes[1] != hashes[2]
    assert (tmp_path / "routes" / "../words/bad.txt").absolute() in first.files
    assert first.files != third.files


def test_a_missing_list_is_watched(tmp_path: Path) -> None:
    """A list that cannot be read is noticed as soon as it is there."""
    found = attempt(planted(tmp_path, None), kinds, environ={})

    assert found.files[(tmp_path / "routes" / "../words/bad.txt").absolute()] == ""


def test_the_largest_list_is_quick(tmp_path: Path) -> None:
    """100,000 words load, and each of them is found."""
    words = "\n".join(f"词{number:06d}号" for number in range(MAX_WORDS)).encode()
    tree = compile_routes(load(planted(tmp_path, words), kinds, environ={}).routes, {})

    assert len(words) < content.LARGEST
    assert decide(tree, message("有词099999号吗")).route == "listed"
    assert decide(tree, message("有词100000号吗")).route == "default"
