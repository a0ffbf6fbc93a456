"""Which language a message is written in: the script first, common words for Latin letters. Pure.

None is the answer for short and mixed texts: a rule that asks for a language shall not fire by accident.
`docs/decisions/0015-language-by-script.md` says why there is no model here.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from functools import cache
from operator import itemgetter
from pathlib import Path

import opencc

from config.folding import HAN, simplified

LOOKED_AT = 400  # characters; the rest of a long text is in the same language
SHORTEST = 4  # Latin letters that are too few to tell anything
MOST = 0.6  # share of the letters that one script must have

# Whoever writes Chinese puts product names in Latin letters between the characters; a character says about as much
# as three letters.
WEIGHT = {"han": 3, "kana": 3, "hangul": 3}

# First and last code point of the letters of a script (Unicode blocks).
RANGES = (
    (0x0041, 0x024F, "latin"), (0x1E00, 0x1EFF, "latin"), (0x0370, 0x03FF, "el"), (0x0400, 0x052F, "cyrillic"),
    (0x0590, 0x05FF, "he"), (0x0600, 0x06FF, "ar"), (0x0900, 0x097F, "hi"), (0x0E00, 0x0E7F, "th"),
    (0x0E80, 0x0EFF, "lo"), (0x1000, 0x109F, "my"), (0x1100, 0x11FF, "hangul"), (0x1780, 0x17FF, "km"),
    (0x3041, 0x30FF, "kana"), (0x3130, 0x318F, "hangul"), (0xAC00, 0xD7AF, "hangul"),
    *((first, end - 1, "han") for first, end in HAN),
)  # fmt: skip

LETTERS = {  # letters that (nearly) only one of these languages has
    "es": "ñ¿¡", "de": "ßä", "pt": "ãõ", "fr": "œèêû", "pl": "łęąśźż", "tr": "ışğ",
    "vi": "ăđơưạảấầẩẫậắằẳẵặẹẻẽếềểễệỉịọỏốồổỗộớờởỡợụủứừửữựỳỵỷỹ",
}  # fmt: skip
CERTAIN = 2.0  # points that are enough
AHEAD = 1.3  # times as many points as the language behind

_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
# What looks like words and is in no language: addresses, and numbers of orders.
_NO_WORD = re.compile(r"\d|@|://|www\.")
_TOKEN = re.compile(r"\s+|(?<=[^\x00-\x7f])(?=[\x00-\x7f])|(?<=[\x00-\x7f])(?=[^\x00-\x7f])")
_UKRAINIAN = frozenset("іїєґ")
_PERSIAN = frozenset("پچژگ")


def language(text: str) -> str | None:
    """Return the language of *text*: ja, ko, th, zh, zh-CN, zh-TW, en, …; None if it cannot be told.

    zh-CN and zh-TW mean simplified and traditional characters; plain zh is a text that has neither, such as 你好.
    """
    letters = unicodedata.normalize("NFC", text[:LOOKED_AT]).lower()
    if _NO_WORD.search(letters):
        letters = " ".join(word for word in _TOKEN.split(letters) if not _NO_WORD.search(word))
    counts = Counter(map(_script, letters))
    del counts[""]
    for script in WEIGHT.keys() & counts.keys():
        counts[script] *= WEIGHT[script]
    total = counts.total()
    if not total:
        return None
    kana, han = counts["kana"], counts["han"]
    # の alone is a fashion in Chinese brand names; Japanese has kana all over.
    if kana and kana * 6 >= han and kana + han >= MOST * total:
        return "ja"
    script, most = max(counts.items(), key=lambda item: item[1])
    if most < MOST * total:
        return None
    match script:
        case "han":
            return _chinese(letters)
        case "latin":
            return _latin(letters)
        case "hangul":
            return "ko"
        case "cyrillic":
            return "uk" if not _UKRAINIAN.isdisjoint(letters) else "ru"
        case "ar":
            return "fa" if not _PERSIAN.isdisjoint(letters) else "ar"
    return script


def _chinese(text: str) -> str:
    """Tell traditional from simplified characters by those that only one of the two has."""
    old, new = _characters()
    letters = set(text)
    traditional, modern = len(letters & old), len(letters & new)
    return "zh" if traditional == modern else "zh-TW" if traditional > modern else "zh-CN"


def _latin(text: str) -> str | None:
    """Find the language whose common words and letters stand out, if one does."""
    if sum(map(str.isalpha, text)) < SHORTEST:
        return None
    points: dict[str, float] = {}
    for word in _WORD.findall(text.replace("’", "'")):
        for name, worth in _words().get(word, ()):
            points[name] = points.get(name, 0.0) + worth
    for letter in _letters().keys() & set(text):
        name = _letters()[letter]
        points[name] = points.get(name, 0.0) + 1.5
    best, behind = [*sorted(points.items(), key=itemgetter(1), reverse=True), ("", 0.0), ("", 0.0)][:2]
    return best[0] if best[1] >= max(CERTAIN, AHEAD * behind[1]) else None


@cache
def _letters() -> dict[str, str]:
    return {letter: name for name, letters in LETTERS.items() for letter in letters}


@cache
def _words() -> dict[str, tuple[tuple[str, float], ...]]:
    """Return the languages that each common word belongs to, with what it is worth: less if they are several."""
    owners: dict[str, tuple[str, ...]] = {}
    name = ""
    for line in Path(__file__).with_name("language.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            name = line.strip("[]")
        elif not line.startswith("#"):
            owners |= {word: (*owners.get(word, ()), name) for word in line.split()}
    return {
        word: tuple((name, 1.0 if len(names) == 1 else 0.6 if len(names) == 2 else 0.3) for name in names)
        for word, names in owners.items()
    }


@cache
def _characters() -> tuple[frozenset[str], frozenset[str]]:
    """Return the characters that are traditional only, and those that are simplified only."""
    table, traditional = simplified()
    modern = sorted(set(table.values()))
    back = opencc.OpenCC("s2t").convert("\n".join(modern)).split("\n")
    only = frozenset(new for new, old in zip(modern, back, strict=True) if new != old and new not in traditional)
    return traditional, only


@cache
def _script(character: str) -> str:
    point = ord(character)
    if point < 0x80 and not character.isalpha():
        return ""
    script = next((name for first, last, name in RANGES if first <= point <= last), "")
    return script if script and (character.isalpha() or unicodedata.category(character) == "Mn") else ""
