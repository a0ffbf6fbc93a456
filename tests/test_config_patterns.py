"""Patterns as admins write them: what they match in Chinese text, what is refused and why, and how fast it ends."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable

import pytest
import re2
from hypothesis import given
from hypothesis import strategies as st

from config.folding import fold
from config.patterns import MAX_WORDS, BadPattern, read


def matches(pattern: str, text: str, *, exact: bool = False) -> bool:
    """Match as a rule does, and hold the pattern to what it says about words."""
    known = read(pattern, exact=exact)
    shown = text if exact else fold(text)
    hit = known.search(shown.encode()) is not None
    if known.words is not None:
        assert hit == any(word in shown for word in known.words)
    if hit and known.needs is not None:
        assert any(word in shown for word in known.needs)
    return hit


MATCHES: list[tuple[str, str, bool]] = [
    ("退(款|貨)", "退货", True),
    ("退(款|貨)", "退貨", True),
    ("退(款|貨)", "退钱", False),
    ("ＶＩＰ客戶", "vip客户", True),
    (r"\w", "退", True),
    (r"^\w+$", "退款abc_1２", True),
    (r"^\w+$", "退款！", False),
    (r"\W", "退款", False),
    (r"\W", "退款！", True),
    (r"^[\w-]+$", "退-款", True),
    (r"^[^\w]+$", "！？", True),
    (r"^[^\w]+$", "！退？", False),
    (r"^[\W\d]+$", "！5？", True),
    (r"^[\W\d]+$", "退", False),
    (r"^[^\W\d]+$", "退款", True),
    (r"^[^\W\d]+$", "退5", False),
    (r"^\d{3}$", "１２3", True),
    (r"^\d$", "٣", True),
    (r"^\D+$", "退a", True),
    (r"^[\D]+$", "退5", False),
    (r"退\s款", "退　款", True),
    (r"退\S款", "退不款", True),
    (r"^[\S]+$", "退 款", False),
    (r"\brefund\b", "我要refund谢谢", True),
    (r"\brefund\b", "norefunds", False),
    (r"\b\d{11}\b", "电话13800138000吧", True),
    (r"\b\d{11}\b", "138001380001", False),
    ("[一-龥]{2}", "退款", True),
    ("[一-龥]", "abc", False),
    ("[Ａ-Ｃ]", "b", True),
    ("[a-c]", "B", True),
    ("[退換]貨", "换货", True),
    ("[^退換]貨", "换货", False),
    ("[^退換]貨", "送货", True),
    ("[㈱]", "（株）", True),
    ("[㈱a]b", "㈱b", True),
    ("^㈱{2}$", "㈱㈱", True),
    ("貨+", "货货", True),
    (r"\u9000款", "退款", True),
    (r"\x{9000}款", "退款", True),
    (r"\x41", "a", True),
    (r"\Q退(貨)\E", "要退(货)", True),
    (r"\Qab\E?c", "ac", True),
    (r"\p{Han}{2}", "退款", True),
    (r"[[:digit:]]", "5", True),
    (r"a.c", "a\nc", False),
    (r"(?s)a.c", "a\nc", True),
    (r"(?m)^款", "退\n款", True),
    (r"退\z", "要退", True),
    (r"(?P<what>退)款", "退款", True),
    (r"退{,款", "退{,款", True),
    (r"\.", "。", False),
    (r"\.", "．", True),
    (r"[.]", "a", False),
    (r"退|", "什么", True),
    (r"[\u200b]", "退", False),
    (r"[^\u200b]", "退", True),
    ("退\u200b款", "退款", True),
    (r"()()退", "退", True),
]


@pytest.mark.parametrize(("pattern", "text", "expected"), MATCHES)
def test_matches(pattern: str, text: str, expected: bool) -> None:
    """Classes know Chinese, literals match in every spelling, and the words that are looked up agree with RE2."""
    assert expected == matches(pattern, text)


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("退貨", "退货", False),
        ("退貨", "退貨", True),
        ("Ab", "ab", False),
        ("(?i)Ab", "aB", True),
        ("(?i:Ab)c", "aBc", True),
        (r"^\w+$", "退貨Ａ", True),
        (r"[^\W]", "退", True),
        ("[A-C]", "b", False),
        (r"\d", "３", True),
    ],
)
def test_exact(pattern: str, text: str, expected: bool) -> None:
    """Exact patterns see what was written; their classes know Chinese all the same."""
    assert expected == matches(pattern, text, exact=True)


REFUSED: list[tuple[str, str]] = [
    ("退(?=款)", "look-ahead (?=…)"),
    ("退(?!款)", "negative look-ahead (?!…)"),
    ("(?<=退)款", "look-behind (?<=…)"),
    ("(?<!不)退", "negative look-behind (?<!…)"),
    ("(?>退)", "atomic group"),
    (r"(退)\1", r"backreference \1"),
    (r"(?P<a>退)(?P=a)", "backreference (?P=…)"),
    (r"(?<a>退)\k<a>", r"backreference \k"),
    ("(?(1)退|款)", "conditional group"),
    ("(?#note)退", "comment"),
    ("(?R)", "recursion"),
    ("(?x)退", "flag (?x)"),
    ("退++", "possessive repetition ++"),
    ("退{1,2}+", "possessive repetition {1,2}+"),
    (r"退\Z", r"\z for the end"),
    (r"\h", r"write \s"),
    (r"\C", "single bytes"),
    (r"\q", r"\q has no meaning"),
    (r"\b退款", "not ASCII"),
    (r"退款\b", "not ASCII"),
    (r"(refund\b)退", "not ASCII"),
    (r"\b(refund|退款)", "not ASCII"),
    (r"\b[退a]", "not ASCII"),
    (r"\p{Han}\B", "not ASCII"),
    (r"(\b退?)+", "not ASCII"),
    ("退{,3}", "write {0,n}"),
    ("(退", "opening bracket"),
    ("退)", "closing bracket"),
    ("[退", "closing ]"),
    ("[a-", "closing ]"),
    ("[c-a]", "range"),
    ("*退", "nothing before *"),
    ("a|+b", "nothing before +"),
    ("退\\", "single backslash"),
    ("[\\", "single backslash"),
    (r"\x{110000}", "no character"),
    (r"\ud800", "no character"),
    ("\ud800", "surrogate"),
    (r"\p{Klingon}", "RE2 does not accept it"),
    ("a{1001}", "RE2 does not accept it"),
    ("a**", "RE2 does not accept it"),
    (r"\w{1,300}", "too large"),
    ("(" * 200 + ")" * 200, "nested"),
    ("退" * 5000, "longer than"),
]


@pytest.mark.parametrize(("pattern", "reason"), REFUSED)
def test_refuses(pattern: str, reason: str) -> None:
    """What RE2 cannot do, or cannot do fast, is refused with a message that names it."""
    with pytest.raises(BadPattern) as raised:
        read(pattern)

    assert reason in str(raised.value)


WORDS: list[tuple[str, set[str] | None, set[str] | None]] = [
    ("退(款|货|钱)|refund", {"退款", "退货", "退钱", "refund"}, {"退款", "退货", "退钱", "refund"}),
    ("[退换]货?", {"退", "换", "退货", "换货"}, {"退", "换"}),
    ("^退款$", None, {"退款"}),
    (r"\w+退款", None, {"退款"}),
    (r"訂單號?\d{6}", None, {"订单"}),
    ("a.*退款", None, {"退款"}),
    ("退款?", {"退", "退款"}, {"退"}),
    ("退|", None, None),
    (r"\d{11}", None, None),
    ("(ab)+c", None, {"ab"}),
    ("(ab)*", None, None),
    ("(?i)Ab", {"ab"}, {"ab"}),
]


@pytest.mark.parametrize(("pattern", "words", "needs"), WORDS)
def test_words(pattern: str, words: set[str] | None, needs: set[str] | None) -> None:
    """A pattern knows the words that it comes to, or at least those without which it cannot match."""
    known = read(pattern)

    assert words == known.words
    assert needs == known.needs


def test_words_of_an_exact_pattern_that_ignores_case_are_unknown() -> None:
    """With (?i) a word stands for its other cases, so that looking it up as written would miss some."""
    known = read("(?i)Ab", exact=True)

    assert (known.words, known.needs) == (None, None)


# A pattern as a tree: rendered once in plain characters for the reference, once in the odd spellings of an admin.
PLAIN = "退货单款abc12"
ODD = {
    "货": "货貨",
    "单": "单單",
    "a": "aAａ",
    "b": "bBＢ",
    "c": "cCｃ",
    "1": "1１",
    "2": "2２",
    "退": "退",
    "款": "款",
}


def spelt(spelling: dict[str, str], text: str) -> str:
    return "".join(spelling[char] for char in text)


leaf = st.one_of(
    st.text(PLAIN, min_size=1, max_size=3).map(lambda text: lambda spelling: spelt(spelling, text)),
    st.text(PLAIN, min_size=1, max_size=3).map(lambda text: lambda spelling: f"[{spelt(spelling, text)}]"),
    st.text(PLAIN, min_size=1, max_size=3).map(lambda text: lambda spelling: f"[^{spelt(spelling, text)}]"),
    st.sampled_from([r"\d", r"\w", r"\W", r"\D", ".", "^", "$", r"[\d退]", r"[^\W退]", "[a-c]"]).map(
        lambda text: lambda spelling: text
    ),
)
patterns = st.recursive(
    leaf,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(
            lambda parts: lambda spelling: "".join(part(spelling) for part in parts)
        ),
        st.lists(inner, min_size=2, max_size=3).map(
            lambda parts: lambda spelling: "(" + "|".join(part(spelling) for part in parts) + ")"
        ),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{1,2}", "{0,1}", "{1,}", "*?", "+?"])).map(
            lambda pair: lambda spelling: f"(?:{pair[0](spelling)}){pair[1]}"
        ),
    ),
    max_leaves=6,
)


@given(
    patterns,
    st.lists(st.text(PLAIN + "！ \n", max_size=8), min_size=1, max_size=5),
    st.fixed_dictionaries({char: st.sampled_from(odd) for char, odd in ODD.items()}),
    st.fixed_dictionaries({char: st.sampled_from(odd) for char, odd in ODD.items()}),
)
def test_any_spelling_of_pattern_and_text(
    pattern: Callable[[dict[str, str]], str], texts: list[str], here: dict[str, str], there: dict[str, str]
) -> None:
    """A pattern in any spelling matches a text in any spelling exactly when Python's engine matches the plain ones."""
    plain = {char: char for char in PLAIN}
    # Python's $ also matches before a final line feed; RE2's does not.
    reference = re.compile(pattern(plain).replace("$", r"\Z"))
    for text in texts:
        odd = "".join(there.get(char, char) for char in text)

        assert (reference.search(fold(text)) is not None) == matches(pattern(here), odd)


@given(st.text(max_size=20))
def test_any_text_as_a_pattern(text: str) -> None:
    """Whatever is written is either a pattern that works or refused as a bad one."""
    try:
        known = read(text)
    except BadPattern:
        return
    known.search(b"x")
    assert known.words is None or len(known.words) <= MAX_WORDS


@given(st.text(alphabet=r"()[]{}|*+?\^$.-ab退貨01,:!<=iPpwWdDbQE", max_size=14), st.text("ab退货01 ", max_size=6))
def test_any_punctuation_as_a_pattern(pattern: str, text: str) -> None:
    """The words that a pattern says it comes to, or needs, are true of it, however strange it is."""
    with contextlib.suppress(BadPattern):
        matches(pattern, text)


@given(st.text(min_size=1, max_size=12))
def test_quoted_text_matches_itself(text: str) -> None:
    r"""Between \Q and \E every text matches itself."""
    if "\\E" in text or text.endswith("\\"):
        return
    assert matches(rf"\Q{text}\E", text)


CATASTROPHES = [
    r"(a+)+$",
    r"(\w+\s?)+$",
    r"(.*a){25}",
    r"(a|aa)+$",
    r"(x+x+)+y",
    r"(.*){10}z",
    r"([a-z]+)*\d",
    r"(a?){100}a{100}",
    r"^(\w+)*@(\w+)*$",
    r"(退+)+款$",
    r"\w{1,50}x",
    r".{1,200}z",
]


@pytest.mark.parametrize("pattern", CATASTROPHES)
@pytest.mark.parametrize("seed", ["a", "a ", "退", "ab1 退"])
def test_catastrophic_patterns_end(pattern: str, seed: str) -> None:
    """A pattern that takes other engines for ever takes less than 50 ms on 16 kB."""
    text = (seed * 16_384).encode()[:16_384].decode(errors="ignore").encode()
    times = []
    for _ in range(3):
        # RE2 remembers what it has worked out: every time must be like the first.
        read.cache_clear()
        re2.purge()
        search = read(pattern).search
        begin = time.process_time()
        search(text)
        times.append(time.process_time() - begin)

    assert min(times) < 0.05
