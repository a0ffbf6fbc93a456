"""The commands `huiliu init`, `huiliu check` and `huiliu schema`, as functions that print and return an exit code.

0 is fine, 1 is no, 2 is "cannot tell". *locale* is "zh-CN" or "en".
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from config import chinese, schema, starting, validation
from config.channels import Kinds
from config.documents import Document, parse
from config.faults import ConfigError, Fault, nearest
from config.guard import GuardFile
from config.loading import Attempt, Loaded, Prove, attempt, candidate, in_order
from config.routes import RouteFile
from config.settings import Settings
from config.surveys import Survey, SurveyFile
from config.templates import TemplateFile
from config.wordlists import Wordlists

FINE, NO, CANNOT_TELL = 0, 1, 2

SURVEY_KEYS = frozenset(Survey.model_fields) - {"kind", "channels", "languages"}

Lint = Callable[[Loaded], list[Fault]]
"""Looks for what can be used and is probably not meant; its faults are warnings."""

_SAID = {
    "en": {
        "wrote": "wrote {}",
        "next": "Next: huiliu {0}check, then huiliu {0}run",
        "no preset": "there is no preset {}; presets are {}",
        "exists": "{} exists already; nothing was written",
        "cannot write": "cannot write: {}",
        "fine": "{}: fine",
        "faults": "{} fault(s)",
        "warnings": "{} warning(s)",
        "unknown": "there is no schema {}; schemas are {}",
        "no rule": "no rule {!r}",
        "near": " (did you mean {}?)",
    },
    "zh-CN": {
        "wrote": "已写入 {}",
        "next": "下一步：huiliu {0}check，然后 huiliu {0}run",
        "no preset": "没有名为 {} 的预设；可用：{}",
        "exists": "{} 已存在，没有写入任何文件",
        "cannot write": "无法写入：{}",
        "fine": "{}：没有问题",
        "faults": "共 {} 处错误",
        "warnings": "共 {} 条提醒",
        "unknown": "没有名为 {} 的 schema；可用：{}",
        "no rule": "没有检查项 {!r}",
        "near": "（是不是 {}？）",
    },
}


def refuse(error: ConfigError, locale: str = "en") -> int:
    """Print why a configuration cannot be used; 1 if it has faults, 2 if it cannot be read."""
    print(said(error, locale), file=sys.stderr)
    return code(error)


def said(error: ConfigError, locale: str) -> str:
    """Return every fault on a line of its own."""
    return "\n".join(chinese.said(fault) for fault in error.faults) if locale == "zh-CN" else str(error)


def code(error: ConfigError) -> int:
    """Return 1 for a configuration that has faults, 2 for one that cannot be read."""
    return NO if parse(error.faults[0].file).sha256 else CANNOT_TELL


def init(config: str = "huiliu.yaml", *, preset: str = "starter", as_json: bool = False, locale: str = "en") -> int:
    """Write the files of *preset*, the configuration as *config*; 1 if one of them exists, 2 if they cannot be written.

    With *as_json* their names are printed as ``written``, or what is wrong as ``fault`` and ``message``.
    """

    def fail(fault: str, message: str, code: int) -> int:
        if as_json:
            print(json.dumps({"fault": fault, "message": message}, ensure_ascii=False, indent=2))
        print(message, file=sys.stderr)
        return code

    comma = "、" if locale == "zh-CN" else ", "
    if preset not in starting.PRESETS:
        return fail("preset", _say(locale, "no preset", preset, comma.join(starting.PRESETS)), CANNOT_TELL)
    try:
        written = [str(path) for path in starting.init(Path(config), preset)]
    except starting.Occupied as error:
        return fail("exists", _say(locale, "exists", comma.join(map(str, error.files))), NO)
    except OSError as error:
        why = error.strerror or type(error).__name__
        why = chinese.REASONS.get(why.lower(), why) if locale == "zh-CN" else why
        return fail("file", _say(locale, "cannot write", why), CANNOT_TELL)
    if as_json:
        print(json.dumps({"written": written}, ensure_ascii=False, indent=2))
        return FINE
    for path in written:
        print(_say(locale, "wrote", path))
    print(_say(locale, "next", "" if config == "huiliu.yaml" else f"-c {shlex.quote(config)} "))
    return FINE


def check(
    files: Sequence[str],
    kinds: Kinds,
    *,
    config: str = "huiliu.yaml",
    prove: Prove | None = None,
    lint: Lint | None = None,
    strict: bool = False,
    as_json: bool = False,
    locale: str = "en",
    environ: Mapping[str, str] | None = None,
) -> int:
    """Check *files*, or *config* if none are given, and print every fault on a line of its own.

    A file may be a configuration, which is checked with all files it names, or a file of routes or texts. With
    *as_json* the faults are printed as one list of objects. 1 if there is a fault, 2 if a file cannot be read. What
    *lint* finds in a configuration that can be used is printed too, and is a fault only if *strict*.
    """
    code = FINE
    found: list[Fault] = []
    for file in files or [config]:
        document = parse(file, environ=environ)
        faults = _faults(document, kinds, prove, lint, config, environ)
        found += [fault for fault in faults if fault not in found]
        wrong = any(strict or fault.severity == "error" for fault in faults)
        code = max(code, CANNOT_TELL if not document.sha256 else NO if wrong else FINE)
        if not faults and not as_json:
            print(_say(locale, "fine", file))
    if as_json:
        print(json.dumps([asdict(fault) for fault in found], ensure_ascii=False, indent=2))
        return code
    for fault in found:
        print(chinese.said(fault) if locale == "zh-CN" else fault)
    for key, severity in (("faults", "error"), ("warnings", "warning")):
        if count := sum(fault.severity == severity for fault in found):
            print(_say(locale, key, count), file=sys.stderr)
    return code


def print_schema(kinds: Mapping[str, type[BaseModel]], which: str = "huiliu", *, locale: str = "en") -> int:
    """Print the JSON Schema of one sort of file: huiliu, routes, templates, guard or surveys."""
    schemas = {
        "huiliu": lambda: schema.json_schema(kinds),
        "routes": schema.routes_schema,
        "templates": schema.templates_schema,
        "guard": schema.guard_schema,
        "surveys": schema.surveys_schema,
    }
    if which not in schemas:
        print(_say(locale, "unknown", which, ", ".join(schemas)), file=sys.stderr)
        return CANNOT_TELL
    print(json.dumps(schemas[which](), ensure_ascii=False, indent=2))
    return FINE


def unknown_rule(rule: str, known: Sequence[str], *, locale: str = "en") -> int:
    """Print that there is no such *rule*, and the nearest that is *known*."""
    near = nearest(rule, known)
    print(_say(locale, "no rule", rule) + (_say(locale, "near", near) if near else ""), file=sys.stderr)
    return CANNOT_TELL


def _faults(
    document: Document,
    kinds: Kinds,
    prove: Prove | None,
    lint: Lint | None,
    config: str,
    environ: Mapping[str, str] | None,
) -> list[Fault]:
    """Return what is wrong with *document*, of whichever sort it is."""

    def doubts(loaded: Loaded | None) -> list[Fault]:
        return lint(loaded) if lint is not None and loaded is not None else []

    if document.root is None:
        return list(document.flaws)
    # A file that the configuration names is checked as a part of it, so that names it uses are known.
    whole = attempt(config, kinds, environ=environ, prove=prove) if Path(config).exists() else None
    if whole is not None and document.path in whole.files and document.path != Path(config).absolute():
        every = [*whole.faults, *_watched(whole), *doubts(whole.loaded)]
        own = [fault for fault in every if Path(fault.file).absolute() == document.path]
        return own + _examined(document, RouteFile)[1] if _sort(document) is RouteFile else own
    model = _sort(document)
    if model is Settings:
        result = attempt(document.file, kinds, environ=environ, prove=prove)
        broken = _broken(document, result.loaded.settings if result.loaded else None)
        return [*result.faults, *_watched(result), *broken, *doubts(result.loaded)]
    if model is RouteFile and whole is not None and whole.loaded is not None:
        return list(candidate(whole.loaded, [document], prove=prove).faults)
    own, inside = _examined(document, model)
    return own + inside


def _examined(document: Document, model: type[BaseModel]) -> tuple[list[Fault], list[Fault]]:
    """Return what is wrong with *document* as a *model*, and what with the files of words that it names."""
    lists = Wordlists()
    context = {"words": lists.beside(document.file), "directory": document.path.parent}
    examined = validation.examine(document, model, context=context)
    return in_order([*document.flaws, *document.faults(examined.problems)]), lists.faults


def _watched(result: Attempt) -> tuple[Fault, ...]:
    """Return what is wrong with routes that are only watched: the hub runs without them."""
    shadow = result.loaded.shadow if result.loaded is not None else None
    return shadow.faults if shadow is not None else ()


def _sort(document: Document) -> type[BaseModel]:
    """Tell from its keys what sort of file *document* is; what could be anything is a configuration."""
    data = document.data if isinstance(document.data, dict) else {}
    routes = data.get("routes")
    if data.keys() & {"default", "tests"} or (
        isinstance(routes, list) and any(isinstance(item, dict) for item in routes)
    ):
        return RouteFile
    if data.keys() & {"rules", "use", "allow"}:
        return GuardFile
    if data and all(isinstance(each, dict) and SURVEY_KEYS & each.keys() for each in data.values()):
        return SurveyFile
    texts = data and all(map(_is_text, data.values()))
    return TemplateFile if texts and not any(nearest(key, Settings.model_fields) for key in data) else Settings


def _is_text(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(text, str) and len(tag.partition("-")[0]) == 2 for tag, text in value.items())
    return isinstance(value, str)


def _broken(document: Document, settings: Settings | None) -> list[Fault]:
    """Return a fault for every channel whose connector cannot be used: it is down, though the hub runs without it."""
    channels = settings.channels if settings else {}
    return [
        Fault(
            document.file,
            *document.mark(("channels", name, "kind")),
            f"channels.{name}.kind",
            f"the connector cannot be used: {channel.broken}",
        )
        for name, channel in channels.items()
        if channel.broken
    ]


def _say(locale: str, key: str, *values: object) -> str:
    return _SAID.get(locale, _SAID["en"])[key].format(*values)
