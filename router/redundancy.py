"""Parts of conditions that change nothing: what always holds, is said twice, or is covered by what stands beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from config.conditions import several, walk
from config.faults import Path, Problem, dotted
from config.patterns import read
from router import formulas
from router.domains import Said, above
from router.formulas import Formula, implies, impossible, opposite
from router.levels import Placed
from router.pieces import Piece

OUT = "to be left out"


def redundancies(placed: Placed) -> Iterator[Problem]:
    """Yield what could be left out of the condition of a route."""
    if placed.piece is None:
        return
    if not impossible([*placed.context, opposite(placed.piece.formula)]):
        yield from _inherited(placed, placed.piece)
        yield from _inside(placed.piece)
    elif impossible([opposite(placed.piece.formula)]):
        yield Problem(placed.piece.path, "this always holds", "no `when` at all", key=True, rule="always-holds")
    else:
        yield Problem(
            placed.piece.path,
            f'this always holds inside route "{placed.around.route.name if placed.around else ""}"',
            "no `when` at all",
            key=True,
            rule="always-holds",
        )
    yield from _plain_patterns(placed)


def _inherited(placed: Placed, piece: Piece) -> Iterator[Problem]:
    """Find what the routes around have asked for already."""
    if not placed.context or piece.how != "all":
        return
    for part in piece.parts:
        if implies(formulas.Both(placed.context), part.formula):
            around = next((each for each in placed.outwards if implies(formulas.Both(each.asks), part.formula)), None)
            name = f'route "{around.route.name}" around it asks' if around else "the routes around it ask"
            yield Problem(part.path, f"this adds nothing: {name} for as much", OUT, rule="adds-nothing")


def _inside(piece: Piece) -> Iterator[Problem]:
    if piece.how in ("any_of", "all_of", "none_of"):
        yield from _words(piece)
        return
    dull = {part.path for part in piece.parts if impossible([opposite(part.formula)])}
    for part in piece.parts:
        if part.path in dull and piece.how != "not":
            yield Problem(part.path, "this always holds", "a condition that can fail", rule="always-holds")
    parts = [part for part in piece.parts if part.path not in dull]
    if piece.how == "all":
        yield from _beside(parts, lambda part, others: implies(formulas.Both(tuple(others)), part))
    elif piece.how == "any":
        yield from _beside(parts, lambda part, others: implies(part, *others))
    for part in parts:
        yield from _inside(part)


def _beside(parts: Sequence[Piece], covered: Callable[[Formula, list[Formula]], bool]) -> Iterator[Problem]:
    """Find parts that the others cover; of two that cover each other, the later one."""
    left = list(parts)
    for part in reversed(parts):
        others = [other for other in left if other is not part]
        if not others or not covered(part.formula, [other.formula for other in others]):
            continue
        left.remove(part)
        by = next((other for other in others if covered(part.formula, [other.formula])), None)
        said = f"{dotted(by.path)} says as much" if by else "the conditions beside it say as much"
        yield Problem(part.path, f"this adds nothing: {said}", OUT, rule="adds-nothing")


def _words(piece: Piece) -> Iterator[Problem]:
    """Find words of a list that others of the list make needless."""
    by_value: dict[object, Piece] = {}
    for part in piece.parts:
        value = _value(part.formula)
        if value in by_value:
            what = f'"{part.word}" is the same as "{by_value[value].word}"'
            yield Problem(part.path, what, "each word once", rule="adds-nothing")
        by_value.setdefault(value, part)
    for value, part in by_value.items():
        for wider in _wider(part.formula, value):
            other = by_value.get(wider)
            if other is None or other is part:
                continue
            # Where one is enough, or none may be there, the wider word settles it; where all must, the narrower.
            idle, by = (other, part) if piece.how == "all_of" else (part, other)
            yield Problem(
                idle.path,
                f'"{idle.word}" adds nothing beside "{by.word}"',
                "the one without the other",
                rule="adds-nothing",
            )
            break


def _value(formula: Formula) -> object:
    assert isinstance(formula, formulas.Literal)
    value = formula.value
    return next(iter(value.words)) if isinstance(value, Said) else min(value, key=str) if len(value) == 1 else value


def _wider(formula: Formula, value: object) -> Iterable[object]:
    """Yield what a message with the word, or name, *value* surely has too."""
    assert isinstance(formula, formulas.Literal)
    said = formula.value
    if not isinstance(said, Said):
        return above(formula.attribute, value) if isinstance(value, str) else ()
    assert isinstance(value, str)
    if said.how == "contains":
        return substrings(value)
    return (value[:end] for end in range(1, len(value))) if said.how == "starts" else ()


def substrings(word: str, longest: int = 40) -> Iterator[str]:
    """Yield all parts of *word*, the shortest first, none longer than *longest*; *word* itself is the last one."""
    for length in range(1, min(len(word), longest + 1)):
        for start in range(len(word) - length + 1):
            yield word[start : start + length]
    yield word


def _plain_patterns(placed: Placed) -> Iterator[Problem]:
    """Find regular expressions that are nothing but one word."""
    condition = placed.route.when
    for path, inner in walk(condition, (*placed.path, "when")) if condition is not None else ():
        for key in ("text", "subject"):
            text = getattr(inner, key)
            patterns = getattr(text, "regex", ())
            for number, pattern in enumerate(several(patterns)):
                words = read(pattern, exact=text.exact).words
                if words is not None and len(words) == 1:
                    place: Path = (*path, key, "regex") if isinstance(patterns, str) else (*path, key, "regex", number)
                    yield Problem(
                        place,
                        f'this regular expression is a plain word: "{next(iter(words))}"',
                        "any_of",
                        rule="plain-regex",
                    )
