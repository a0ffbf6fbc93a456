"""Files are read strictly, and every place in them is known."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from config.documents import MAX_SIZE, Document, parse, read, validate
from config.faults import ConfigError, Problem

SAMPLE = """\
store:
  url: embedded
channels:
  shop: {kind: wechat, port: 80}
teams:
  - name: a
    members: [x, y]
"""


class Anything(BaseModel):
    """A model that refuses no mapping."""


def document(tmp_path: Path, text: str | bytes, **environ: str) -> Document:
    """Read *text* as a file."""
    file = tmp_path / "file.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read(file, environ=environ)


def messages(tmp_path: Path, text: str | bytes, **environ: str) -> list[str]:
    """Return what is wrong with *text* as a file, without the file's name."""
    file = tmp_path / "file.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return [str(fault).removeprefix(f"{file}:") for fault in parse(file, environ=environ).flaws]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("on", "on"),
        ("09:00", "09:00"),
        ("12:30:45", "12:30:45"),
        ("2026-10-01", "2026-10-01"),
        ("2026-10-01..2026-10-07", "2026-10-01..2026-10-07"),
        ("1_000", "1_000"),
        ("80%", "80%"),
        ("012", 12),
        ("0o14", 12),
        ("0x1F", 31),
        ("1e3", 1000.0),
        ("true", True),
        ("null", None),
        ("~", None),
        ('"12315"', "12315"),
        ("9" * 5000, "9" * 5000),
    ],
)
def test_values_are_those_of_yaml_1_2(tmp_path: Path, text: str, value: Any) -> None:
    """`no`, times and dates are text; numbers are numbers."""
    assert document(tmp_path, f"key: {text}").data == {"key": value}


@pytest.mark.parametrize(
    ("path", "mark"),
    [
        ((), (1, 1)),
        (("store",), (1, 1)),
        (("store", "url"), (2, 8)),
        (("store", "missing"), (1, 1)),
        (("channels", "shop"), (4, 3)),
        (("channels", "shop", "port"), (4, 30)),
        (("channels", "shop", "token"), (4, 3)),
        (("teams", 0), (6, 5)),
        (("teams", 0, "members", 1), (7, 18)),
        (("teams", 7, "members"), (5, 1)),
        (("store", "url", "deeper"), (2, 8)),
    ],
)
def test_every_place_has_a_mark(tmp_path: Path, path: tuple[str | int, ...], mark: tuple[int, int]) -> None:
    """A value is where it begins, a mapping or list where its key is, what is missing where its parent is."""
    assert mark == document(tmp_path, SAMPLE).mark(path)


def test_a_wrong_key_is_marked_itself(tmp_path: Path) -> None:
    """When the key is the mistake, the mark is the key's and not the value's."""
    (fault,) = document(tmp_path, SAMPLE).faults([Problem(("store", "url"), "unknown key", key=True)])

    assert (fault.line, fault.column) == (2, 3)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("key: ${NAME}", "value"),
        ('key: "${NAME}"', "value"),
        ("key: '${NAME}'", "value"),
        ("key: a${NAME}b${NAME}", "avaluebvalue"),
        ("{key: ${NAME}}", "value"),
        ("{key: ${UNSET:-a, [b]: {c}", "a, [b]: {c"),
        ("key: ${UNSET:-default}", "default"),
        ("key: ${EMPTY:-default}", "default"),
        ("key: ${UNSET:-}", ""),
        ("key: ${EMPTY}", ""),
        ("key: ${NUMBER}", "80"),
        ("key: $${NAME}", "${NAME}"),
        ("{key: $${NAME}}", "${NAME}"),
        ("key: $NAME and $5", "$NAME and $5"),
        ("key: |\n  one ${NAME}\n  two", "one value\ntwo"),
        ("key: ${NAME} # ${UNSET}", "value"),
        ("key: ${INJECTED}", "a: b\nc: ${NAME}"),
    ],
)
def test_references_are_expanded(tmp_path: Path, text: str, value: str) -> None:
    """A reference becomes text, also inside braces, and what it becomes is never read as YAML or expanded again."""
    environ = {"NAME": "value", "EMPTY": "", "NUMBER": "80", "INJECTED": "a: b\nc: ${NAME}"}
    text += "}" if text.endswith("{c}") else ""

    assert document(tmp_path, text, **environ).data == {"key": value}


def test_marks_survive_references(tmp_path: Path) -> None:
    """What stands behind a reference on its line has its own column."""
    found = document(tmp_path, "{a: ${LONG_NAME}, b: 1}", LONG_NAME="x" * 100)

    assert found.mark(("b",)) == (1, 22)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ["1:1: the file is empty; expected a mapping (key: value)"]),
        ("# nothing\n", ["1:1: the file is empty; expected a mapping (key: value)"]),
        ("a: 1\nb: 2\na: 3\nb: 4\n", [
            "3:1: a: this key is given twice, first in line 1; expected each key once",
            "4:1: b: this key is given twice, first in line 2; expected each key once",
        ]),
        ("a: ${X}\nb: ${Y}\n", [
            "1:4: a: the environment variable X is not set",
            "2:4: b: the environment variable Y is not set",
        ]),
        ("a: &x [1]\nb: *x\n", [
            "1:4: a: an anchor (&) is not allowed; expected the value itself",
            "2:4: b: an alias (*) is not allowed; expected the value itself",
        ]),
        ("a: !!python/object:os.system x\n", [
            "1:4: a: a tag (!) is not allowed; expected a plain value; quotes make it text",
        ]),
        ("a:\n\tb: 1\n", ["2:1: a tab indents this line; expected spaces"]),
        ("a: b: c\n", ["1:5: this is not YAML: mapping values are not allowed in this context"]),
        ("a: \x01\n", ["1:1: this is not YAML: unacceptable character #x0001: control characters are not allowed"]),
        ("? [a, b]\n: 1\n", ["1:3: a list or mapping cannot be a key; expected text"]),
        ("<<: {a: 1}\n", ["1:1: a merge key (<<) is not allowed; expected the keys themselves"]),
        ("a: ok\nb: \U000f0041\n", ["2:4: this character is not allowed"]),
        (b"a: 1\nbc: \xc4\xe3\xba\xc3\n", ["2:5: the file is not UTF-8; it looks like GBK; expected UTF-8"]),
        (b"a: \xff\xff\xff\n", ["1:4: the file is not UTF-8; expected UTF-8"]),
        (b"a: " + b"x" * MAX_SIZE, ["1:1: the file is larger than 1 MB"]),
    ],
)  # fmt: skip
def test_flaws_are_all_named(tmp_path: Path, text: str | bytes, expected: list[str]) -> None:
    """Everything that makes a file mean something else than it seems is refused, all of it at once."""
    assert expected == messages(tmp_path, text)


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    """Files from Windows editors begin with one."""
    assert document(tmp_path, b"\xef\xbb\xbfa: 1\n").data == {"a": 1}


def test_depth_is_limited(tmp_path: Path) -> None:
    """A file that is nested to exhaust the reader is refused at once."""
    (message,) = messages(tmp_path, "a: " + "[" * 400 + "]" * 400)

    assert message == "1:53: a: this is nested more than 50 levels deep"


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    """A pipe, a directory and a missing file are refused without waiting."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    found = [str(parse(path).flaws[0].what) for path in (pipe, tmp_path, tmp_path / "none")]

    assert found == [
        "the file cannot be read (not a regular file)",
        "the file cannot be read (not a regular file)",
        "the file cannot be read (no such file or directory)",
    ]


def test_read_raises_all_flaws(tmp_path: Path) -> None:
    """A flawed file is not read, and the error names every flaw in file order."""
    with pytest.raises(ConfigError) as caught:
        document(tmp_path, "a: ${X}\na: 1\nb: &x 1\n")

    assert [fault.line for fault in caught.value.faults] == [1, 2, 3]


@pytest.mark.parametrize("text", ["", "a: [", "root: &x {}"])
def test_a_flawed_document_is_never_valid(tmp_path: Path, text: str) -> None:
    """What was read as far as possible is good for messages only."""
    file = tmp_path / "file.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        validate(parse(file), Anything)

    assert len(caught.value.faults) == 1


def test_a_variables_value_is_never_shown(tmp_path: Path) -> None:
    """Neither the document nor a message about it shows what came from the environment."""
    found = document(tmp_path, "a: ${SECRET}", SECRET="hunter2hunter2")

    assert "hunter2" not in repr(found)


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet=st.sampled_from("ab:-[]{}&*!|>%#\"'?,$ \n\t0é中\U0001f600"), max_size=60))
def test_any_text_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    """No text makes the reader fail in another way than by naming a place in the file."""
    file = tmp_path_factory.getbasetemp() / "any.yaml"
    file.write_text(text, newline="")
    found = parse(file, environ={})

    assert found.root is not None or found.flaws
    for flaw in found.flaws:
        assert flaw.line >= 1
        assert flaw.column >= 1
