"""What a file from a stranger really is: its type by its first bytes, its name without tricks."""

from __future__ import annotations

import re
import unicodedata

OCTETS = "application/octet-stream"

# (offset, bytes, type); the first that fits. Sources: the formats' own specifications.
_SIGNATURES = (
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"GIF87a", "image/gif"),
    (0, b"GIF89a", "image/gif"),
    (8, b"WEBP", "image/webp"),
    (4, b"ftypheic", "image/heic"),
    (4, b"ftypmif1", "image/heif"),
    (4, b"ftypavif", "image/avif"),
    (4, b"ftypM4A", "audio/mp4"),
    (4, b"ftypqt", "video/quicktime"),
    (4, b"ftyp", "video/mp4"),
    (0, b"\x1a\x45\xdf\xa3", "video/webm"),
    (8, b"WAVE", "audio/wav"),
    (0, b"OggS", "audio/ogg"),
    (0, b"ID3", "audio/mpeg"),
    (0, b"\xff\xfb", "audio/mpeg"),
    (0, b"#!AMR", "audio/amr"),
    (0, b"%PDF-", "application/pdf"),
)

# Types that the first bytes do not tell apart and that no browser runs: the name's ending is believed.
_PLAIN = {
    ".txt": "text/plain",
    ".csv": "text/csv",
    ".zip": "application/zip",
    ".doc": "application/msword",
    ".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ".xls": "application/vnd.ms-excel",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ".ppt": "application/vnd.ms-powerpoint",
    ".pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
}
_ENDINGS = {
    "image/png": (".png",),
    "image/jpeg": (".jpg", ".jpeg"),
    "image/gif": (".gif",),
    "image/webp": (".webp",),
    "image/heic": (".heic",),
    "image/heif": (".heif", ".heic"),
    "image/avif": (".avif",),
    "audio/mp4": (".m4a",),
    "audio/wav": (".wav",),
    "audio/ogg": (".ogg", ".oga", ".opus"),
    "audio/mpeg": (".mp3",),
    "audio/amr": (".amr",),
    "video/mp4": (".mp4", ".m4v"),
    "video/quicktime": (".mov",),
    "video/webm": (".webm", ".mkv"),
    "application/pdf": (".pdf",),
}
_RESERVED = re.compile(r'[\\/:*?"<>|]')


def sniff(data: bytes, name: str) -> str:
    """Return the MIME type of *data*; HTML, SVG, scripts and whatever else is unknown are just octets."""
    for offset, mark, mime in _SIGNATURES:
        if data.startswith(mark, offset):
            return mime
    ending = name[name.rfind(".") :].lower() if "." in name else ""
    return _PLAIN.get(ending, OCTETS)


def clean_name(name: str, mime: str) -> str:
    """Return *name* fit for any disk and any header: no path, no control or bidirectional character, 200 bytes.

    It ends as its type does: a picture called "invoice.html" becomes "invoice.html.png".
    """
    kept = "".join(char for char in unicodedata.normalize("NFC", name) if unicodedata.category(char)[0] != "C")
    kept = _RESERVED.sub("_", kept).strip(". ")
    endings = _ENDINGS.get(mime, ())
    if endings and not kept.lower().endswith(endings):
        kept = (kept or "file") + endings[0]
    return _shortened(kept or "file", 200)


def _shortened(name: str, most: int) -> str:
    stem, dot, ending = name.rpartition(".")
    if not dot or len(ending) > 10:
        stem, ending = name, ""
    tail = dot + ending if ending else ""
    return stem.encode()[: most - len(tail.encode())].decode("utf-8", "ignore") + tail
