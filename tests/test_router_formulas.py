"""What lint knows about conditions is true: nothing that it calls impossible, implied or hidden ever happens."""

from __future__ import annotations

import copy
import json
import os
import secrets
from collections import Counter
from itertools import product
from typing import Any

from config.conditions import Condition
from config.faults import Path
from config.routes import RouteFile
from router.contradictions import contradictions
from router.formulas import Formula, impossible, opposite
from router.hiding import hidden
from router.inheritance import needless
from router.levels import every, place
from router.pieces import Anatomist
from router.redundancy import redundancies
from tests import naive
from tests.routing import SHANGHAI
from tests.thickets import CHANNELS, Data, Grower, is_open

ROUNDS = 4_000 if os.environ.get("HUILIU_LONG") else 150
ANATOMIST = Anatomist(SHANGHAI, CHANNELS)


def seed() -> int:
    """Return the seed of this run, and say how to repeat it."""
    chosen = int(os.environ.get("HUILIU_SEED") or secrets.randbelow(2**32))
    print(f"to see this again: HUILIU_SEED={chosen}")  # noqa: T201  # pytest shows it beside a failure
    return chosen


def formula(condition: Data) -> Formula:
    """Return a condition as lint sees it."""
    return ANATOMIST.condition(Condition.model_validate_json(json.dumps(condition), strict=True), ("when",)).formula


def test_what_is_called_impossible_never_happens() -> None:
    """Conditions that lint says exclude each other hold together for no message, with and without `not`."""
    number, impossibilities = seed(), 0
    messages = [Grower(number + each).message() for each in range(300)]
    for each in range(ROUNDS):
        grower = Grower(number + each)
        conditions = [grower.condition(depth=2) for _ in range(3)]
        formulas = [formula(condition) for condition in conditions]
        verdicts = [[naive.holds(one, facts, is_open) for facts in messages] for one in conditions]
        for signs in product((True, False), repeat=3):
            asked = [one if sign else opposite(one) for one, sign in zip(formulas, signs, strict=True)]
            for count in (1, 2, 3):
                if impossible(asked[:count]):
                    impossibilities += 1
                    met = [
                        facts
                        for facts, *all_ in zip(messages, *verdicts[:count], strict=True)
                        if tuple(all_) == signs[:count]
                    ]
                    assert met == [], (number, conditions[:count], signs[:count])

    assert impossibilities > ROUNDS / 20, number


def test_what_is_called_hidden_never_matches() -> None:
    """A route that lint says is never reached, or never holds, matches no message; neither does a hidden word."""
    number, lost = seed(), 0
    for each in range(ROUNDS):
        grower = Grower(number + each)
        file = grower.file()
        model = RouteFile.model_validate_json(json.dumps(file), strict=True)
        top = place([model], ANATOMIST)
        names = {
            one.route.name
            for placed, problem in hidden(top)
            if problem.rule == "hidden-route"
            for one in every([placed])
        }
        never = {problem.path for _, problem in contradictions([model], ANATOMIST)}
        names |= {one.route.name for one in every(top) if (*one.path, "when") in never}
        lost += len(names)
        for _ in range(40):
            facts = grower.message()
            matched = {route["name"] for route, _ in naive.matches(file, facts, is_open)[0]}
            assert names & matched == set(), (number, each, facts)

    assert lost > ROUNDS / 4, number


def test_what_is_called_needless_changes_nothing() -> None:
    """Without a condition, word, field or `continue` that lint wants left out, every decision is the same."""
    number = seed()
    rules: Counter[str] = Counter()
    for each in range(ROUNDS):
        grower = Grower(number + each)
        file = grower.file()
        top = place([RouteFile.model_validate_json(json.dumps(file), strict=True)], ANATOMIST)
        found = [problem for _, problem in hidden(top) if problem.rule == "hidden-word"]
        for placed in every(top):
            found += [*redundancies(placed), *needless(placed, file["default"])]
        messages = [grower.message() for _ in range(40)]
        before = [naive.decide(file, facts, is_open) for facts in messages]
        for problem in found:
            shorter = without(file, problem.path) if problem.rule != "plain-regex" else None
            if shorter is not None:
                rules[problem.rule] += 1
                after = [naive.decide(shorter, facts, is_open) for facts in messages]
                assert before == after, (number, each, problem)

    assert set(rules) == {
        "adds-nothing", "always-holds", "hidden-word", "takes-back-nothing", "inherited-already", "goes-nowhere",
    }, number  # fmt: skip


def without(file: Data, path: Path) -> Data | None:
    """Return a copy of *file* without what is at *path*; None if that leaves an empty condition behind."""
    shorter: Any = copy.deepcopy(file)
    inside: Any = shorter
    for step in path[:-1]:
        inside = inside[step]
    if isinstance(inside, str):
        return None
    del inside[path[-1]]
    whole = path[-1] == "when" or path[-2] == "set" or path[-1] == "continue"
    return shorter if whole or [key for key in inside if key != "exact"] else None
