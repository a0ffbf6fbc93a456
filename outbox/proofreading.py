"""The texts of a configuration held against its policy about words, before anybody sends them. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from config.documents import Document
from config.faults import Fault, Path, Problem
from config.loading import Loaded
from config.templates import ANY_LANGUAGE, Text
from outbox.guard import Facts, Finding, Guard

RULES = ("guard-block", "guard-warn")


def proofread(loaded: Loaded, guard: Guard) -> list[Fault]:
    """Return a warning for every text that would not leave on some channel, or only if somebody confirmed it."""
    if not guard.rules:
        return []
    kinds = {name: channel.kind for name, channel in loaded.settings.channels.items()} or {"": ""}
    found: list[Fault] = []
    for document in loaded.texts:
        for name in document.data if isinstance(document.data, dict) else ():
            if name in loaded.templates:
                problems = _template(name, loaded, document, guard, kinds)
                found += [replace(fault, severity="warning") for fault in document.faults(problems)]
    return sorted(set(found), key=lambda fault: (fault.file, fault.line, fault.column, fault.what))


def _template(
    name: str, loaded: Loaded, document: Document, guard: Guard, kinds: Mapping[str, str]
) -> Iterator[Problem]:
    template = loaded.templates[name]
    for path, wording in template.variants():
        channels = _channels(path, kinds)
        for language, text in wording.texts.items():
            at = _place(document, (name, *path), language)
            words = literal(text)
            for channel in channels:
                for lane in ("notice", "campaign"):
                    facts = Facts(channel, kinds.get(channel, ""), lane=lane, locale=language or loaded.settings.locale)
                    for one in guard.judge(words, facts):
                        if not one.sort or one.weight == "block":
                            yield _problem(at, one)


def _channels(path: Path, kinds: Mapping[str, str]) -> list[str]:
    """Return the channels on which a variant of a text may go out."""
    if path[:1] == ("by_channel",):
        return [str(path[1])]
    if path[:1] == ("by_kind",):
        return [name for name, kind in kinds.items() if kind == path[1]]
    return list(kinds)


def _place(document: Document, path: Path, language: str) -> Path:
    """Return where the text of a language stands, however the template is written."""
    tags = (language,) if language != ANY_LANGUAGE else ()
    for candidate in ((*path, *tags), (*path, "text", *tags), (*path, "by_language", *tags)):
        if document.node(candidate) is not None:
            return candidate
    return path


def literal(text: Text) -> str:
    """Return what everybody reads of a text: all but what is filled in."""
    return "".join(part for part in text.parts if isinstance(part, str))


def _problem(path: Path, one: Finding) -> Problem:
    rule = "guard-block" if one.weight == "block" else "guard-warn"
    return Problem(path, f"the policy about words ({one.rule}) says: {one.why}", one.replace, rule=rule)
