"""The policy about what may not leave in words: its file, as written, and the rules that are shipped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, Field, SecretStr, model_validator

from config import documents
from config.conditions import Listed, Words, several
from config.documents import Document
from config.faults import Path, Problem, Wrong, listed, nearest
from config.folding import fold
from config.patterns import BadPattern, read
from config.settings import Settings
from config.values import Language, Name, Section, UniqueNames
from config.wordlists import Wordlist

Action = Literal["block", "warn"]
Lane = Literal["reply", "notice", "survey", "campaign"]
Find = Literal["phone", "email", "order", "card", "identity", "secret", "link"]
Preset = Literal[
    "advertising-law", "vague", "promises", "rude", "strangers", "secrets", "links", "marketplace-diversion"
]
PRESETS: tuple[str, ...] = get_args(Preset)
Texts = Annotated[str, Field(min_length=1, max_length=300)] | Mapping[Language, str]


class Scope(Section):
    """Where a rule applies; what is left out does not narrow it."""

    channels: UniqueNames = ()
    """Only on these channels."""
    kinds: UniqueNames = ()
    """Only on channels of these kinds."""
    teams: UniqueNames = ()
    """Only in conversations of these teams."""
    lanes: tuple[Lane, ...] = ()
    """Only for reply, notice, survey or campaign."""

    def covers(self, channel: str, kind: str, team: str, lane: str) -> bool:
        """Tell whether a message of this channel, kind, team and lane lies within."""
        given = ((self.channels, channel), (self.kinds, kind), (self.teams, team), (self.lanes, lane))
        return all(not names or value in names for names, value in given)


class Rule(Section):
    """One thing that a text may not hold."""

    name: Name
    """Its name in answers and reports; each only once."""
    words: Listed | None = None
    """Words to look for, or a file of them. Case, width and traditional characters make no difference."""
    regex: Words | None = None
    """Regular expressions (RE2) to look for."""
    find: Find | None = None
    """What the hub recognises by itself: phone, email, order, card, identity, secret or link."""
    action: Action = "warn"
    """block: the text does not leave. warn: it leaves if whoever sends it says so."""
    reason: Texts
    """Why, for the one who wrote it; one text, or one for each language."""
    replace: str = ""
    """What to write instead."""
    excuse: Words = ()
    """Phrases inside which a hit does not count."""
    excuse_regex: Words = ()
    """The same as regular expressions."""
    loose: bool = False
    """Also find words with spaces, signs and invisible characters put between their characters."""
    only: Scope = Scope()
    """Where the rule applies; by default everywhere."""

    @model_validator(mode="after")
    def _looks_for_one_thing(self) -> Rule:
        if sum(one is not None for one in (self.words, self.regex, self.find)) != 1:
            raise Wrong("a rule looks for one thing", expected="words, regex or find")
        return self


class Use(Section):
    """Rules that are shipped, changed where the shop wants it otherwise."""

    preset: Preset
    """Which ones."""
    action: Action | None = None
    """block or warn instead of what each of them says."""
    without: UniqueNames = ()
    """Rules of them that are left out."""
    excuse: Words = ()
    """Further phrases inside which a hit does not count."""
    only: Scope | None = None
    """Where they apply, instead of what each of them says."""


class Allow(Section):
    """What belongs to the shop itself, and may always be written."""

    hosts: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """Hosts that links may lead to; hosts below them too."""
    phones: tuple[Annotated[str, Field(min_length=3)], ...] = ()
    """Phone numbers of the shop."""
    emails: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """Mail addresses of the shop; `@example.com` stands for all of a domain."""


def _one_or_more(value: tuple[Use | Preset, ...]) -> tuple[Use, ...]:
    return tuple(one if isinstance(one, Use) else Use(preset=one) for one in value)


class GuardFile(Section):
    """What may not leave in words."""

    use: Annotated[tuple[Use | Preset, ...], AfterValidator(_one_or_more)] = ()
    """Rules that are shipped, by the name of the set."""
    rules: tuple[Rule, ...] = ()
    """Rules of the shop."""
    allow: Allow = Allow()
    """What belongs to the shop itself."""
    orders: Words = "[0-9]{12,20}"
    """Regular expressions for the order numbers of the shop, which `find: order` looks for."""
    region: Annotated[str, Field(pattern=r"^[A-Z]{2}$")] = "CN"
    """The country of phone numbers that are written without one."""

    def policy(self) -> tuple[Rule, ...]:
        """Return all rules, those of the shop first."""
        uses = [one for one in self.use if isinstance(one, Use)]
        return (*self.rules, *(rule for use in uses for rule in _changed(use)))


class PresetFile(Section):
    """A set of rules that is shipped."""

    rules: tuple[Rule, ...]
    """Its rules."""


@cache
def shipped(preset: str) -> tuple[Rule, ...]:
    """Return the rules of a shipped set."""
    place = resources.files("config").joinpath("presets", f"{preset}.yaml")
    with resources.as_file(place) as path:
        return documents.validate(documents.read(path, environ={}), PresetFile).rules


def _changed(use: Use) -> Iterator[Rule]:
    for rule in shipped(use.preset):
        if rule.name in use.without:
            continue
        changes: dict[str, Any] = {"excuse": (*several(rule.excuse), *several(use.excuse))}
        if use.action is not None:
            changes["action"] = use.action
        if use.only is not None:
            changes["only"] = use.only
        yield rule.model_copy(update=changes)


def problems(file: GuardFile, document: Document, settings: Settings | None) -> list[Problem]:
    """Return what is wrong with a file of the right shape, held against the *settings* if they are known."""
    found = [*_uses(file), *_twice(file), *_blank(file.orders, ("orders",)), *_patterns(file.orders, ("orders",))]
    for number, rule in enumerate(file.rules):
        found += _rule(rule, ("rules", number))
    if settings is not None:
        scopes: list[tuple[Path, Scope]] = [(("rules", n, "only"), rule.only) for n, rule in enumerate(file.rules)]
        uses = [(n, use) for n, use in enumerate(file.use) if isinstance(use, Use) and use.only is not None]
        scopes += [(("use", n, "only"), use.only) for n, use in uses if use.only is not None]
        found += [problem for path, scope in scopes for problem in _scope(scope, path, settings)]
    return [problem for problem in found if document.node(problem.path[:1]) is not None]


def _uses(file: GuardFile) -> Iterator[Problem]:
    seen: set[str] = set()
    for number, use in enumerate(one for one in file.use if isinstance(one, Use)):
        if use.preset in seen:
            yield Problem(("use", number), f'"{use.preset}" is used twice', "each once")
        seen.add(use.preset)
        known = [rule.name for rule in shipped(use.preset)]
        for index, name in enumerate(use.without):
            if name not in known:
                what = f'"{use.preset}" has no rule "{name}"'
                yield Problem(("use", number, "without", index), what, listed(known), nearest(name, known))


def _twice(file: GuardFile) -> Iterator[Problem]:
    taken = {rule.name for use in file.use if isinstance(use, Use) for rule in shipped(use.preset)}
    for number, rule in enumerate(file.rules):
        if rule.name in taken:
            yield Problem(("rules", number, "name"), f'another rule is called "{rule.name}"', "each name once")
        taken.add(rule.name)


def _patterns(words: Words, path: Path) -> Iterator[Problem]:
    for word in several(words):
        try:
            if read(word).search(b""):
                yield Problem(_at(path, words, word), "this matches a text in which there is nothing", "text")
        except BadPattern as error:
            yield Problem(_at(path, words, word), str(error), "a regular expression of RE2")


def _rule(rule: Rule, path: Path) -> Iterator[Problem]:
    if rule.words is not None and not isinstance(rule.words, Wordlist):
        yield from _blank(rule.words, (*path, "words"))
    yield from _blank(rule.excuse, (*path, "excuse"), needed=False)
    for key in ("regex", "excuse_regex"):
        words: Words | None = getattr(rule, key)
        if words is not None:
            yield from _blank(words, (*path, key), needed=key == "regex")
            yield from _patterns(words, (*path, key))


def _blank(words: Words, path: Path, *, needed: bool = True) -> Iterator[Problem]:
    if needed and not several(words):
        yield Problem(path, "this list is empty", "at least one text")
    for word in several(words):
        if not fold(word).strip():
            yield Problem(_at(path, words, word), "this text is empty", "something to look for")


def _at(path: Path, words: Words, word: str) -> Path:
    return path if isinstance(words, str) else (*path, words.index(word))


def _scope(scope: Scope, path: Path, settings: Settings) -> Iterator[Problem]:
    kinds = {channel.kind for channel in settings.channels.values()}
    known: tuple[tuple[str, Sequence[str], Sequence[str], str], ...] = (
        ("channels", scope.channels, list(settings.channels), "channel"),
        ("teams", scope.teams, list(settings.teams), "team"),
    )
    for key, names, there, noun in known:
        for number, name in enumerate(names):
            if name not in there:
                expected = listed(there) or f"a name from {key}, where there is none"
                what = f'there is no {noun} "{name}"'
                yield Problem((*path, key, number), what, expected, nearest(name, there))
    for number, name in enumerate(scope.kinds):
        # A kind may come with a channel later; only a likely slip can be called one.
        if name not in kinds and (near := nearest(name, kinds)):
            yield Problem(
                (*path, "kinds", number), f'there is no channel of kind "{name}"', listed(sorted(kinds)), near
            )


def secrets_in(value: Any) -> Iterator[str]:
    """Yield every secret that a configuration holds, so that none of them leaves in a text."""
    if isinstance(value, SecretStr):
        yield value.get_secret_value()
    elif isinstance(value, BaseModel):
        for _, inner in value:
            yield from secrets_in(inner)
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from secrets_in(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from secrets_in(inner)
