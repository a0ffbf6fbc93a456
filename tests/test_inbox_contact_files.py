"""Files of contacts: what a spreadsheet writes is read or refused by line, and what is written comes back as it was."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from inbox.cells import written
from inbox.contact_files import HEADS, BadFile, bare, guarded, read, row

HEAD = "name,phone,email,tags,tier,language"
GOOD = f"{HEAD}\r\n王芳,138 0013 8000,Wang@Example.com,vip；大客户,gold,zh-CN\r\n"


@pytest.mark.parametrize(
    "data",
    [
        GOOD.encode(),
        GOOD.encode("utf-8-sig"),
        GOOD.encode("gbk"),
        GOOD.encode("gb18030"),
        GOOD.encode("utf-16"),
        GOOD.replace(",", "\t").encode("utf-16"),
        GOOD.replace(",", ";").encode(),
        b"sep=,\r\n" + GOOD.encode(),
        GOOD.replace(HEAD, "姓名,手机号,邮箱,标签,等级,语言").encode("gbk"),
        GOOD.replace("\r\n", "\n").encode(),
    ],
)
def test_every_way_in_which_a_spreadsheet_writes_a_file(data: bytes) -> None:
    """UTF-8 with and without its mark, GBK, UTF-16, commas, semicolons and tabs, Chinese heads: the same row."""
    reading = read(data, "CN")
    assert reading.faults == []
    [one] = reading.rows
    assert one.addresses == ("tel:+8613800138000", "mailto:wang@example.com")
    assert dict(one.values) == {"name": "王芳", "tags": "vip,大客户", "tier": "gold", "language": "zh-CN"}


def test_a_mail_address_has_one_spelling() -> None:
    """Typed in capital letters, in whichever column, it is the one from which mail comes in; others are as they are."""
    text = "email,addresses\nWang@Example.com,mailto:WANG@example.com mailto:Fang@Example.com. wechat:oAbC\n"
    reading = read(f"{text},mailto:fang@EXAMPLE.com\n".encode(), "CN")
    [one] = reading.rows
    assert one.addresses == ("mailto:wang@example.com", "mailto:fang@example.com", "wechat:oAbC")
    assert [fault.why for fault in reading.faults] == ["line 2 has the same address"]


@pytest.mark.parametrize(
    ("line", "column", "why"),
    [
        ("王芳,1.38E+10,,,,", "phone", "rounded"),
        ("王芳,12,,,,", "phone", "no telephone number"),
        ("王芳,,wang at example.com,,,", "email", "no mail address"),
        ("王芳,,,vip,,", "", "no address"),
        ("王芳,13800138000,,,,klingon!", "", "a language is"),
        ("王芳,13800138000,,,,,more", "", "7 cells where 6 are named"),
        (f"王芳,13800138000,,{'x' * 61},,", "", "a tag is"),
        ("李雷,,first@example.com,,,", "", "line 2 has the same address"),
    ],
)
def test_a_fault_names_its_line(line: str, column: str, why: str) -> None:
    """A row that cannot be taken is told by line and column; the others are taken."""
    text = f"{HEAD}\n头,,first@example.com,,,\n\n{line}\n尾,,last@example.com,,,\n"
    reading = read(text.encode(), "CN")
    [fault] = reading.faults
    assert (fault.line, fault.column) == (4, column)
    assert why in fault.why
    assert [one.line for one in reading.rows] == [2, 5]
    assert reading.count == 3


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "line 1: there is no column"),
        (b"name,tier\nx,y\n", "line 1: there is no column"),
        (b"phone,phone\n1,2\n", "line 1: two columns"),
        (b'phone,name\n1,"open\n', "line 2: this is no CSV"),
        (b"\xff\xff\xff\xff\x80", "no encoding"),
        (b"phone\n\x001\n", "no text"),
    ],
)
def test_a_file_that_is_none(data: bytes, why: str) -> None:
    """What cannot be read at all says where and why."""
    with pytest.raises(BadFile, match=why):
        read(data, "CN")


def test_a_column_that_nobody_knows_is_told() -> None:
    """It is left out, and the rows are taken; what the hub itself writes is no fault."""
    reading = read("phone,星座,since\n13800138000,白羊,2026\n".encode(), "CN")
    assert [(one.line, one.column) for one in reading.faults] == [(1, "星座")]
    assert len(reading.rows) == 1


@given(st.text(max_size=40))
@example("\n")
@example("'\n=1")
@example(" '=1")
def test_no_text_is_a_formula_and_every_text_comes_back(text: str) -> None:
    """A cell begins with nothing that a spreadsheet runs, and is read as what it was, but for blanks around it."""
    plain = "".join(letter for letter in text if letter.isprintable() or letter in "\n\t")
    cell = written(guarded(plain))
    assert not cell or cell.lstrip()[:1] not in "=+-@＝＋－＠\t\r|%" or not cell.lstrip()
    assert bare(cell) == plain.strip()


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    """Whatever comes is read, with its faults, or refused in words; nothing else."""
    for content in (data, b"phone,name,email,tags\n" + data):
        try:
            reading = read(content, "CN")
        except BadFile:
            continue
        assert len(reading.rows) <= reading.count


@given(
    st.lists(
        st.tuples(
            st.text(
                alphabet=st.characters(exclude_categories=("Cc", "Cs", "Cf", "Zs", "Zl", "Zp", "Co", "Cn")), max_size=20
            ),
            st.sampled_from(["", "gold", "=1+1", "@SUM(A1)"]),
            st.lists(st.sampled_from(["vip", "-大客户", "+1"]), unique=True, max_size=3),
        ),
        max_size=8,
    )
)
def test_what_is_exported_can_be_imported(people: list[tuple[str, str, list[str]]]) -> None:
    """A file that the hub wrote is read as the contacts that it was made of."""
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\r\n")
    table.writerow(HEADS)
    for number, (name, tier, tags) in enumerate(people):
        fields = {
            "name": name,
            "tier": tier,
            "tags": ",".join(tags),
            "addresses": f"tel:+861380013800{number}\nwechat:o{number}",
        }
        table.writerow([written(guarded(cell)) for cell in row(f"k1-{number}", fields, "2026", "")])
    reading = read(text.getvalue().encode("utf-8-sig"), "CN")
    assert reading.faults == []
    assert len(reading.rows) == len(people)
    for number, (one, (name, tier, tags)) in enumerate(zip(reading.rows, people, strict=True)):
        assert one.id == f"k1-{number}"
        assert one.addresses == (f"tel:+861380013800{number}", f"wechat:o{number}")
        assert one.values.get("name", "") == " ".join(name.split())
        assert (one.values.get("tier", ""), one.values.get("tags", "")) == (tier, ",".join(tags))
