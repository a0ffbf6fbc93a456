"""What admins write becomes values that need no further thought: milliseconds, bytes, dates, zones."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from pydantic import SecretStr, ValidationError

from config import hours, values
from config.documents import read, validate
from config.faults import Wrong
from config.hours import Hours, Interval
from config.loading import load
from config.settings import Settings
from tests.config_kinds import kinds

MINUTE, DAY = 60_000, 86_400_000
MORNING, AFTERNOON = Interval(9 * 3600, 12 * 3600), Interval(13 * 3600 + 1800, 18 * 3600)

SAMPLE = """\
locale: en
timezone: Asia/Shanghai
public_url: https://hub.example.com/
store: {url: embedded, path: ./var, durability: always}
http: {host: 127.0.0.1, port: 8080}
api_tokens:
  ops: {token: ${HUILIU_API_TOKEN}, role: admin}
channels:
  shop-wechat: {kind: wechat, app_id: wx1, app_secret: ${WX_SECRET}, token: ${WX_TOKEN}, rate: 5}
  site-chat: {kind: webchat, allowed_origins: ["https://www.example.com"], required: false}
hours:
  office:
    timezone: Europe/Berlin
    week: {mon-fri: ["09:00-12:00", "13:30-18:00"]}
    closed: [2026-10-01..2026-10-07]
    open: [2026-10-10]
  shop: {week: {"sat,sun": ["22:00-06:00"]}}
sla:
  standard: {first_reply: 30m, next_reply: 1h30m, resolution: 24h, hours: office, warn_at: 75%}
teams:
  aftersales:
    name: 售后组
    members: [lilei]
    sla: standard
    hours: office
    assign: {strategy: least-busy, capacity: 8, sticky: 7d, overflow: {to: duty, after: 10m}}
  duty: {name: 值班}
agents:
  lilei:
    name: 李雷
    email: lilei@example.com
    skills: [refund]
    languages: [zh, en]
    notify: [{kind: wecom, userid: LiLei}, {kind: email}]
"""
ENVIRON = {"HUILIU_API_TOKEN": "t0ken", "WX_SECRET": "s3cret", "WX_TOKEN": "12345"}


def loaded(tmp_path: Path, text: str = SAMPLE) -> Settings:
    """Load *text* as a configuration."""
    file = tmp_path / "huiliu.yaml"
    file.write_text(text)
    return load(file, kinds, environ=ENVIRON).settings


def test_a_whole_configuration_is_ready_to_use(tmp_path: Path) -> None:
    """Times are milliseconds, paths absolute, zones real, and channels have their connector's options."""
    settings = loaded(tmp_path)
    team, standard = settings.teams["aftersales"], settings.sla["standard"]
    chat: Any = settings.channels["site-chat"].options

    assert settings.public_url == "https://hub.example.com"
    assert settings.store.path == tmp_path / "var"
    assert settings.attachments.path == tmp_path / "var" / "attachments"
    assert settings.attachments.max_size == 25 << 20
    assert settings.retention.live == 90 * DAY
    assert settings.api_tokens["ops"].token == SecretStr("t0ken")
    assert (standard.first_reply, standard.next_reply, standard.warn_at.percent) == (30 * MINUTE, 90 * MINUTE, 75)
    assert team.assign.overflow is not None
    assert (team.assign.sticky, team.assign.overflow.after) == (7 * DAY, 10 * MINUTE)
    assert settings.channels["shop-wechat"].rate == 5
    assert not settings.channels["site-chat"].required
    assert chat.allowed_origins == ("https://www.example.com",)


def test_nothing_is_needed(tmp_path: Path) -> None:
    """Everything has a default that works on one machine."""
    settings = loaded(tmp_path, "locale: zh-CN\n")

    assert (settings.store.kind, settings.store.durability) == ("embedded", "always")
    assert settings.public_url == "http://127.0.0.1:8080"
    assert settings.timezone == ZoneInfo("Asia/Shanghai")


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http: {port: 9000}", "http://127.0.0.1:9000"),
        ("http: {port: 0}", "http://127.0.0.1:8080"),
        ("http: {host: '::1'}", "http://[::1]:8080"),
        ("public_url: http://h:81/base/", "http://h:81/base"),
    ],
)
def test_the_public_address_is_where_it_listens(tmp_path: Path, text: str, url: str) -> None:
    """Without a public address the hub is reached where it listens."""
    assert url == loaded(tmp_path, text).public_url


def test_settings_cannot_be_changed(tmp_path: Path) -> None:
    """What was loaded stays what it is."""
    settings = loaded(tmp_path)

    with pytest.raises(ValidationError):
        settings.http.port = 1


def test_hours_have_the_hubs_zone_unless_they_name_one(tmp_path: Path) -> None:
    """A zone of their own wins."""
    settings = loaded(tmp_path)

    assert settings.hours["office"].timezone == ZoneInfo("Europe/Berlin")
    assert settings.hours["shop"].timezone == ZoneInfo("Asia/Shanghai")


@pytest.mark.parametrize(
    ("date", "intervals"),
    [
        ("2026-11-20", (MORNING, AFTERNOON)),
        ("2026-11-21", ()),
        ("2026-10-01", ()),
        ("2026-10-07", ()),
        ("2026-10-08", (MORNING, AFTERNOON)),
        ("2026-10-10", (MORNING, AFTERNOON)),
    ],
)
def test_a_date_has_its_intervals(tmp_path: Path, date: str, intervals: tuple[Interval, ...]) -> None:
    """Holidays are closed, and a make-up working day has the hours of a working day."""
    office = loaded(tmp_path).hours["office"]

    assert intervals == office.intervals(dt.date.fromisoformat(date))


def test_an_interval_may_run_past_midnight(tmp_path: Path) -> None:
    """The end of a night shift is on the next day."""
    shop = loaded(tmp_path).hours["shop"]

    assert shop.intervals(dt.date(2026, 11, 21)) == (Interval(22 * 3600, 30 * 3600),)


def test_an_open_date_may_have_hours_of_its_own(tmp_path: Path) -> None:
    """A mapping of dates gives intervals, and wins over a holiday around it."""
    text = "week: {mon: []}\nclosed: [2026-10-01..2026-10-07]\nopen: {2026-10-03..2026-10-04: ['10:00-24:00']}\n"
    file = tmp_path / "hours.yaml"
    file.write_text(text)
    found = validate(read(file), Hours)

    assert found.intervals(dt.date(2026, 10, 3)) == (Interval(36000, 86400),)
    assert found.intervals(dt.date(2026, 10, 5)) == ()


@pytest.mark.parametrize(
    ("key", "days"),
    [
        ("mon", (0,)),
        ("mon-fri", (0, 1, 2, 3, 4)),
        ("sat,sun", (5, 6)),
        ("fri-mon", (4, 5, 6, 0)),
        ("Mon, wed-thu", (0, 2, 3)),
    ],
)
def test_days_are_named_singly_or_as_ranges(key: str, days: tuple[int, ...]) -> None:
    """Ranges may run over the weekend."""
    assert days == hours.weekdays(key)


@pytest.mark.parametrize(
    ("text", "interval"),
    [
        ("09:00-12:00", (32400, 43200)),
        ("00:00-24:00", (0, 86400)),
        ("22:00 - 06:00", (79200, 108000)),
        ("22:00-00:00", (79200, 86400)),
    ],
)
def test_intervals(text: str, interval: tuple[int, int]) -> None:
    """Times are seconds of the wall clock."""
    assert Interval(*interval) == hours.interval(text)


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (values.duration, "90s", 90_000),
        (values.duration, "30m", 30 * MINUTE),
        (values.duration, "24h", DAY),
        (values.duration, "7d", 7 * DAY),
        (values.duration, "2w", 14 * DAY),
        (values.duration, "1h30m", 90 * MINUTE),
        (values.percent, "80%", 80),
        (values.percent, "5 %", 5),
        (values.size, "25 MB", 25 << 20),
        (values.size, "512KB", 512 << 10),
        (values.size, "1 GB", 1 << 30),
        (values.size, "10 B", 10),
        (values.web_url, "https://a.example/", "https://a.example"),
        (values.web_url, "http://[::1]:8080", "http://[::1]:8080"),
        (values.email, "a.b+c@例子.公司", "a.b+c@例子.公司"),
        (values.language, "zh-Hans-CN", "zh-Hans-CN"),
        (values.name, "shop-1", "shop-1"),
        (values.zone, "UTC", ZoneInfo("UTC")),
    ],
)
def test_notations(parse: Callable[[Any], Any], text: str, value: Any) -> None:
    """Each small notation means one thing."""
    assert value == parse(text)


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        *((values.duration, text) for text in ("", "0s", "1.5h", "-1m", "30 m", "1y", "９h")),
        *((values.duration, text) for text in ("9999999999s", 30, None, True)),
        *((values.percent, text) for text in ("0%", "101%", "80", 80, "%", "8.5%")),
        *((values.size, text) for text in ("0 MB", "25", 25, "1 TB", "-1 B", "1.5 GB")),
        *((values.web_url, text) for text in ("", "hub", "ftp://a", "http://", "http://a:0", "http://u:p@a")),
        *((values.web_url, text) for text in ("http://a?b", "http://a b", "http://a:99999", "http://[::1", "js:0")),
        *((values.email, text) for text in ("", "a", "a@", "@b", "a@b@c", "a b@c", "<a@b>", "a@b..c")),
        *((values.language, text) for text in ("", "zh_CN", "chinese", "Z", "zh-")),
        *((values.name, text) for text in ("", "-a", "A", "a_b", "a b", "a" * 64, "中")),
        *((values.zone, text) for text in ("", "Asia", "../etc/passwd", "/etc/passwd", "Mars/Base", 8, "asia\0")),
        *((hours.interval, text) for text in ("", "9:00-10:00", "24:00-25:00", "10:00-10:00", "24:00-06:00", 9)),
        *((hours.weekdays, text) for text in ("", "mo", "mon-", "-fri", "mon,,tue", "mon-fri-sat")),
        *((hours.dates, text) for text in ("", "2026-13-01", "2026-1-1", "2026-10-07..2026-10-01")),
        (hours.dates, "2020-01-01..2026-01-01"),
    ],
)  # fmt: skip
def test_notations_are_refused(parse: Callable[[Any], Any], text: Any) -> None:
    """What is not quite a notation is refused with what was expected."""
    with pytest.raises(Wrong) as caught:
        parse(text)

    assert caught.value.expected


@pytest.mark.parametrize(
    "url",
    [
        "embedded",
        "redis://localhost",
        "redis://127.0.0.1:6379/2",
        "redis://:secret@h:6379",
        "rediss://user:p%40ss@h:6380/0?ssl_cert_reqs=required",
        "redis://[::1]:6379",
        "unix:///run/redis/redis.sock?db=1",
        "unix://user:secret@/run/redis.sock",
        "redis+sentinel://a:26379,b:26379/mymaster/1",
        "redis+cluster://a:7000,b:7001,[::1]:7002",
    ],
)
def test_stores(url: str) -> None:
    """Every way to reach a store is accepted."""
    assert url == values.store_url(SecretStr(url)).get_secret_value()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost",
        "redis:",
        "http://h",
        "redis://",
        "redis://h:0",
        "redis://h:65536",
        "redis://h:port",
        "redis://a,b",
        "redis://h/zero",
        "redis://h/0/1",
        "redis+sentinel://a:1",
        "redis+cluster://",
        "unix://run/redis.sock",
        "embedded://",
    ],
)
def test_stores_are_refused(url: str) -> None:
    """An address that cannot work is refused when it is read, not when it is used."""
    with pytest.raises(Wrong):
        values.store_url(SecretStr(url))


@pytest.mark.parametrize(
    ("url", "kind", "address"),
    [
        ("embedded", "embedded", "embedded"),
        ("redis://user:secret@h:6379/2?password=secret", "redis", "redis://h:6379/2"),
        ("redis+sentinel://:secret@a:1,b:2/m", "redis+sentinel", "redis+sentinel://a:1,b:2/m"),
    ],
)
def test_a_stores_address_may_be_shown(tmp_path: Path, url: str, kind: str, address: str) -> None:
    """User, password and parameters are left out of what is shown."""
    store = loaded(tmp_path, f"store: {{url: '{url}'}}").store

    assert (kind, address) == (store.kind, store.address)
