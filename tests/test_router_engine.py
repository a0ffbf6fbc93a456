"""The compiled engine against a naive one: the same decisions on random trees and messages, at a flat cost."""

from __future__ import annotations

import json
import os
import random
import secrets
import time
from collections.abc import Iterator

import pytest

from config.routes import RouteFile
from router.rules import Facts, Tree, Tried, compile_routes, decide, explain
from tests import naive
from tests.routing import OFFICE, WEDNESDAY, found
from tests.thickets import CHANNELS, Data, Grower, is_open

LONG = bool(os.environ.get("HUILIU_LONG"))
PAIRS = 100_000 if LONG else 5_000
SEED = 20_261_121
"""Of the short run, which must not fail by chance; the long one draws its own."""
MESSAGES = 20
PARTS = 10


def compiled(file: Data) -> Tree:
    """Return a route file, which must be free of problems, ready to decide."""
    model = RouteFile.model_validate_json(json.dumps(file), strict=True)
    assert found(model) == []
    return compile_routes([model], {"office": OFFICE})


@pytest.mark.parametrize("part", range(PARTS))
def test_same_decisions_as_a_naive_evaluator(part: int) -> None:
    """Whatever the tree and the message, decision and explanation are what reading the page line by line gives."""
    seed = int(os.environ.get("HUILIU_SEED") or (secrets.randbelow(2**32) if LONG else SEED))
    print(f"to see this again: HUILIU_SEED={seed}")  # noqa: T201  # pytest shows it beside a failure
    met = dict.fromkeys(("default", "inside", "collected"), 0)
    for number in range(part, PAIRS // MESSAGES, PARTS):
        grower = Grower(seed * PAIRS + number)
        file = grower.file()
        tree = compiled(file)
        for which in range(MESSAGES):
            facts = grower.message()
            place = f"HUILIU_SEED={seed}, tree {number}, message {which}: {facts!r} {facts.text!r}"
            expected = naive.decide(file, facts, is_open)
            explanation = explain(tree, facts)
            tried = list(flat(explanation.tried))

            assert expected == decide(tree, facts), place
            assert expected == explanation.decision, place
            assert expected.routes == tuple(each.name for each in tried if each.matched), place
            assert sum(1 for _ in naive.every(file["routes"])) == len(tried) + explanation.untried, place
            assert verdicts(file, facts, tried) == [each.condition is None or each.condition.holds for each in tried], (
                place
            )
            met["default"] += expected.route == "default"
            met["inside"] += len(expected.routes) > 1
            met["collected"] += len(expected.tags) > 1
    # A test in which everything fell through to the default would prove nothing.
    assert met["default"] < PAIRS / PARTS * 2 / 3, seed
    assert min(met["inside"], met["collected"]) > PAIRS / PARTS / 100, seed


def flat(tried: tuple[Tried, ...]) -> Iterator[Tried]:
    for each in tried:
        yield each
        yield from flat(each.routes)


def verdicts(file: Data, facts: Facts, tried: list[Tried]) -> list[bool]:
    """Return what the conditions of the routes that were tried come to, by the naive reading."""
    tops = {route["name"] for route in file["routes"]}
    routes = {route["name"]: route.get("when", {}) for route in naive.every(file["routes"])}
    return [
        naive.holds(routes[each.name], facts, is_open)
        and (each.name not in tops or facts.event == "message" or naive.speaks_of_events(routes[each.name]))
        for each in tried
    ]


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
