"""What it costs to decide a message, with 10 to 10,000 routes: the index beside plain compiled closures.

Both decide the same messages by the same files, in turns in one process, and must agree. The mix is that of a
large shop: keywords, regular expressions, senders, tags, channels, hours, and conditions nested in each other.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import re2

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import _stage as stage  # found only now
from config.hours import Hours  # the same
from config.patterns import read
from config.routes import RouteFile
from router.hours import is_open
from router.rules import ConversationFacts, Facts, Tree, compile_routes, decide
from router.text import CAP, plain

COUNTS = (10, 100, 1_000, 10_000)
LIMIT = 6.0
"""What 10,000 routes may cost, in times of what 100 cost: more fails."""
SLOWEST = 0.050
"""Seconds that any pattern may take on the longest text there is: more fails."""
MESSAGES = 400
NOW = 1_780_452_000_000  # a Wednesday at 10:00 in Shanghai
CHANNELS = {"shop-wechat": "wechat", "service-mail": "email", "sms-cn": "twilio-sms"}
HAN = [chr(point) for point in range(0x4E00, 0x4E00 + 3_000)]
OFFICE = Hours.model_validate_json(
    '{"timezone": "Asia/Shanghai", "week": {"mon-fri": ["09:00-12:00", "13:30-18:00"]}}', strict=True
)
CATASTROPHES = [
    r"(a+)+$", r"(\w+\s?)+$", r"(.*a){25}", r"(a|aa)+$", r"(x+x+)+y", r"(.*){10}z", r"([a-z]+)*\d",
    r"(a?){100}a{100}", r"^(\w+)*@(\w+)*$", r"(退+)+款$", r"\w{1,50}x", r".{1,200}z", r"(退|退退)+$", r"(\w*款?)*退$",
]  # fmt: skip

Data = dict[str, Any]
Closure = Callable[[Facts, str], bool]


class Shop:
    """Route files of a shop, and what its customers write."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.words: list[str] = []

    def word(self, low: int = 2, high: int = 4) -> str:
        """Make up a word, and remember it for the customers."""
        made = "".join(self.rng.choice(HAN) for _ in range(self.rng.randint(low, high)))
        self.words.append(made)
        return made

    def text(self) -> Data:
        """Return a condition on the text: mostly words, sometimes with words that must not be there."""
        if self.rng.random() < 0.25:
            regex = self.rng.choice(
                [
                    f"{self.word()}({self.word(1, 1)}|{self.word(1, 1)})",
                    f"{self.word()}.*{self.word()}",
                    rf"{self.word()}\d{{3,}}",
                    rf"^{self.word()}\w*$",
                ]
            )
            return {"text": {"regex": regex}}
        rule: Data = {"any_of": [self.word() for _ in range(self.rng.randint(1, 6))]}
        if self.rng.random() < 0.2:
            rule["none_of"] = [self.word()]
        return {"text": rule}

    def condition(self, number: int) -> Data:
        """Return the condition of one route."""
        kind = self.rng.random()
        bound = {"channel": self.rng.choice([*CHANNELS])} if self.rng.random() < 0.3 else {}
        if kind < 0.60:
            return {**bound, **self.text()}
        if kind < 0.70:
            name = self.rng.choice([f"buyer{number}@example.com", f"@shop{number}.example", f"+86138{number:08}"])
            return {"sender": name}
        if kind < 0.80:
            return {**bound, "contact": {"tag": f"tag-{number}"}}
        if kind < 0.88:
            return {**self.text(), "hours": {"office": self.rng.choice(["open", "closed"])}}
        if kind < 0.94:
            return {"any": [self.text(), {"all": [self.text(), {"not": {"contact": {"tag": "blocked"}}}]}]}
        return {**bound, **self.text(), "conversation": {"messages": ">= 2"}}

    def file(self, count: int) -> Data:
        """Return a route file with *count* routes."""
        self.words.clear()
        routes = [
            {"name": f"r{number}", "when": self.condition(number), "set": {"team": f"team-{number % 20}"}}
            for number in range(count)
        ]
        return {"default": {"team": "frontdesk"}, "routes": routes}

    def message(self) -> Facts:
        """Return a message; every second one has a word that some route looks for."""
        text = "".join(self.rng.choices(HAN, k=self.rng.randint(10, 80)))
        if self.rng.random() < 0.5:
            text += self.rng.choice(self.words) + "".join(self.rng.choices("0123456789", k=4))
        channel = self.rng.choice([*CHANNELS])
        return Facts(
            channel,
            CHANNELS[channel],
            NOW,
            text=text,
            sender=f"mailto:buyer{self.rng.randrange(20_000)}@example.com",
            contact_tags=frozenset([f"tag-{self.rng.randrange(20_000)}"]),
            conversation=ConversationFacts(new=False, messages=self.rng.randint(1, 4), opened_at=NOW),
        )


def closure(condition: Data) -> Closure:
    """Compile *condition* as one would by hand: a function for each key, asked in turn."""
    parts = [_PARTS[key](value) for key, value in condition.items()]
    return parts[0] if len(parts) == 1 else lambda facts, text: all(part(facts, text) for part in parts)


def _text(rule: Data) -> Closure:
    tests: list[Callable[[str], bool]] = []
    for key, value in rule.items():
        if key == "regex":
            search = re2.compile(read(value).source).search
            tests.append(lambda text, search=search: search(text) is not None)  # type: ignore[misc]
        else:
            words = tuple(map(plain, value))
            wanted = key == "any_of"
            tests.append(
                lambda text, words=words, wanted=wanted: any(word in text for word in words) is wanted  # type: ignore[misc]
            )
    return lambda _, text: all(test(text) for test in tests)


def _sender(name: str) -> Closure:
    if name.startswith("@"):
        return lambda facts, _: facts.sender.endswith(name)
    return lambda facts, _: facts.sender in (f"mailto:{name}", f"tel:{name}")


def _any(parts: Sequence[Data]) -> Closure:
    made = [closure(part) for part in parts]
    return lambda facts, text: any(part(facts, text) for part in made)


def _all(parts: Sequence[Data]) -> Closure:
    made = [closure(part) for part in parts]
    return lambda facts, text: all(part(facts, text) for part in made)


def _not(part: Data) -> Closure:
    made = closure(part)
    return lambda facts, text: not made(facts, text)


_PARTS: dict[str, Callable[[Any], Closure]] = {
    "channel": lambda name: lambda facts, _: facts.channel == name,
    "text": _text,
    "sender": _sender,
    "contact": lambda rule: lambda facts, _: rule["tag"] in facts.contact_tags,
    "hours": lambda rule: lambda facts, _: is_open(OFFICE, facts.at) is (rule["office"] == "open"),
    "conversation": lambda _: lambda facts, _text: facts.conversation.messages >= 2,
    "any": _any,
    "all": _all,
    "not": _not,
}


@dataclass
class Row:
    """One number of routes: both ways to decide, the messages, and what each round cost in microseconds."""

    count: int
    tree: Tree
    closures: list[tuple[str, Closure]]
    messages: list[Facts]
    build: float
    index: list[float] = field(default_factory=list)
    plain: list[float] = field(default_factory=list)

    def by_closures(self, facts: Facts) -> str:
        """Return the first route that matches, asking one after another."""
        text = plain(facts.text)
        return next((name for name, test in self.closures if test(facts, text)), "default")

    def check(self) -> int:
        """Return how many messages a route matched. Raises `AssertionError` where the two ways differ."""
        found = [decide(self.tree, facts).route for facts in self.messages]
        assert found == [self.by_closures(facts) for facts in self.messages]
        return sum(route != "default" for route in found)

    def round(self) -> None:
        """Decide all messages by the index, then a part of them by closures, which take longer."""
        self.index.append(_cost(lambda facts: decide(self.tree, facts), self.messages))
        few = self.messages[: max(20, min(len(self.messages), 40_000 // self.count))]
        self.plain.append(_cost(self.by_closures, few))


def _cost(way: Callable[[Facts], object], messages: Sequence[Facts]) -> float:
    begin = time.process_time_ns()
    for facts in messages:
        way(facts)
    return (time.process_time_ns() - begin) / 1_000 / len(messages)


def prepare(count: int, seed: int) -> Row:
    """Make a shop with *count* routes, its customers' messages, and both ways to decide them."""
    shop = Shop(seed)
    data = shop.file(count)
    file = RouteFile.model_validate_json(json.dumps(data), strict=True)
    begin = time.perf_counter()
    tree = compile_routes([file], {"office": OFFICE})
    build = time.perf_counter() - begin
    closures = [(route["name"], closure(route["when"])) for route in data["routes"]]
    return Row(count, tree, closures, [shop.message() for _ in range(MESSAGES)], build)


def catastrophes() -> dict[str, float]:
    """Return how many seconds each pattern takes on the worst of some texts of 16 kB, found afresh each time."""
    times: dict[str, float] = {}
    for pattern in CATASTROPHES:
        for piece in ("a", "a ", "退", "退款", "ab1 退", "x"):
            text = (piece * CAP).encode()[:CAP].decode(errors="ignore").encode()
            found = []
            for _ in range(3):
                # RE2 remembers what it has worked out: every time must be like the first.
                read.cache_clear()
                re2.purge()
                search = read(pattern).search
                begin = time.process_time()
                search(text)
                found.append(time.process_time() - begin)
            times[pattern] = max(times.get(pattern, 0.0), min(found))
    return times


def measure(rounds: int, seed: int) -> int:
    """Run everything; return the exit code."""
    print(stage.machine(), flush=True)
    rows = [prepare(count, seed) for count in COUNTS]
    for row in rows:
        print(f"{row.count:6} routes: {row.check()} of {MESSAGES} messages match one, by both ways alike", flush=True)
    for _ in range(rounds):
        for row in rows:
            row.round()
    print(f"\nmedians of {rounds} rounds, us per message\n{'routes':>8}{'index':>10}{'closures':>12}{'compile, s':>12}")
    for row in rows:
        index, plainly = statistics.median(row.index), statistics.median(row.plain)
        print(f"{row.count:8}{index:10.1f}{plainly:12.1f}{row.build:12.2f}")
    costs = {row.count: statistics.median(row.index) for row in rows}
    growth = costs[10_000] / costs[100]
    print(f"\n10,000 routes cost {growth:.1f} times what 100 cost (at most {LIMIT:.0f})")
    worst, seconds = max(catastrophes().items(), key=lambda item: item[1])
    print(f"the slowest of {len(CATASTROPHES)} hostile patterns on 16 kB: {worst} {seconds * 1000:.1f} ms (below 50)")
    return 1 if growth > LIMIT or seconds >= SLOWEST else 0


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    return measure(options.rounds, options.seed)


if __name__ == "__main__":
    sys.exit(main())
