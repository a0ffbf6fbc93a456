"""The compiled engine against a naive one: the same decisions on random trees and messages, at a flat cost."""

from __future__ import annotations

import json
import os
import random
import re
import time
import unicodedata
from collections.abc import Callable
from typing import Any

import opencc
import pytest

from config.routes import RouteFile
from router.rules import ConversationFacts, Decision, Facts, Tree, compile_routes, decide, explain
from tests.routing import OFFICE, WEDNESDAY, at, found

PAIRS = 100_000 if os.environ.get("HUILIU_LONG") else 20_000
MESSAGES = 40

CHANNELS = {"shop-wechat": "wechat", "service-mail": "email", "sms-cn": "twilio-sms"}
WORDS = ["退款", "退貨", "Refund", "VIP", "12315", "投诉", "律師", "谢", "ＯＫ", "a b", "退"]
REGEXES = [
    "退(款|貨|钱)",
    r"\d{3,}",
    r"^我要\w+",
    "谢谢$",
    "[一二三]天",
    "投.{0,2}诉",
    "vip|refund",
    r"\w+[!?]",
    "(ab)+c?",
]
PIECES = [*WORDS, "我要", "退货", "refund", "谢谢", "三天", "投了诉", "１２３４", "abab", "!", "，", " ", "律师", "ok"]
SENDERS = ["mailto:a@example.com", "mailto:b@mail.example.com", "tel:+8613800138000", "wechat:oABC", ""]
FILES = {"image/png": "image", "audio/amr": "voice", "application/pdf": "file"}
EVENTS = ["message", "message", "message", "sla_breach", "score"]
TIMES = [WEDNESDAY, at("2026-06-06T23:30"), at("2026-10-10T10:00"), at("2026-06-03T12:30")]

Data = dict[str, Any]


class Grower:
    """Makes random route files and messages that have a chance to meet."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.names = 0

    def some(self, words: list[str], most: int = 3) -> str | list[str]:
        chosen = self.rng.sample(words, self.rng.randint(1, most))
        return chosen[0] if len(chosen) == 1 and self.rng.random() < 0.5 else chosen

    def text(self) -> Any:
        if self.rng.random() < 0.3:
            return self.some(WORDS)
        operators: dict[str, Callable[[], Any]] = {
            "any_of": lambda: self.some(WORDS),
            "all_of": lambda: self.some(WORDS, 2),
            "none_of": lambda: self.some(WORDS),
            "regex": lambda: self.some(REGEXES, 2),
            "equals": lambda: self.some(PIECES),
            "starts_with": lambda: self.some(PIECES[:-4]),
        }
        return {key: operators[key]() for key in self.rng.sample(sorted(operators), self.rng.randint(1, 2))}

    def condition(self, depth: int = 0) -> Data:
        choices: dict[str, Callable[[], Any]] = {
            "channel": lambda: self.some([*CHANNELS]),
            "kind": lambda: self.some([*CHANNELS.values()]),
            "text": self.text,
            "subject": self.text,
            "sender": lambda: self.some(["a@example.com", "@example.com", "example.com", "+8613800138000", "oABC"]),
            "contact": lambda: {self.rng.choice(["tag", "tier"]): self.some(["vip", "gold", "blocked"])},
            "language": lambda: self.some(["zh", "en", "zh-TW"]),
            "attachments": lambda: self.rng.choice([True, False, "image", ["voice", "application/pdf"]]),
            "hours": lambda: {"office": self.rng.choice(["open", "closed"])},
            "conversation": lambda: self.rng.choice(
                ["new", "reopened", {"team": "legal"}, {"messages": ">= 2"}, {"age": "> 1h"}, {"new": False}]
            ),
        }
        if depth < 3:
            choices |= {
                "all": lambda: [self.condition(depth + 1) for _ in range(self.rng.randint(1, 3))],
                "any": lambda: [self.condition(depth + 1) for _ in range(self.rng.randint(1, 3))],
                "not": lambda: self.condition(depth + 1),
            }
        weights = [6 if key == "text" else 1 for key in choices]
        keys = set(self.rng.choices([*choices], weights, k=self.rng.choice([1, 1, 1, 2])))
        return {key: choices[key]() for key in sorted(keys)}

    def fields(self) -> Data:
        choices: dict[str, Callable[[], Any]] = {
            "team": lambda: self.rng.choice(["frontdesk", "aftersales", "complaints", None]),
            "agent": lambda: self.rng.choice(["lilei", None]),
            "priority": lambda: self.rng.choice(["low", "high", "urgent", None]),
            "stage": lambda: self.rng.choice(["presale", "order"]),
            "tags": lambda: self.some(["one", "two", "three", "four"]),
            "sla": lambda: self.rng.choice(["standard", "complaint"]),
            "acknowledge": lambda: self.some(["hello", "wait", "sorry"]),
            "skills": lambda: self.some(["english", "refund"], 2),
            "ignore": lambda: "spam",
        }
        keys = self.rng.sample(sorted(choices), self.rng.randint(1, 4))
        return {key: choices[key]() for key in keys if key != "ignore" or self.rng.random() < 0.2}

    def route(self, depth: int = 0) -> Data:
        self.names += 1
        route: Data = {"name": f"r{self.names}", "set": self.fields() or {"tags": "one"}}
        if self.rng.random() < 0.95:
            route["when"] = self.condition()
            if depth == 0 and self.rng.random() < 0.15:
                route["when"]["event"] = self.some(["message", "sla_breach", "score"])
        if self.rng.random() < 0.3:
            route["continue"] = True
        if depth < 3 and self.rng.random() < 0.3:
            route["routes"] = [self.route(depth + 1) for _ in range(self.rng.randint(1, 4))]
        return route

    def file(self) -> Data:
        default = {"team": "frontdesk", **{key: value for key, value in self.fields().items() if value is not None}}
        return {"default": default, "routes": [self.route() for _ in range(self.rng.randint(1, 12))]}

    def message(self) -> Facts:
        channel = self.rng.choice([*CHANNELS])
        new = self.rng.random() < 0.5
        return Facts(
            channel=channel,
            kind=CHANNELS[channel],
            at=self.rng.choice(TIMES),
            event=self.rng.choice(EVENTS),
            text="".join(self.rng.choices(PIECES, k=self.rng.randint(0, 4))),
            subject="".join(self.rng.choices(PIECES, k=self.rng.randint(0, 2))),
            sender=self.rng.choice(SENDERS),
            attachments=tuple(
                self.rng.sample(["image/png", "audio/amr", "application/pdf"], self.rng.choice([0, 0, 1]))
            ),
            language=self.rng.choice([None, "zh", "zh-TW", "en"]),
            contact_tags=frozenset(self.rng.sample(["vip", "gold", "blocked"], self.rng.choice([0, 0, 1, 2]))),
            contact_tier=self.rng.choice([None, "gold", "vip"]),
            conversation=ConversationFacts(
                new=new,
                reopened=not new and self.rng.random() < 0.3,
                team=self.rng.choice([None, None, "legal"]),
                priority=self.rng.choice(["normal", "high"]),
                opened_at=self.rng.choice([None, WEDNESDAY - 7_200_000, WEDNESDAY + 10**12]),
                messages=self.rng.randint(1, 3),
            ),
        )


T2S = opencc.OpenCC("t2s")


def spell(text: str) -> str:
    """Fold by hand: width and case, then each character on its own."""
    return "".join(T2S.convert(char) for char in unicodedata.normalize("NFKC", text).casefold()).strip()


def many(value: Any) -> list[str]:
    return value if isinstance(value, list) else [value]


def text_holds(rule: Any, text: str) -> bool:
    rule = rule if isinstance(rule, dict) else {"any_of": rule}
    text = spell(text)
    tests: dict[str, Callable[[Any], Any]] = {
        "any_of": lambda words: any(spell(word) in text for word in words),
        "all_of": lambda words: all(spell(word) in text for word in words),
        "none_of": lambda words: not any(spell(word) in text for word in words),
        "regex": lambda words: any(re.search(spell(word).replace("$", r"\Z"), text) for word in words),
        "equals": lambda words: any(spell(word) == text for word in words),
        "starts_with": lambda words: any(text.startswith(spell(word)) for word in words),
    }
    return all(tests[key](many(value)) for key, value in rule.items())


def sender_holds(names: Any, sender: str) -> bool:
    value = sender.partition(":")[2].lower()
    domain = value.partition("@")[2]
    return any(
        name.lower() in (sender.lower(), value, f"@{domain}") or domain == name or domain.endswith(f".{name}")
        for name in many(names)
        if sender
    )


def attachments_hold(rule: Any, types: tuple[str, ...]) -> bool:
    if isinstance(rule, bool):
        return rule == bool(types)
    return any(word in (each, FILES[each]) for word in many(rule) for each in types)


def conversation_holds(rule: Any, facts: Facts) -> bool:
    known = facts.conversation
    if rule in ("new", "reopened"):
        return bool(getattr(known, rule))
    key, wanted = next(iter(rule.items()))
    if key == "messages":
        return known.messages >= 2
    if key == "age":
        return known.opened_at is not None and facts.at - known.opened_at > 3_600_000
    return bool(getattr(known, key) == wanted)


def holds(condition: Data, facts: Facts) -> bool:
    tests: dict[str, Callable[[Any], Any]] = {
        "channel": lambda value: facts.channel in many(value),
        "kind": lambda value: facts.kind in many(value),
        "event": lambda value: facts.event in many(value),
        "text": lambda value: text_holds(value, facts.text),
        "subject": lambda value: text_holds(value, facts.subject),
        "sender": lambda value: sender_holds(value, facts.sender),
        "contact": lambda value: all(
            bool({*many(words)} & ({*facts.contact_tags} if key == "tag" else {facts.contact_tier}))
            for key, words in value.items()
        ),
        "language": lambda value: any(
            (facts.language or "").lower() == word.lower() or (facts.language or "").startswith(f"{word}-")
            for word in many(value)
        ),
        "attachments": lambda value: attachments_hold(value, facts.attachments),
        "hours": lambda value: (facts.at in (WEDNESDAY, TIMES[2])) == (value["office"] == "open"),
        "conversation": lambda value: conversation_holds(value, facts),
        "all": lambda value: all(holds(part, facts) for part in value),
        "any": lambda value: any(holds(part, facts) for part in value),
        "not": lambda value: not holds(value, facts),
    }
    return all(tests[key](value) for key, value in condition.items())


def naive(file: Data, facts: Facts) -> Decision:
    """Decide as docs/routing.md says it, route by route."""
    matched: list[tuple[Data, list[str]]] = []

    def level(routes: list[Data], above: list[str]) -> bool:
        for route in routes:
            if holds(route.get("when", {}), facts):
                matched.append((route, above))
                level(route.get("routes", []), [*above, route["name"]])
                if not route.get("continue"):
                    return True
        return False

    tops = [route for route in file["routes"] if facts.event == "message" or "event" in route.get("when", {})]
    settled = level(tops, [])
    fields: Data = {"tags": []}
    lists: dict[str, Data] = {"acknowledge": {}, "skills": {}}
    for route, above in matched:
        for key, value in route["set"].items():
            if key == "tags":
                fields[key] += many(value)
            elif key in lists:
                lists[key] = {name: words for name, words in lists[key].items() if name not in above}
                lists[key][route["name"]] = many(value)
            else:
                fields[key] = value
    fields |= {key: [word for words in by.values() for word in words] for key, by in lists.items() if by}
    if facts.event == "message" and facts.conversation.team is None:
        unplaced = all(fields.get(key) is None for key in ("team", "agent", "ignore"))
        for key, value in file["default"].items():
            if key == "tags" and not settled:
                fields[key] += many(value)
            elif key not in fields and (unplaced if key in ("team", "agent", "sla", "skills") else not settled):
                fields[key] = many(value) if key in ("acknowledge", "skills") else value
    names = tuple(route["name"] for route, _ in matched)
    for key in ("tags", "acknowledge", "skills"):
        fields[key] = tuple(dict.fromkeys(fields.get(key, ())))
    fields["priority"] = fields.get("priority") or facts.conversation.priority
    return Decision(**fields, route=names[-1] if names else "default", routes=names)


def compiled(file: Data) -> Tree:
    model = RouteFile.model_validate_json(json.dumps(file), strict=True)
    assert found(model) == []
    return compile_routes([model], {"office": OFFICE})


@pytest.mark.parametrize("part", range(10))
def test_same_decisions_as_a_naive_evaluator(part: int) -> None:
    """Whatever the tree and the message, decision and explanation are what reading the routes one by one gives."""
    hits: dict[str, int] = {}
    for seed in range(part, PAIRS // MESSAGES, 10):
        grower = Grower(seed)
        file = grower.file()
        tree = compiled(file)
        for number in range(MESSAGES):
            facts = grower.message()
            expected = naive(file, facts)
            hits[expected.route] = hits.get(expected.route, 0) + 1

            assert expected == decide(tree, facts), (seed, number)
            if number % 8 == 0:
                assert expected == explain(tree, facts).decision, (seed, number)
    # A test in which everything fell through to the default would prove nothing.
    assert hits["default"] < sum(hits.values()) * 2 / 3


HAN = [chr(point) for point in range(0x4E00, 0x4E00 + 3000)]


def shop(count: int, rng: random.Random) -> Data:
    """Return *count* routes: 60 % words, 20 % patterns, 20 % attributes, a third of them for one channel."""

    def word(low: int = 2, high: int = 4) -> str:
        return "".join(rng.choice(HAN) for _ in range(rng.randint(low, high)))

    def condition(number: int) -> Data:
        kind = rng.random()
        bound = {"channel": rng.choice([*CHANNELS])} if rng.random() < 0.33 else {}
        if kind < 0.6:
            return {**bound, "text": {"any_of": [word() for _ in range(rng.randint(1, 5))]}}
        if kind < 0.8:
            regex = rng.choice([f"{word()}({word(1, 1)}|{word(1, 1)})", f"{word()}.*{word()}", rf"{word()}\d{{3,}}"])
            return {**bound, "text": {"regex": regex}}
        return {**bound, "contact": {"tag": f"tag-{number}"}, "language": rng.choice(["zh", "en"])}

    routes = [{"name": f"r{number}", "when": condition(number), "set": {"team": "legal"}} for number in range(count)]
    return {"default": {"team": "frontdesk"}, "routes": routes}


def test_cost_grows_far_slower_than_the_number_of_routes() -> None:
    """A message that is decided by 10,000 routes costs at most six times what it costs with 100."""
    rng = random.Random(1)
    trees = {count: compiled(shop(count, rng)) for count in (100, 10_000)}
    messages = [
        Facts("shop-wechat", "wechat", WEDNESDAY, text="".join(rng.choices(HAN, k=60)), language="zh")
        for _ in range(300)
    ]
    costs: dict[int, list[float]] = {count: [] for count in trees}
    for _ in range(7):
        for count, tree in trees.items():
            begin = time.process_time()
            for facts in messages:
                decide(tree, facts)
            costs[count].append((time.process_time() - begin) / len(messages))

    assert min(costs[10_000]) < 6 * min(costs[100])
