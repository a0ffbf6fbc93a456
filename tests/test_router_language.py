"""The language of a message: by script, by common words, and unknown where nobody could tell."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.language import language

SAID = [
    ("zh", "你好"),
    ("zh", "OK的"),
    ("zh-CN", "我的订单什么时候发货"),
    ("zh-CN", "发票"),
    ("zh-CN", "我的iPhone 15 Pro Max坏了怎么办"),
    ("zh-CN", "美の日护肤套装到货了吗"),
    ("zh-CN", "皇后套装"),
    ("zh-TW", "請問什麼時候發貨"),
    ("zh-TW", "訂單20261103887還沒到"),
    ("ja", "いつ届きますか"),
    ("ja", "返品したいです。注文番号は123です"),
    ("ja", "キャンセル"),
    ("ko", "언제 배송되나요"),
    ("th", "สินค้ายังไม่มา"),
    ("lo", "ສິນຄ້າຍັງບໍ່ມາ"),
    ("km", "ទំនិញមិនទាន់មកដល់"),
    ("my", "ပစ္စည်းမရောက်သေးပါ"),
    ("hi", "मेरा ऑर्डर कहाँ है"),
    ("el", "Πού είναι η παραγγελία μου"),
    ("ru", "Где мой заказ?"),
    ("uk", "Де моє замовлення? Ще не прийшло"),
    ("ar", "أين طلبي"),
    ("fa", "سفارش من کجاست؟ چرا نرسید"),
    ("he", "איפה ההזמנה שלי"),
    ("en", "Where is my order?"),
    ("en", "I want a refund please"),
    ("en", "thank you"),
    ("es", "¿Dónde está mi pedido?"),
    ("es", "hola, quiero devolver el producto"),
    ("fr", "Bonjour, où est ma commande ?"),
    ("de", "Hallo, ich möchte das Paket zurückgeben"),
    ("pt", "quero meu reembolso, ainda não chegou"),
    ("id", "kak barang saya kapan dikirim ya"),
    ("ms", "bila barang saya nak sampai, boleh check tak"),
    ("vi", "Đơn hàng của tôi khi nào giao"),
    ("it", "Buongiorno, vorrei un rimborso per il mio ordine"),
    ("nl", "Waar is mijn bestelling?"),
    ("tr", "Merhaba, siparişim nerede?"),
    ("pl", "Dzień dobry, gdzie jest moje zamówienie?"),
    ("tl", "nasaan na po yung order ko"),
]


@pytest.mark.parametrize(("tag", "text"), SAID)
def test_tells_the_language(tag: str, text: str) -> None:
    """What customers of shops write is recognised, also with product names and numbers in it."""
    assert language(text) == tag


@pytest.mark.parametrize(
    "text",
    ["", "   ", "ok", "hi", "12345", "👍👍", "iPhone 15", "SF1234567890123", "hello 你好 friend", "ABC DEF GHI", "???",
     "https://example.com/the-order-is-my", "a@the.my", "xx yy zz ww vv"],
)  # fmt: skip
def test_does_not_guess(text: str) -> None:
    """Short and mixed texts, numbers and addresses are in no language that could be told."""
    assert language(text) is None


@settings(deadline=None)  # the first text waits for the words to be read
@given(st.text())
def test_takes_any_text(text: str) -> None:
    """Whatever a customer writes, the answer is a tag or nothing."""
    found = language(text)

    assert found is None or found[:2].isalpha()
