"""What routes set or do without any effect, because of what the routes around and before them set. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from config.conditions import written
from config.faults import Problem
from router.levels import Placed, every

# Lists are put together from several routes: the same value is no needless one there.
SINGLE = ("team", "agent", "priority", "stage", "sla", "risk", "survey", "ignore")


def inherited(placed: Placed) -> dict[str, object]:
    """Return what the routes around *placed* set; null where the nearest one takes something back."""
    fields: dict[str, object] = {}
    for outer in reversed(list(placed.outwards)):
        fields |= dict(written(outer.route.set))
    return fields


def needless(placed: Placed, default: Collection[str]) -> Iterator[Problem]:
    """Yield what a route could leave out and no decision would change; *default* are the fields of the default."""
    path = (*placed.path, "set")
    outer = inherited(placed)
    for key, value in written(placed.route.set):
        if value is None and key not in outer and key not in default and not _set_before(placed, key):
            what = f'"{key}" takes back what no route before has set'
            yield Problem((*path, key), what, "a value, or nothing", key=True, rule="takes-back-nothing")
        elif value is not None and key in SINGLE and outer.get(key) == value and not _set_since(placed, key):
            what = f'"{key}" is {value} already, from the route around it'
            yield Problem((*path, key), what, "to be left out", key=True, rule="inherited-already")
    # At the top, going on leads to the default. Inside a route nothing follows the last one.
    if placed.route.goes_on and placed.around is not None and placed.number == len(placed.level) - 1:
        what = f'nothing follows route "{placed.route.name}" for it to go on to'
        yield Problem((*placed.path, "continue"), what, "no `continue`", key=True, rule="goes-nowhere")


def _set_before(placed: Placed, key: str) -> bool:
    """Tell whether a route that goes on, tried before this one or one around it, may have set *key*."""
    return any(
        key in each.route.set.model_fields_set for level in (placed, *placed.outwards) for each in _passed(level)
    )


def _set_since(placed: Placed, key: str) -> bool:
    """Tell whether something may have set *key* after the nearest route around has."""
    for level in (placed, *placed.outwards):
        if level is not placed and key in level.route.set.model_fields_set:
            return False
        if any(key in each.route.set.model_fields_set for each in _passed(level)):
            return True
    return False


def _passed(placed: Placed) -> Iterable[Placed]:
    """Yield the routes that may have matched before *placed* is tried at its level, with those inside them."""
    return every(before for before in placed.level[: placed.number] if before.route.goes_on)
