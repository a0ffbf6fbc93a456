"""Nobody's phone, mailbox or address stands in a report."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox.masking import LOOKED_AT, MASK, masked


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("打我电话13812345678", "13812345678"),
        ("电话 138-1234-5678 谢谢", "5678"),
        ("call +86 138 1234 5678", "1234"),
        ("１３８１２３４５６７８", "１３８"),
        ("邮箱 li.lei@example.com", "example"),
        ("li.lei＠example.com", "lei"),
        ("身份证11010519491231002X", "002X"),
        ("卡号 6222 0212 3456 7890 123", "6222"),
        ("寄到北京市朝阳区建国路88号3单元502室吧", "建国路"),
        ("我住中山路12号", "12号"),
        ("ship to 221B Baker Street please", "Baker"),
        ("加我微信 lilei_2026", "lilei_2026"),
        ("看 https://shop.example.com/o?id=1", "shop"),
    ],
)
def test_personal_data_is_blacked_out(text: str, secret: str) -> None:
    """Whatever leads to a person gives way to a mark."""
    assert secret not in masked(text)
    assert MASK in masked(text)


@pytest.mark.parametrize("text", ["物流太慢，等了10天", "5 stars, 100% happy", "尺码 42 偏小", "客服小李很好"])
def test_other_words_stay(text: str) -> None:
    """What customers mean stays readable."""
    assert text == masked(text)


@given(st.text(max_size=200))
def test_any_text_can_be_masked(text: str) -> None:
    """Hostile text takes no time, leaves no long number and nothing that a terminal would obey."""
    found = masked(text + "9" * 12)

    assert "9" * 7 not in found
    assert all(letter.isprintable() or letter == "\n" for letter in found)
    assert len(found) <= LOOKED_AT
