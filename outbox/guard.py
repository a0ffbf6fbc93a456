"""The guard of outgoing words: what of a text is forbidden or doubtful, where it stands, and why. Pure.

Texts are compared as routes compare them (case, width, invisible and traditional characters make no difference), and
what is found is told by its place in the text as written. A finding never holds what was found, unless an admin has
written that very word into the policy.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import re2
from ahocorasick_rs import AhoCorasick, Implementation, MatchKind

from config.conditions import several
from config.folding import fold, traced
from config.guard import GuardFile, Rule
from config.patterns import read
from inbox import sightings
from outbox.obstacles import Obstacle

MOST = 20  # findings that are told of one text
LOOKED_AT = 100_000  # characters
MEMORY = 64 << 20  # bytes that RE2 may use for all patterns together
TOLD_ELSEWHERE = frozenset({"phone", "email", "order", "link"})
"""What may be written if the customer's own conversation holds it."""

# What is put between characters to hide a word: signs and space, but no end of a sentence, and no space between words.
_SEPARATORS = re.compile(
    r"(?:[^\w\s。！？!?]|_|[^\S\n](?!(?<=[a-z0-9]{2}[^\S\n])[a-z0-9])(?!(?<=[a-z0-9][^\S\n])[a-z0-9]{2}))+"
)

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Finding(Obstacle):
    """What a rule is about: *length* characters from *offset* on in a *part* (text, subject, html) of a message."""

    rule: str = ""
    offset: int = 0
    length: int = 0
    replace: str = ""
    part: str = "text"
    sort: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known about a message that is about to leave.

    *own* are the phone numbers (E.164) and mail addresses of the customer; *said* is what stands in the conversation,
    folded. *locale* is the language in which reasons are told.
    """

    channel: str = ""
    kind: str = ""
    team: str = ""
    lane: str = "reply"
    own: frozenset[str] = frozenset()
    said: str = field(default="", repr=False)
    locale: str = "zh-CN"


@dataclass(slots=True)
class _Lexicon:
    """Words of all rules; a word may belong to several rules, as something to find or as an excuse."""

    words: dict[str, list[tuple[int, bool]]] = field(default_factory=dict)
    listed: list[str] = field(default_factory=list)
    automaton: AhoCorasick | None = None

    def add(self, words: Iterable[str], rule: int, *, excuse: bool) -> None:
        for word in words:
            if word:
                self.words.setdefault(word, []).append((rule, excuse))

    def build(self) -> None:
        self.listed = list(self.words)
        if self.listed:
            self.automaton = AhoCorasick(
                self.listed, matchkind=MatchKind.Standard, implementation=Implementation.ContiguousNFA
            )

    def hits(self, text: str) -> Iterator[tuple[int, bool, int, int]]:
        """Yield (rule, excuse, start, end); a Latin word counts only where no other letter touches it."""
        if self.automaton is None or not text:
            return
        for number, start, end in self.automaton.find_matches_as_indexes(text, overlapping=True):
            if _alone(text, start, end):
                for rule, excuse in self.words[self.listed[number]]:
                    yield rule, excuse, start, end


class Guard:
    """A policy made ready. *own_hosts* and *own_emails* belong to the shop; *secrets* are the hub's own."""

    def __init__(
        self,
        file: GuardFile | None,
        *,
        own_hosts: Collection[str] = (),
        own_emails: Collection[str] = (),
        secrets: Collection[str] = (),
    ) -> None:
        self.rules: tuple[Rule, ...] = file.policy() if file is not None else ()
        allow = file.allow if file is not None else None
        self.asks_team = any(rule.only.teams for rule in self.rules)
        self._region = file.region if file is not None else "CN"
        self._hosts = frozenset(fold(one).lstrip(".") for one in (*(allow.hosts if allow else ()), *own_hosts))
        emails = frozenset(fold(one) for one in (*(allow.emails if allow else ()), *own_emails))
        self._domains = frozenset(one for one in emails if one.startswith("@"))
        phones = frozenset(sightings.number(one, self._region) for one in (allow.phones if allow else ()))
        self._shop = emails | phones
        self._orders = [read(rf"\b(?:{word})\b").search for word in several(file.orders)] if file is not None else []
        self._plain, self._loose = _Lexicon(), _Lexicon()
        self._patterns: list[tuple[int, bool, Callable[..., Any]]] = []
        self._present: Any = None
        self._secrets = _automaton([one for one in secrets if len(one) >= 8])
        self._compile()

    def _compile(self) -> None:
        sources: list[str] = []
        for number, rule in enumerate(self.rules):
            lexicon, spell = (self._loose, _squeezed) if rule.loose else (self._plain, fold)
            lexicon.add(map(spell, several(rule.words or ())), number, excuse=False)
            lexicon.add(map(spell, several(rule.excuse)), number, excuse=True)
            for words, excuse in ((rule.regex or (), False), (rule.excuse_regex, True)):
                for word in several(words):
                    pattern = read(word)
                    self._patterns.append((number, excuse, pattern.search))
                    sources.append(pattern.source)
        self._plain.build()
        self._loose.build()
        if sources:
            # Most patterns are not in most texts: one pass over the text tells which are.
            options = re2.Options()
            options.max_mem, options.case_sensitive, options.log_errors = MEMORY, False, False
            self._present = re2.Set.SearchSet(options)
            for source in sources:
                self._present.Add(source)
            self._present.Compile()

    def judge(self, text: str, facts: Facts, part: str = "text") -> tuple[Finding, ...]:
        """Return what stands against *text*, in its order, at most `MOST` findings."""
        active = frozenset(
            number
            for number, rule in enumerate(self.rules)
            if rule.only.covers(facts.channel, facts.kind, facts.team, facts.lane)
        )
        if not active or not text:
            return ()
        text = text[:LOOKED_AT].encode("utf-8", "replace").decode()  # halves of surrogate pairs become "?"
        folded = fold(text)
        hits = self._hits(folded, text, active, facts)
        if not hits:
            return ()
        trace = traced(text)
        if trace.text != folded:
            hits = self._hits(trace.text, text, active, facts)
        found = {
            self._finding(rule, *(trace.span(start, end) if inside else (start, end)), text, facts, part)
            for rule, start, end, inside in hits
        }
        return tuple(_apart(found)[:MOST])

    def _hits(self, folded: str, text: str, active: frozenset[int], facts: Facts) -> list[tuple[int, int, int, bool]]:
        """Return (rule, start, end, True if these are places of the folded text rather than of the one as written)."""
        found: list[tuple[int, int, int]] = []
        excused: dict[int, list[Span]] = {}

        def note(rule: int, excuse: bool, start: int, end: int) -> None:  # as the lexicon yields it
            if rule in active:
                if excuse:
                    excused.setdefault(rule, []).append((start, end))
                else:
                    found.append((rule, start, end))

        for hit in self._plain.hits(folded):
            note(*hit)
        if self._loose.listed:
            squeezed, places = _squeeze(folded)
            for rule, excuse, start, end in self._loose.hits(squeezed):
                note(rule, excuse, places[start], places[end - 1] + 1)
        for hit in self._matches(folded):
            note(*hit)
        within = [
            (rule, start, end, True)
            for rule, start, end in found
            if not any(first <= start and end <= last for first, last in excused.get(rule, ()))
        ]
        return [*within, *self._sightings(folded, text, active, facts)]

    def _matches(self, folded: str) -> Iterator[tuple[int, bool, int, int]]:
        if self._present is None:
            return
        data = folded.encode()
        for number in self._present.Match(data) or ():
            rule, excuse, search = self._patterns[number]
            for start, end in _spans(search, data):
                yield rule, excuse, len(data[:start].decode()), len(data[:end].decode())

    def _sightings(
        self, folded: str, text: str, active: frozenset[int], facts: Facts
    ) -> Iterator[tuple[int, int, int, bool]]:
        for number in sorted(active):
            sort = self.rules[number].find
            if sort == "secret":
                for start, end in self._secret(text):
                    yield number, start, end, False
            elif sort is not None:
                for start, end, value in self._seen(sort, folded):
                    if not self._known(sort, value, facts):
                        yield number, start, end, True

    def _seen(self, sort: str, folded: str) -> Iterator[sightings.Sighting]:
        if sort == "phone":
            return sightings.phones(folded, self._region)
        if sort == "order":
            return self._numbers(folded)
        return sightings.FOLDED[sort](folded)

    def _numbers(self, folded: str) -> Iterator[sightings.Sighting]:
        """Yield order numbers that are no phone numbers."""
        data = folded.encode()
        spans = [span for search in self._orders for span in _spans(search, data)]
        taken = [(start, end) for start, end, _ in sightings.phones(folded, self._region)] if spans else []
        for first, last in spans:
            start, end = len(data[:first].decode()), len(data[:last].decode())
            if not any(one <= start and end <= other for one, other in taken):
                yield start, end, folded[start:end]

    def _known(self, sort: str, value: str, facts: Facts) -> bool:
        """Tell whether what was seen belongs to this customer, to this conversation or to the shop."""
        if sort == "link":
            return bool(value) and (_below(value, self._hosts) or (bool(facts.said) and value in facts.said))
        if sort not in TOLD_ELSEWHERE:
            return False
        if value in facts.own or value in self._shop:
            return True
        if sort == "email" and f"@{value.partition('@')[2]}" in self._domains:
            return True
        if sort == "phone":
            return any(value == known for _, _, known in sightings.phones(facts.said, self._region))
        return re.search(rf"(?<![0-9a-z]){re.escape(value)}(?![0-9a-z])", facts.said) is not None

    def _secret(self, text: str) -> Iterator[Span]:
        yield from ((start, end) for start, end, _ in sightings.secrets(text))
        if self._secrets is not None:
            yield from ((start, end) for _, start, end in self._secrets.find_matches_as_indexes(text))

    def _finding(self, number: int, start: int, end: int, text: str, facts: Facts, part: str) -> Finding:
        rule = self.rules[number]
        why = reason(rule, facts.locale)
        if rule.words is not None:
            shown = text[start:end]
            why = f"{why}：{shown}" if facts.locale.startswith("zh") else f"{why}: {shown}"
        weight = "block" if rule.action == "block" else "warn"
        return Finding("guard", weight, why, None, rule.name, start, end - start, rule.replace, part, rule.find or "")  # type: ignore[arg-type]  # a literal either way


def reason(rule: Rule, locale: str) -> str:
    """Return why a rule is there, in the language asked for as far as there is one."""
    if isinstance(rule.reason, str):
        return rule.reason
    texts = rule.reason
    return next(texts[one] for one in (locale, locale.partition("-")[0], next(iter(texts))) if one in texts)


def _automaton(words: Sequence[str]) -> AhoCorasick | None:
    return AhoCorasick(list(words)) if words else None


def _spans(search: Callable[..., Any], data: bytes) -> Iterator[Span]:
    """Yield where a pattern matches, from left to right, each place once."""
    at = 0
    while at <= len(data) and (match := search(data, at)):
        start, end = match.span()
        if end > start:
            yield start, end
        at = max(end, start + 1)


def _alone(text: str, start: int, end: int) -> bool:
    """Tell whether a word that begins or ends in a Latin letter or digit is a word of its own there."""
    before, after = text[start - 1 : start], text[end : end + 1]
    return not (_latin(text[start]) and _latin(before)) and not (_latin(text[end - 1]) and _latin(after))


def _latin(char: str) -> bool:
    return char.isascii() and char.isalnum()


def _squeezed(text: str) -> str:
    return _squeeze(fold(text))[0]


def _squeeze(folded: str) -> tuple[str, Sequence[int]]:
    """Return *folded* without what only keeps characters apart, and where each of the others stood.

    Space between Latin words stays ("we chat" is no name), but not between single letters ("w e c h a t").
    """
    places: list[int] = []
    at = 0
    for match in _SEPARATORS.finditer(folded):
        places += range(at, match.start())
        at = match.end()
    if not at:
        return folded, range(len(folded))
    places += range(at, len(folded))
    return "".join([folded[place] for place in places]), places


def _apart(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings in order, without those that lie inside a longer one of their rule, or inside a block."""
    kept: list[Finding] = []
    last: dict[str, int] = {}
    blocked = 0
    for one in sorted(findings, key=lambda each: (each.offset, -each.length, each.weight, each.rule)):
        end = one.offset + one.length
        if one.offset < last.get(one.rule, 0) or (one.weight == "warn" and end <= blocked):
            continue
        kept.append(one)
        last[one.rule] = end
        blocked = max(blocked, end if one.weight == "block" else 0)
    return kept


def _below(host: str, allowed: frozenset[str]) -> bool:
    labels = host.split(".")
    return any(".".join(labels[start:]) in allowed for start in range(len(labels)))
