"""The routes of all files in their levels, each with what its conditions ask: what lint looks at. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from config.faults import Path
from config.routes import Route, RouteFile, speaks_of_events
from router.formulas import Formula, Literal
from router.pieces import Anatomist, Piece

MESSAGES = Literal("event", frozenset(["message"]))


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """A route at *path* in the file number *file*: the one with this *number* in its *level*.

    *asks* is its own condition, *piece* the same as it is written. *around* is the route that it is inside of,
    *inside* is the level of those inside it.
    """

    file: int
    path: Path
    route: Route
    number: int
    piece: Piece | None = field(repr=False)
    asks: tuple[Formula, ...] = field(repr=False)
    around: Placed | None = field(repr=False)
    level: Sequence[Placed] = field(repr=False)
    inside: list[Placed] = field(repr=False)

    @property
    def context(self) -> tuple[Formula, ...]:
        """What holds of every message for which this route is tried, because the routes around it ask for it."""
        return () if self.around is None else (*self.around.context, *self.around.asks)

    @property
    def outwards(self) -> Iterator[Placed]:
        """The routes around this one, the nearest first."""
        if self.around is not None:
            yield self.around
            yield from self.around.outwards


def place(files: Sequence[RouteFile], anatomist: Anatomist) -> list[Placed]:
    """Return the top level of the routes of *files*."""
    top: list[Placed] = []
    for file, content in enumerate(files):
        for number, route in enumerate(content.routes):
            _place(anatomist, top, file, ("routes", number), route, None)
    return top


def every(level: Iterable[Placed]) -> Iterator[Placed]:
    """Yield the routes of *level* and all inside them, each before those inside it."""
    for placed in level:
        yield placed
        yield from every(placed.inside)


def _place(
    anatomist: Anatomist, level: list[Placed], file: int, path: Path, route: Route, around: Placed | None
) -> None:
    piece = anatomist.condition(route.when, (*path, "when")) if route.when is not None else None
    asks: tuple[Formula, ...] = () if piece is None else (piece.formula,)
    if around is None and not speaks_of_events(route.when):
        asks = (MESSAGES, *asks)
    placed = Placed(file, path, route, len(level), piece, asks, around, level, [])
    level.append(placed)
    for number, inner in enumerate(route.routes):
        _place(anatomist, placed.inside, file, (*path, "routes", number), inner, placed)
