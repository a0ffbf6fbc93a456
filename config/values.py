"""The small notations of the configuration files, each parsed once: durations, percentages, sizes, names, addresses."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar
from urllib.parse import unquote, urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    RootModel,
    SecretStr,
    ValidationInfo,
    WithJsonSchema,
)

from config.faults import Wrong, listed, nearest

T = TypeVar("T")
SECOND = 1000
DURATIONS = {"s": SECOND, "m": 60 * SECOND, "h": 3600 * SECOND, "d": 86_400 * SECOND, "w": 7 * 86_400 * SECOND}
LONGEST = 3650 * DURATIONS["d"]
SIZES = {"B": 1, "KB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30}
NAME = "[a-z0-9][a-z0-9-]{0,62}"
STORES = ("embedded", "redis", "rediss", "unix", "redis+sentinel", "redis+cluster")

_DURATION = re.compile(r"(?:\d{1,9}[smhdw])+", re.ASCII)
_PERCENT = re.compile(r"(\d{1,3})\s*%", re.ASCII)
_SIZE = re.compile(r"(\d{1,12})\s*(B|KB|MB|GB)", re.ASCII)
_EMAIL = re.compile(r"[^@\s<>,;]+@[^@\s<>,;.]+(?:\.[^@\s<>,;.]+)*")
_LANGUAGE = re.compile(r"[a-z]{2,3}(?:-[A-Za-z0-9]{2,8})*")
_HOST = re.compile(r"\[[0-9A-Fa-f:.]+\]|[^\s\[\]/:@?#,]+")


class Section(BaseModel):
    """A mapping in a configuration file: unknown keys are refused, nothing can be changed later."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        defer_build=True,  # most are only parts of another, which is built once when it is needed
    )


class Named(RootModel[T], Generic[T]):
    """A file that is one mapping from names; like a `Section` it is built when the first such file is read."""

    model_config = ConfigDict(defer_build=True)


def duration(value: Any) -> int:
    """Parse ``90s``, ``30m``, ``24h``, ``7d``, ``2w`` or ``1h30m`` into milliseconds. Raises `Wrong`."""
    expected = "a duration like 90s, 30m, 24h or 7d"
    if not isinstance(value, str) or not _DURATION.fullmatch(value):
        unit = " (the unit is missing)" if str(value).isdigit() else ""
        raise Wrong("{value} is not a duration" + unit, expected=expected)
    total = sum(int(part[:-1]) * DURATIONS[part[-1]] for part in re.findall(r"\d+[smhdw]", value))
    if not 0 < total <= LONGEST:
        raise Wrong("{value} is not a useful duration", expected="more than nothing and at most ten years")
    return total


def percent(value: Any) -> int:
    """Parse ``80%`` into 80; 1 to 100. Raises `Wrong`."""
    found = _PERCENT.fullmatch(value) if isinstance(value, str) else None
    if found is None or not 1 <= int(found[1]) <= 100:
        raise Wrong("{value} is not a percentage", expected="1% to 100%")
    return int(found[1])


@dataclass(frozen=True, slots=True)
class Share:
    """A part of a time: *percent* of it, or, where that is 0, *millis* milliseconds of it."""

    percent: int = 0
    millis: int = 0

    def of(self, whole: int) -> int:
        """Return the part in the unit of *whole*, milliseconds."""
        return whole * self.percent // 100 if self.percent else self.millis


def share(value: Any) -> Share:
    """Parse ``80%`` or ``100s``. Raises `Wrong`."""
    if isinstance(value, Share):
        return value
    if isinstance(value, str) and _DURATION.fullmatch(value):
        return Share(millis=duration(value))
    try:
        return Share(percent=percent(value))
    except Wrong as wrong:
        raise Wrong(wrong.what, expected="1% to 100%, or a duration like 100s") from None


def size(value: Any) -> int:
    """Parse ``25 MB`` into bytes; 1 KB is 1024 bytes. Raises `Wrong`."""
    found = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if found is None or int(found[1]) == 0:
        raise Wrong("{value} is not a size", expected="a size like 512 KB, 25 MB or 1 GB")
    return int(found[1]) * SIZES[found[2]]


def zone(value: Any) -> ZoneInfo:
    """Return the time zone that the IANA database knows by this name. Raises `Wrong`."""
    if isinstance(value, ZoneInfo):
        return value
    expected = "an IANA name like Asia/Shanghai"
    if not isinstance(value, str):
        raise Wrong("{value} is not a time zone", expected=expected)
    try:
        return ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise Wrong("there is no time zone {value}", expected=expected, nearest=nearest(value, _zones())) from None


@cache
def _zones() -> tuple[str, ...]:
    return tuple(sorted(available_timezones()))


def name(value: str) -> str:
    """Accept a name that can stand in addresses and keys. Raises `Wrong`."""
    if not re.fullmatch(NAME, value):
        raise Wrong(
            "{value} cannot be a name",
            expected="1 to 63 small letters, digits and hyphens, a letter or digit first",
            nearest=_tidy(value),
        )
    return value


def _tidy(value: str) -> str:
    candidate = re.sub(r"[^a-z0-9]+", "-", value.lower()).strip("-")[:63]
    return candidate if len(candidate) * 2 > len(value) else ""


def email(value: str) -> str:
    """Accept a bare mail address. Raises `Wrong`."""
    if not _EMAIL.fullmatch(value):
        raise Wrong("{value} is not a mail address", expected="an address like lilei@example.com")
    return value


def language(value: str) -> str:
    """Accept a language tag such as ``zh`` or ``zh-CN``. Raises `Wrong`."""
    if not _LANGUAGE.fullmatch(value):
        raise Wrong("{value} is not a language tag", expected="a tag like zh, en or zh-CN")
    return value


def web_url(value: str) -> str:
    """Accept the address at which others reach the hub; returned without a trailing slash. Raises `Wrong`."""
    expected = "an address like https://hub.example.com"
    try:
        parts = urlsplit(value)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or re.search(r"\s", value):
        raise Wrong("{value} is not a web address", expected=expected)
    if parts.query or parts.fragment or "@" in parts.netloc:
        raise Wrong("{value} has a user, query or fragment", expected=expected)
    return value.rstrip("/")


def store_url(value: SecretStr) -> SecretStr:
    """Accept ``embedded`` or the address of a Redis or Valkey. Raises `Wrong`, which never shows the address."""
    url = value.get_secret_value()
    if url == "embedded":
        return value
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in STORES[1:]:
        expected = listed(["embedded", *(f"{scheme}://…" for scheme in STORES[1:])])
        raise Wrong("this is not the address of a store", expected=expected, nearest=_near_store(scheme))
    if scheme == "unix":
        path = rest.partition("?")[0].rpartition("@")[2]
        if not path.startswith("/"):
            raise Wrong("this address names no socket", expected="unix:///run/redis/redis.sock")
        return value
    authority, _, path = rest.partition("?")[0].partition("/")
    hosts = authority.rpartition("@")[2].split(",")
    if len(hosts) > 1 and scheme in ("redis", "rediss"):
        raise Wrong("this address names several hosts", expected="redis+sentinel:// or redis+cluster://")
    if not all(map(_is_host, hosts)):
        raise Wrong("this address names no usable host and port", expected=f"{scheme}://host:6379")
    steps = [unquote(step) for step in path.split("/") if step]
    if scheme == "redis+sentinel" and not steps:
        raise Wrong("this address does not name the primary", expected="redis+sentinel://host:26379/mymaster")
    database = steps[1:] if scheme == "redis+sentinel" else steps
    if len(database) > 1 or not all(step.isdigit() for step in database):
        raise Wrong("this address ends in something that is no database number")
    return value


def _near_store(scheme: str) -> str:
    near = nearest(scheme.lower(), STORES)
    return near if near in ("", "embedded") else f"{near}://"


def _is_host(text: str) -> bool:
    found = _HOST.match(text)
    if found is None:
        return False
    rest = text[found.end() :]
    port = rest.removeprefix(":")
    return not rest or (rest != port and port.isascii() and port.isdigit() and 0 < int(port) < 65536)


def placed(value: Path, info: ValidationInfo) -> Path:
    """Return *value* as an absolute path; relative ones begin where the configuration file is."""
    directory: Path = (info.context or {}).get("directory", Path())
    return (directory / value).absolute()


def one_or_more(value: Any) -> Any:
    """Let a single text stand for a list of one."""
    return [value] if isinstance(value, str) else value


def unique(values: tuple[str, ...]) -> tuple[str, ...]:
    """Refuse a list that names the same thing twice. Raises `Wrong`."""
    for number, value in enumerate(values):
        if value in values[:number]:
            raise Wrong(f"[{values.index(value)}] and [{number}] are the same", expected="each once")
    return values


Millis = Annotated[
    int,
    PlainValidator(duration),
    WithJsonSchema({"type": "string", "pattern": "^([0-9]+[smhdw])+$", "examples": ["30m"]}),
]
Part = Annotated[
    Share,
    PlainValidator(share),
    WithJsonSchema({"type": "string", "pattern": "^([0-9]{1,3} *%|([0-9]+[smhdw])+)$", "examples": ["80%", "100s"]}),
]
Bytes = Annotated[
    int,
    PlainValidator(size),
    WithJsonSchema({"type": "string", "pattern": "^[0-9]+ *(B|KB|MB|GB)$", "examples": ["25 MB"]}),
]
Zone = Annotated[ZoneInfo, PlainValidator(zone), WithJsonSchema({"type": "string", "examples": ["Asia/Shanghai"]})]
Name = Annotated[str, AfterValidator(name), Field(json_schema_extra={"pattern": f"^{NAME}$"})]
Email = Annotated[str, AfterValidator(email)]
Language = Annotated[str, AfterValidator(language)]
WebUrl = Annotated[str, AfterValidator(web_url)]
StoreUrl = Annotated[SecretStr, AfterValidator(store_url)]
PlacedPath = Annotated[Path, AfterValidator(placed)]
Paths = Annotated[
    tuple[PlacedPath, ...],
    BeforeValidator(one_or_more),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]
Label = Annotated[str, Field(min_length=1, max_length=200)]
UniqueNames = Annotated[tuple[Name, ...], AfterValidator(unique)]
