"""Conditions that no message can ever meet: the one finding of lint that refuses a file. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from config.faults import Problem, dotted
from config.routes import RouteFile
from router.formulas import impossible
from router.levels import Placed, place
from router.pieces import Anatomist, Piece

RULE = "never-holds"
EXPECTED = "conditions that can hold at once"


def contradictions(files: Sequence[RouteFile], anatomist: Anatomist) -> list[tuple[int, Problem]]:
    """Return every condition of *files* that never holds, with the number of its file."""
    found: list[tuple[int, Problem]] = []
    level = place(files, anatomist)
    while level:
        # What is inside a route that never matches never matches either: saying it once is enough.
        sound = []
        for placed in level:
            problems = list(_problems(placed))
            found += [(placed.file, problem) for problem in problems]
            sound += [] if problems else placed.inside
        level = sound
    return sorted(found, key=lambda item: item[0])


def _problems(placed: Placed) -> Iterator[Problem]:
    if placed.piece is None:
        return
    own = list(_inside(placed.piece))
    yield from own
    if not own and impossible([*placed.context, *placed.asks]):
        others = [each for each in placed.outwards if impossible([*each.asks, *placed.asks])]
        names = f'"{others[0].route.name}"' if others else "those"
        yield Problem(
            placed.piece.path,
            f"this never holds inside route {names}" if others else "this never holds inside the routes around it",
            EXPECTED,
            rule=RULE,
        )


def _inside(piece: Piece) -> Iterator[Problem]:
    """Yield the smallest pieces that never hold."""
    if piece.how in ("all", "any", "not"):
        inner = [problem for part in piece.parts for problem in _inside(part)]
        if inner:
            yield from inner
            return
    if not impossible([piece.formula]):
        return
    if piece.how != "all":
        yield Problem(piece.path, "this never holds", EXPECTED, rule=RULE)
        return
    for number, part in enumerate(piece.parts):
        for other in piece.parts[:number]:
            if impossible([part.formula, other.formula]):
                yield Problem(part.path, f"this never holds together with {dotted(other.path)}", EXPECTED, rule=RULE)
                return
    yield Problem(piece.path, "these conditions never hold together", EXPECTED, rule=RULE)
