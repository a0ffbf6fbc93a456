"""The letters of a mail: charsets as they are really used, RFC 2047 words, and text made safe to show.

Labels lie, above all in Chinese mail: "gb2312" means GB 18030, "iso-8859-1" means that nobody set
anything, and headers carry bytes without any label. Only codecs of a fixed list are ever used (some
of Python's, such as punycode, take quadratic time).
"""

from __future__ import annotations

import binascii
import codecs
import re

ALIASES = {
    "gb2312": "gb18030", "gbk": "gb18030", "gb18030": "gb18030", "gb_2312-80": "gb18030", "gb2312-80": "gb18030",
    "x-gbk": "gb18030", "cp936": "gb18030", "ms936": "gb18030", "windows-936": "gb18030", "euc-cn": "gb18030",
    "x-euc-cn": "gb18030", "chinese": "gb18030", "csgb2312": "gb18030", "iso-ir-58": "gb18030", "zh-cn": "gb18030",
    "gb18030-2000": "gb18030", "big5": "big5hkscs", "cn-big5": "big5hkscs", "x-x-big5": "big5hkscs",
    "big5-hkscs": "big5hkscs", "csbig5": "big5hkscs", "cp950": "big5hkscs", "windows-950": "big5hkscs",
    "hz-gb-2312": "hz", "hz": "hz", "utf8": "utf-8", "utf-8": "utf-8", "utf8mb4": "utf-8", "x-utf-8": "utf-8",
    "unicode-1-1-utf-8": "utf-8", "unicode-1-1-utf-7": "utf-7", "shift_jis": "cp932", "shift-jis": "cp932",
    "sjis": "cp932", "x-sjis": "cp932", "windows-31j": "cp932", "ks_c_5601-1987": "cp949", "ks_c_5601": "cp949",
    "cp50220": "iso2022_jp_ext", "cp50221": "iso2022_jp_ext", "cp50222": "iso2022_jp_ext",
    "iso-2022-jp-ms": "iso2022_jp_ext", "csiso2022jp2": "iso2022_jp_2", "csiso2022jp": "iso2022_jp",
    "euc-kr": "cp949", "iso-8859-8-i": "iso8859-8", "x-mac-roman": "mac-roman", "tis-620": "tis-620",
}  # fmt: skip
"""Labels as mailers write them -> the codec for what they really mean (WHATWG Encoding §4.2, and practice)."""

CODECS = frozenset(codecs.lookup(name).name for name in (
    "utf-8", "utf-7", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "gb18030", "big5hkscs", "hz", "euc-jp",
    "cp932", "iso2022_jp", "iso2022_jp_1", "iso2022_jp_2", "iso2022_jp_3", "iso2022_jp_ext", "iso2022_kr", "cp949",
    "cp874",
    "tis-620", "koi8-r", "koi8-u", "mac-roman", "cp437", "cp850", "cp866", "cp1250", "cp1251", "cp1253",
    "cp1254", "cp1255", "cp1256", "cp1257", "cp1258", "iso8859-2", "iso8859-3", "iso8859-4", "iso8859-5",
    "iso8859-6", "iso8859-7", "iso8859-8", "iso8859-9", "iso8859-10", "iso8859-11", "iso8859-13", "iso8859-14",
    "iso8859-15", "iso8859-16",
))  # fmt: skip

ESCAPED = frozenset({"hz", "utf-7", "utf-16", "utf-16-le", "utf-16-be", "utf-32"}) | {
    name for name in CODECS if name.startswith("iso2022_")
}
"""Codecs in which bytes below 128 are not themselves."""

WIDE = frozenset({"utf-7", "utf-16", "utf-16-le", "utf-16-be", "utf-32"})
"""Codecs of texts that no header is ever written in, whatever the text below is in."""

MULTIBYTE = frozenset({"gb18030", "big5hkscs", "cp932", "cp949", "euc_jp"})
"""Codecs in which a few words may happen to be valid UTF-8."""

SAMPLE = 4096
MOSTLY = 0.8

WORD = re.compile(rb"=\?([^?\s]{1,80})\?(?:([bB])\?([^?]*)|([qQ])\?((?:[^?=]|\?(?!=)|=(?!\?)|=(?=\?=))*+))\?=")
"""A word of RFC 2047. In Q careless mailers leave question marks as they are; it goes no further than to the next word,
so that halves of words take no longer than their length."""

HIGH = re.compile(rb"[\x80-\xff]+")
SURROGATES = re.compile("[\ud800-\udfff]")
CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f]")
INVISIBLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")
BLANKS = re.compile(r"[\s\u3000]+")
NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/=]+")


def decode(data: bytes, label: str = "", *, thorough: bool = True) -> str:
    """Return *data* as text, believing its charset *label* only as far as the bytes agree.

    Order: the label (GB2312 and GBK read as GB 18030), UTF-8, GB 18030 or Big5 by what Chinese
    looks like, a statistical guess (only if *thorough*), and at last replacement characters. The
    result holds no NUL, no control characters but tab and line ends, and no lone surrogates.
    """
    return _clean(_decode(data, codec(label), thorough=thorough))


def codec(label: str) -> str:
    """Name the Python codec for a charset *label*, "" for none, an unknown or a meaningless one."""
    name = label.strip().strip("'\"").lower().partition("*")[0]
    name = ALIASES.get(name, name)
    try:
        known = codecs.lookup(name).name if name.isascii() and len(name) < 40 else ""
    except (LookupError, ValueError):
        return ""
    return known if known in CODECS else ""


def readable(raw: bytes, label: str) -> str:
    """Return the charset *label* of a mail's text if the header value *raw* may be in it too, else ""."""
    name = codec(label)
    return "" if name in WIDE or (name in ESCAPED and not raw.isascii()) else label


def decode_words(raw: bytes, hint: str = "", *, thorough: bool = True) -> str:
    """Return a header value as text: RFC 2047 words decoded, bytes without a label read by *hint* or by their looks.

    Neighbouring words of one charset are joined before decoding, because many mailers cut them in
    the middle of a character.
    """
    hint = readable(raw, hint)
    pieces: list[str] = []
    words: list[tuple[str, bytes]] = []
    position = 0
    for match in WORD.finditer(raw):
        gap = raw[position : match.start()]
        if gap.strip() or not words:
            pieces.append(_join(words, thorough=thorough))
            words = []
            pieces.append(decode(gap, hint, thorough=thorough))
        charset = match[1]
        encoding, text = match.group(2, 3) if match[2] else match.group(4, 5)
        kind = charset.decode("ascii", "replace").lower().partition("*")[0] + "?" + encoding.decode().lower()
        if words and words[-1][0] != kind:
            pieces.append(_join(words, thorough=thorough))
            words = []
        words.append((kind, text))
        position = match.end()
    pieces.append(_join(words, thorough=thorough))
    pieces.append(decode(raw[position:], hint, thorough=thorough))
    return "".join(pieces)


def line(text: str, limit: int = 998) -> str:
    """Return *text* as one line of at most *limit* characters, without control or direction characters."""
    return BLANKS.sub(" ", INVISIBLE.sub(" ", text)).strip()[:limit]


def unbase64(data: bytes) -> bytes:
    """Return what base64 *data* means, forgiving strange characters and missing padding (RFC 2045 §6.8)."""
    data = NOT_BASE64.sub(b"", data)
    try:
        return binascii.a2b_base64(data + b"==")
    except binascii.Error:  # padding in the middle, or one letter too many: read up to there
        whole = data.partition(b"=")[0]
        return binascii.a2b_base64(whole[: len(whole) - (len(whole) % 4 == 1)] + b"==")


def _join(words: list[tuple[str, bytes]], *, thorough: bool) -> str:
    if not words:
        return ""
    charset, _, encoding = words[0][0].partition("?")
    texts = [text for _, text in words]
    if encoding == "q":
        data = binascii.a2b_qp(b"".join(texts), header=True)
    elif any(b"=" in text for text in texts[:-1]):
        data = b"".join(unbase64(text) for text in texts)
    else:
        data = unbase64(b"".join(texts))
    return decode(data, charset, thorough=thorough)


def _decode(data: bytes, name: str, *, thorough: bool) -> str:
    if data.isascii() and name not in ESCAPED:
        return data.decode("ascii")
    if data.startswith(codecs.BOM_UTF8):
        return data[3:].decode("utf-8", "replace")
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) and len(data) % 2 == 0:
        return data.decode("utf-16", "replace")
    if name and name not in ESCAPED:
        # Words in a charset of one byte per letter are never UTF-8 by chance.
        text = _strict(data, "utf-8")
        if text is not None and (name not in MULTIBYTE or _is_east_asian(text)):
            return text
    if name:
        text = _strict(data, name)
        if text is None:
            text = _nearly(data, name)
        if text is not None:
            return text
    text = _strict(data, "utf-8")
    if text is None or (not _is_east_asian(text) and min(map(len, HIGH.findall(data[:SAMPLE])), default=0) >= 4):
        # A few Chinese words in GBK ("谢谢") happen to be valid UTF-8, of other scripts. Words of those
        # scripts hardly ever consist of everyday Chinese characters only.
        text = _chinese(data, least=MOSTLY / 2 if text is None else 1.0) or text
    if text is None and thorough:
        text = _guess(data)
    return text if text is not None else _replaced(data)


def _strict(data: bytes, name: str) -> str | None:
    try:
        return data.decode(name)
    except (UnicodeError, ValueError):
        return None


def _nearly(data: bytes, name: str) -> str | None:
    """Read *data* with a few replacements if it is otherwise good: damaged, or cut in the middle of a character."""
    text = data.decode(name, "replace")
    if name.startswith(("utf-16", "utf-32")):
        return text
    bad = text.count("\ufffd")
    good = sum(1 for letter in text[:SAMPLE] if letter > "\x7f") - bad
    return text if good > 0 and bad <= 1 + good // 50 else None


def _is_east_asian(text: str) -> bool:
    """Tell whether everything beyond ASCII in *text* is what Chinese mail uses: hanzi, kana, wide forms, symbols."""
    return all(
        "\u2e80" <= letter <= "\ufaff" or "\u2000" <= letter <= "\u2bff" or letter >= "\uff00" or letter in "\xa0·×°"
        for letter in text[:SAMPLE]
        if letter > "\x7f"
    )


def _chinese(data: bytes, least: float) -> str | None:
    """Read *data* as GB 18030 or Big5 if it looks like Chinese, as Windows-1252 if it looks like a western language.

    *least* is the part of its letters that must be everyday characters.
    """
    runs = HIGH.findall(data[:SAMPLE])
    if runs and all(len(run) == 1 for run in runs):
        return _strict(data, "cp1252") or data.decode("latin-1")
    simplified, traditional = _strict(data, "gb18030"), _strict(data, "big5hkscs")
    likely = _common(simplified, "gb2312", 0xB0, 0xD7), _common(traditional, "big5", 0xA4, 0xC6)
    if simplified is not None and likely[0] >= max(MOSTLY, least) and likely[0] >= likely[1]:
        return simplified
    if traditional is not None and likely[1] >= max(MOSTLY, least):
        return traditional
    return simplified if likely[0] >= least else None


def _common(text: str | None, name: str, first: int, last: int) -> float:
    """Return which part of the letters beyond ASCII are symbols or everyday characters of charset *name*."""
    letters = [letter for letter in (text or "")[:SAMPLE] if letter > "\x7f"]
    codes = [letter.encode(name, "ignore") for letter in letters]
    common = sum(1 for code in codes if code and (first <= code[0] <= last or 0xA1 <= code[0] <= 0xA3))
    return common / len(letters) if letters else 0.0


def _guess(data: bytes) -> str | None:
    # Last resort, and its import costs more than everything before it.
    from charset_normalizer import from_bytes  # noqa: PLC0415

    best = from_bytes(data[: 8 * SAMPLE], steps=3, chunk_size=256).best()
    return _strict(data, best.encoding) if best is not None and codec(best.encoding) else None


def _replaced(data: bytes) -> str:
    texts = [data.decode(name, "replace") for name in ("utf-8", "gb18030")]
    return min(texts, key=lambda text: text.count("\ufffd"))


def _clean(text: str) -> str:
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return SURROGATES.sub("\ufffd", CONTROLS.sub("", text))
