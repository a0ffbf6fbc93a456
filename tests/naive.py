"""Routing as docs/routing.md tells it, read one line after another: what the compiled engine is compared with.

Written from the page alone. It knows nothing of automata, of RE2 or of indexes, and takes route files as plain data.
"""

from __future__ import annotations

import datetime as dt
import re
import unicodedata
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

import opencc

from router.rules import Decision, Facts

Data = dict[str, Any]

T2S = opencc.OpenCC("t2s")
SHOWS_NOTHING = "\u200b\u200d\ufeff\u00ad\ufe0f"
SHANGHAI = ZoneInfo("Asia/Shanghai")
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
WEEK = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
SIGNS: dict[str, Callable[[int, int], bool]] = {
    ">=": lambda one, other: one >= other,
    "<=": lambda one, other: one <= other,
    ">": lambda one, other: one > other,
    "<": lambda one, other: one < other,
    "=": lambda one, other: one == other,
}
# What Python has to be asked for a pattern of RE2, where its words are others: \b is about ASCII words there.
IN_PYTHON = {r"\brefund\b": r"(?<![a-z0-9_])refund(?![a-z0-9_])", r"^\p{Han}{2}$": r"^[\u4e00-\u9fff]{2}$"}


def many(value: Any) -> list[Any]:
    """Return a value that may stand for a list of one as a list."""
    return value if isinstance(value, list) else [value]


def folded(text: str) -> str:
    """Fold by hand: what shows nothing, width and case, then each character on its own."""
    seen = "".join(char for char in text if char not in SHOWS_NOTHING)
    return "".join(map(simplified, unicodedata.normalize("NFKC", seen).casefold()))


@cache
def simplified(char: str) -> str:
    """Return the simplified form of a character, for itself."""
    return str(T2S.convert(char))


def text_holds(rule: Any, text: str) -> bool:
    """Tell whether a text is as `text:` or `subject:` says."""
    rule = rule if isinstance(rule, dict) else {"any_of": rule}
    exact = rule.get("exact", False)
    spell: Callable[[str], str] = str if exact else folded
    text = text if exact else folded(text).strip()
    whole: Callable[[str], str] = str if exact else lambda word: folded(word).strip()
    tests: dict[str, Callable[[Any], bool]] = {
        "any_of": lambda words: any(spell(word) in text for word in words),
        "all_of": lambda words: all(spell(word) in text for word in words),
        "none_of": lambda words: not any(spell(word) in text for word in words),
        "regex": lambda words: any(found(word, text, spell) for word in words),
        "equals": lambda words: any(whole(word) == text for word in words),
        "starts_with": lambda words: any(text.startswith(spell(word)) for word in words),
    }
    return all(tests[key](many(value)) for key, value in rule.items() if key != "exact")


def found(pattern: str, text: str, spell: Callable[[str], str]) -> bool:
    """Tell whether a pattern matches somewhere in a text."""
    pattern = IN_PYTHON.get(pattern) or spell(pattern)
    return re.search(pattern.replace("$", r"\Z"), text) is not None


def forms(sender: str) -> list[str]:
    """Return an address with and without its scheme."""
    return [sender.lower(), sender.partition(":")[2].lower()] if sender else []


def sent_by(name: str, sender: str) -> bool:
    """Tell whether one line of a list of senders stands for *sender*."""
    address = sender.partition(":")[2].lower()
    domain = address.partition("@")[2]
    return bool(sender) and (
        name.lower() in (*forms(sender), f"@{domain}")
        or domain == name
        or (domain != "" and domain.endswith(f".{name}"))
    )


def sender_holds(rule: Any, sender: str) -> bool:
    """Tell whether a message comes from whom `sender:` says."""
    rule = rule if isinstance(rule, dict) else {"any_of": rule}
    tests: dict[str, Callable[[Any], bool]] = {
        "any_of": lambda names: any(sent_by(name, sender) for name in names),
        "none_of": lambda names: not any(sent_by(name, sender) for name in names),
        "equals": lambda names: any(name.lower() in forms(sender) for name in names),
        "starts_with": lambda names: any(form.startswith(name.lower()) for name in names for form in forms(sender)),
        "regex": lambda names: any(found(name, form, folded) for name in names for form in forms(sender)),
    }
    return all(tests[key](many(value)) for key, value in rule.items())


def media_hold(words: list[str], types: tuple[str, ...]) -> bool:
    """Tell whether one of the files is of one of these types."""
    families = {"image": "image", "audio": "voice", "video": "video"}
    names = {
        name for mime in types for name in (mime, mime.split("/")[0] + "/*", families.get(mime.split("/")[0], "file"))
    }
    return not names.isdisjoint(words)


def attachments_hold(rule: Any, types: tuple[str, ...]) -> bool:
    """Tell whether the files are as `attachments:` says."""
    if isinstance(rule, bool):
        return rule == bool(types)
    rule = rule if isinstance(rule, dict) else {"any_of": rule}
    tests: dict[str, Callable[[Any], bool]] = {
        "any_of": lambda words: media_hold(many(words), types),
        "none_of": lambda words: not media_hold(many(words), types),
        "count": lambda bounds: compares(bounds, len(types), int),
    }
    return all(tests[key](value) for key, value in rule.items())


def seconds(text: str) -> int:
    """Return a duration like 2h in seconds."""
    return int(text[:-1]) * UNITS[text[-1]]


def compares(bounds: Any, number: int, unit: Callable[[str], int]) -> bool:
    """Tell whether *number* is as `">= 3, < 10"` says."""
    for bound in str(bounds).split(","):
        sign = next((sign for sign in (">=", "<=", ">", "<", "=") if bound.strip().startswith(sign)), "=")
        if not SIGNS[sign](number, unit(bound.strip().removeprefix(sign).strip())):
            return False
    return True


def conversation_holds(rule: Any, facts: Facts) -> bool:
    """Tell whether the conversation is as `conversation:` says."""
    known = facts.conversation
    rule = {rule: True} if isinstance(rule, str) else rule
    tests: dict[str, Callable[[Any], bool]] = {
        "new": lambda value: known.new == value,
        "reopened": lambda value: known.reopened == value,
        "status": lambda value: known.status in many(value),
        "team": lambda value: known.team is not None and known.team in many(value),
        "messages": lambda value: compares(value, known.messages, int),
        "age": lambda value: (
            known.opened_at is not None
            and compares(value, facts.at - known.opened_at, lambda text: seconds(text) * 1000)
        ),
    }
    return all(tests[key](value) for key, value in rule.items())


def language_holds(wanted: Any, tag: str | None) -> bool:
    """Tell whether a language is one of those wanted; zh stands for zh-CN too."""
    known = (tag or "").lower()
    return any(known == word.lower() or known.startswith(f"{word.lower()}-") for word in many(wanted))


def moment_holds(rule: Data, at: int) -> bool:
    """Tell whether a message was written when `at:` says."""
    zone = ZoneInfo(rule["timezone"]) if "timezone" in rule else SHANGHAI
    local = dt.datetime.fromtimestamp(at / 1000, zone)

    def instant(text: str) -> dt.datetime:
        moment = dt.datetime.fromisoformat(text)
        return moment if moment.tzinfo else moment.replace(tzinfo=zone)

    if "after" in rule and local < instant(rule["after"]):
        return False
    if "before" in rule and local >= instant(rule["before"]):
        return False
    days = [day for part in many(rule.get("days", "mon-sun")) for day in days_of(part)]
    now = local.hour * 60 + local.minute
    for ago in (0, 1):
        if WEEK[(local.weekday() - ago) % 7] not in days:
            continue
        for span in many(rule.get("time", "00:00-24:00")):
            first, last = (int(clock[:2]) * 60 + int(clock[3:]) for clock in span.split("-"))
            if first <= now + ago * 1440 < (last if last > first else last + 1440):
                return True
    return False


def days_of(text: str) -> list[str]:
    """Return the days that `mon-fri` names."""
    first, _, last = text.partition("-")
    return WEEK[WEEK.index(first) : WEEK.index(last or first) + 1]


def holds(condition: Data, facts: Facts, is_open: Callable[[int], bool]) -> bool:
    """Tell whether a condition holds; *is_open* knows the opening hours, of which there is one set."""
    tests: dict[str, Callable[[Any], bool]] = {
        "channel": lambda value: facts.channel in many(value),
        "kind": lambda value: facts.kind in many(value),
        "event": lambda value: facts.event in many(value),
        "text": lambda value: text_holds(value, facts.text),
        "subject": lambda value: text_holds(value, facts.subject),
        "sender": lambda value: sender_holds(value, facts.sender),
        "contact": lambda value: all(contact_holds(key, words, facts) for key, words in value.items()),
        "language": lambda value: language_holds(value, facts.language),
        "attachments": lambda value: attachments_hold(value, facts.attachments),
        "hours": lambda value: all(is_open(facts.at) == (wanted == "open") for wanted in value.values()),
        "conversation": lambda value: conversation_holds(value, facts),
        "at": lambda value: moment_holds(value, facts.at),
        "all": lambda value: all(holds(part, facts, is_open) for part in value),
        "any": lambda value: any(holds(part, facts, is_open) for part in value),
        "not": lambda value: not holds(value, facts, is_open),
    }
    return all(tests[key](value) for key, value in condition.items())


def contact_holds(key: str, words: Any, facts: Facts) -> bool:
    """Tell whether the contact is as one key of `contact:` says."""
    if key == "tag":
        return not facts.contact_tags.isdisjoint(many(words))
    if key == "tier":
        return facts.contact_tier in many(words)
    return language_holds(words, facts.contact_language)


def speaks_of_events(condition: Any) -> bool:
    """Tell whether a condition mentions `event`, at any depth."""
    if isinstance(condition, list):
        return any(map(speaks_of_events, condition))
    return isinstance(condition, dict) and (
        "event" in condition or any(speaks_of_events(value) for key, value in condition.items() if key in INNER)
    )


INNER = ("all", "any", "not")


def matches(file: Data, facts: Facts, is_open: Callable[[int], bool]) -> tuple[list[tuple[Data, list[str]]], bool]:
    """Return the routes that match, each with the names of those around it; and whether one of the top has won."""
    matched: list[tuple[Data, list[str]]] = []

    def level(routes: list[Data], above: list[str]) -> bool:
        for route in routes:
            if above == [] and facts.event != "message" and not speaks_of_events(route.get("when", {})):
                continue
            if holds(route.get("when", {}), facts, is_open):
                matched.append((route, above))
                level(route.get("routes", []), [*above, route["name"]])
                if not route.get("continue"):
                    return True
        return False

    return matched, level(file["routes"], [])


def decide(file: Data, facts: Facts, is_open: Callable[[int], bool]) -> Decision:
    """Decide as the page says it, route by route."""
    matched, settled = matches(file, facts, is_open)
    fields = together(matched)
    if facts.event == "message" and facts.conversation.team is None:
        unplaced = all(fields.get(key) is None for key in ("team", "agent", "ignore"))
        for key, value in file["default"].items():
            if value is None:
                continue
            if key == "tags" and not settled:
                fields[key] += many(value)
            elif key not in fields and (unplaced if key in ("team", "agent", "sla", "skills") else not settled):
                fields[key] = many(value) if key in ("acknowledge", "skills") else value
    names = tuple(route["name"] for route, _ in matched)
    for key in ("tags", "acknowledge", "skills"):
        fields[key] = tuple(dict.fromkeys(fields.get(key, ())))
    fields["priority"] = fields.get("priority") or facts.conversation.priority
    return Decision(**fields, route=names[-1] if names else "default", routes=names)


def together(matched: list[tuple[Data, list[str]]]) -> Data:
    """Put together what the routes that matched set, by the table of the page."""
    fields: Data = {"tags": []}
    lists: dict[str, Data] = {"acknowledge": {}, "skills": {}}
    for route, above in matched:
        for key, value in route.get("set", {}).items():
            words = [] if value is None else many(value)
            if key == "tags":
                fields[key] += words
            elif key in lists:
                lists[key] = {name: kept for name, kept in lists[key].items() if name not in above}
                lists[key][route["name"]] = words
            else:
                fields[key] = value
    return fields | {key: [word for words in by.values() for word in words] for key, by in lists.items() if by}


def every(routes: list[Data]) -> Iterator[Data]:
    """Yield all routes, each before those inside it."""
    for route in routes:
        yield route
        yield from every(route.get("routes", []))
