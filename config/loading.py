"""The whole configuration, read and checked: either all of it is good, or every fault of every file is named."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path as FilePath
from types import MappingProxyType
from typing import Any, TypeVar

from pydantic import BaseModel

from config import calendars, channels, guard, references, reporting, routes, surveys, validation
from config.delivery import Outgoing
from config.documents import Document, parse, understand
from config.faults import ConfigError, Fault, Path, Problem, listed, nearest
from config.guard import GuardFile
from config.routes import RouteFile
from config.settings import Settings
from config.surveys import Survey, SurveyFile
from config.templates import Template, TemplateFile
from config.wordlists import Wordlists

log = logging.getLogger(__name__)

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration that can be used.

    *routes* are the route files in order, *documents* the same files with the places of everything in them. *main* is
    the configuration itself in this form, *texts* are the files of templates. *files* holds the SHA-256 of every file
    that was read, files of words and of secrets included. *words* holds the text of every file of words that the routes
    name. *shadow* are the routes that are only watched, None if there are none. *guard* is what may not leave in words.
    *surveys* are the surveys by name, and *asked* is their file.
    """

    path: FilePath
    settings: Settings
    routes: tuple[RouteFile, ...]
    documents: tuple[Document, ...]
    templates: Mapping[str, Template]
    files: Mapping[FilePath, str] = field(repr=False)
    main: Document
    texts: tuple[Document, ...]
    words: Mapping[FilePath, str] = field(default_factory=dict, repr=False)
    shadow: Candidate | None = None
    guard: GuardFile | None = None
    surveys: Mapping[str, Survey] = field(default_factory=dict)
    asked: tuple[Document, ...] = ()


@dataclass(frozen=True, slots=True)
class Candidate:
    """Route files that might take the place of those in use: the configuration with them, or None and the faults."""

    loaded: Loaded | None
    faults: tuple[Fault, ...]


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of loading: the configuration, or None and the faults. *files* as in `Loaded`, "" if unreadable."""

    loaded: Loaded | None
    faults: tuple[Fault, ...]
    files: Mapping[FilePath, str] = field(repr=False)


Prove = Callable[[Loaded], list[Fault]]
"""Tries a configuration that is well formed, for instance by its own tests; its faults refuse it too."""


def load(
    path: str | os.PathLike[str],
    kinds: channels.Kinds,
    *,
    environ: Mapping[str, str] | None = None,
    prove: Prove | None = None,
) -> Loaded:
    """Load the configuration at *path*. Raises `ConfigError` with all faults of all its files."""
    result = attempt(path, kinds, environ=environ, prove=prove)
    if result.loaded is None:
        raise ConfigError(result.faults)
    return result.loaded


def attempt(
    path: str | os.PathLike[str],
    kinds: channels.Kinds,
    *,
    environ: Mapping[str, str] | None = None,
    prove: Prove | None = None,
    instead: Mapping[FilePath, bytes] | None = None,
) -> Attempt:
    """Load the configuration at *path*, and say what was read even if it cannot be used.

    *instead* holds what shall be taken for the content of route files, and of files of words, by their absolute paths.
    """
    main = parse(path, environ=environ)
    if main.root is None:
        return Attempt(None, main.flaws, {main.path: main.sha256})
    examined = validation.examine(main, Settings, data=channels.own(main.data), context={"directory": main.path.parent})
    connections = channels.connect(main, kinds)
    read = calendars.read(main)
    settings = _settings(examined.value, connections, read)
    listed_routes = _listed(main, "routes", environ, instead or {})
    listed_templates = _listed(main, "templates", environ)
    listed_shadow = _listed(main, "shadow", environ)
    listed_guard = _listed(main, "guard", environ)
    listed_surveys = _listed(main, "surveys", environ)
    problems = [*examined.problems, *connections.problems, *read.problems, *references.problems(main)]
    problems += [*listed_routes.problems, *listed_templates.problems, *listed_guard.problems, *listed_surveys.problems]

    lists = Wordlists(instead=instead or {})
    route_files, route_faults = _models(listed_routes.documents, RouteFile, lists)
    template_files, template_faults = _models(listed_templates.documents, TemplateFile)
    templates, twice = _templates(listed_templates.documents, template_files)
    guard_lists = Wordlists()
    policies, guard_faults = _guards(listed_guard.documents, settings, guard_lists)
    if not template_faults:
        problems += _confirmation(settings, templates)
    faults = in_order([*main.flaws, *main.faults(problems)])
    asked, survey_faults = _surveys(listed_surveys.documents, settings)
    texts_known = None if template_faults else tuple(templates)
    surveys_known = None if survey_faults else tuple(asked)
    usable = [file for file in route_files if file is not None]
    if settings is not None and len(usable) == len(route_files):
        route_faults += _route_faults(listed_routes.documents, usable, settings, texts_known, surveys_known)
    if settings is not None and not template_faults:
        faults += main.faults(_without_text(settings.delivery, templates))
    if settings is not None:
        faults += in_order(main.faults(reporting.problems(settings.reports, settings, surveys_known)))
    faults += [*read.faults, *route_faults, *lists.faults, *template_faults, *twice, *survey_faults]
    faults += [*guard_faults, *guard_lists.faults]

    others = (*listed_routes.documents, *listed_templates.documents, *listed_guard.documents, *listed_surveys.documents)
    files = {main.path: main.sha256, **examined.files, **connections.files, **read.files}
    files |= {document.path: document.sha256 for document in others}
    files |= listed_routes.unread | listed_templates.unread | listed_guard.unread | listed_surveys.unread
    files |= lists.files | guard_lists.files
    files |= {document.path: document.sha256 for document in listed_shadow.documents} | listed_shadow.unread
    if faults or settings is None:
        return Attempt(None, tuple(faults), files)
    texts = listed_templates.documents
    loaded = Loaded(
        main.path,
        settings,
        tuple(usable),
        listed_routes.documents,
        templates,
        files,
        main,
        texts,
        lists.texts,
        guard=next((file for file in policies if file is not None), None),
        surveys=asked,
        asked=listed_surveys.documents,
    )
    faults = prove(loaded) if prove else []
    if faults:
        return Attempt(None, tuple(faults), files)
    watched = Wordlists()
    shadow = _shadow(main, listed_shadow, loaded, prove, watched)
    return Attempt(replace(loaded, files=files | watched.files, shadow=shadow), (), files | watched.files)


def candidate(
    loaded: Loaded, documents: Sequence[Document], *, prove: Prove | None = None, lists: Wordlists | None = None
) -> Candidate:
    """Put route files in the place of those of *loaded*, held against the same settings and texts.

    Files of words that they name are read by *lists*, by default from where they lie.
    """
    lists = lists or Wordlists()
    models, faults = _models(documents, RouteFile, lists)
    faults += lists.faults
    usable = [file for file in models if file is not None]
    if len(usable) == len(models):
        known = tuple(loaded.templates), tuple(loaded.surveys)
        faults += _route_faults(documents, usable, loaded.settings, *known)
    if faults:
        return Candidate(None, tuple(faults))
    whole = replace(loaded, routes=tuple(usable), documents=tuple(documents), words=lists.texts, shadow=None)
    faults = prove(whole) if prove else []
    return Candidate(None if faults else whole, tuple(faults))


def _shadow(main: Document, listed: _Files, loaded: Loaded, prove: Prove | None, lists: Wordlists) -> Candidate | None:
    """Return the routes that are only watched; whatever is wrong with them harms nobody else."""
    if listed.problems:
        return Candidate(None, tuple(main.faults(listed.problems)))
    try:
        return candidate(loaded, listed.documents, prove=prove, lists=lists) if listed.documents else None
    except Exception as error:
        log.exception("the shadow routes cannot be tried")
        problem = Problem(("shadow",), f"the routes cannot be tried ({type(error).__name__})")
        return Candidate(None, tuple(main.faults([problem])))


@dataclass(frozen=True, slots=True)
class _Files:
    documents: tuple[Document, ...]
    problems: list[Problem]
    unread: dict[FilePath, str]


def _listed(
    main: Document,
    key: str,
    environ: Mapping[str, str] | None,
    instead: Mapping[FilePath, bytes] = MappingProxyType({}),
) -> _Files:
    """Read the files that *main* lists under *key*; one that cannot be opened is a problem where it is listed."""
    value = main.data.get(key) if isinstance(main.data, dict) else None
    names: list[tuple[Path, Any]] = [((key,), value)]
    if isinstance(value, list):
        names = [((key, number), name) for number, name in enumerate(value)]
    found = _Files((), [], {})
    for path, name in names:
        node = main.node(path)
        if isinstance(name, str) and name and "\0" not in name and node is not None and not node.broken:
            place = FilePath(main.file).parent / name
            raw = instead.get(FilePath(os.path.normpath(place.absolute())))
            document = parse(place, environ=environ) if raw is None else understand(place, raw, environ=environ)
            found = _with(found, document, path, "the file" if node.env else f'the file "{name}"')
    return found


def _with(found: _Files, document: Document, path: Path, shown: str) -> _Files:
    if any(document.path == other.path for other in found.documents):
        problem = Problem(path, f"{shown} is listed twice", "each file once")
    elif not document.sha256:
        problem = Problem(path, shown + document.flaws[0].what.removeprefix("the file"))
    else:
        return _Files((*found.documents, document), found.problems, found.unread)
    return _Files(found.documents, [*found.problems, problem], {**found.unread, document.path: ""})


def _surveys(documents: Sequence[Document], settings: Settings | None) -> tuple[dict[str, Survey], list[Fault]]:
    """Return the surveys of *documents*, and where they do not fit together or into *settings*."""
    found: dict[str, Survey] = {}
    faults: list[Fault] = []
    for document in documents:
        examined = validation.examine(document, SurveyFile, context={"directory": document.path.parent})
        problems = list(examined.problems)
        if examined.value is not None and settings is not None:
            problems += surveys.problems(examined.value, settings)
            found |= examined.value.root
        faults += in_order([*document.flaws, *document.faults(problems)])
    return found, faults


def _models(
    documents: Sequence[Document], model: type[M], lists: Wordlists | None = None
) -> tuple[list[M | None], list[Fault]]:
    """Hold every one of *documents* against *model*; None stands for one that is not fit to be used.

    Files of words that they name are read into *lists*.
    """
    values: list[M | None] = []
    faults: list[Fault] = []
    for document in documents:
        if document.root is None:
            # Nothing could be read: that what was not read is missing, too, need not be said.
            values.append(None)
            faults += document.flaws
            continue
        context = {"words": lists.beside(document.file)} if lists is not None else None
        examined = validation.examine(document, model, context=context)
        values.append(None if document.flaws else examined.value)
        faults += in_order([*document.flaws, *document.faults(examined.problems)])
    return values, faults


def _templates(
    documents: Sequence[Document], files: Sequence[TemplateFile | None]
) -> tuple[dict[str, Template], list[Fault]]:
    """Put the texts of all *files* together; a name that two of them use is a fault."""
    templates: dict[str, Template] = {}
    faults: list[Fault] = []
    for document, file in zip(documents, files, strict=True):
        for name, template in file.root.items() if file is not None else ():
            if name in templates:
                problem = Problem((name,), "another file has a text of this name", "each name once", key=True)
                faults += document.faults([problem])
            templates[name] = template
    return templates, faults


def _guards(
    documents: Sequence[Document], settings: Settings | None, lists: Wordlists
) -> tuple[list[GuardFile | None], list[Fault]]:
    """Read the policy about words and hold it against the settings."""
    files, faults = _models(documents, GuardFile, lists)
    for document, file in zip(documents, files, strict=True):
        if file is not None:
            faults += in_order(document.faults(guard.problems(file, document, settings)))
    return files, faults


def _confirmation(settings: Settings | None, templates: Mapping[str, Template]) -> list[Problem]:
    """Return a problem if an opt-out shall be confirmed with a text that does not exist."""
    name = settings.consent.confirm if settings is not None else None
    if name is None or name in templates:
        return []
    expected = listed(templates) or "a name out of templates, which is empty"
    return [Problem(("consent", "confirm"), f'there is no template "{name}"', expected, nearest(name, templates))]


def _without_text(delivery: Outgoing, templates: Mapping[str, Template]) -> list[Problem]:
    """Return the steps of *delivery* that send a text that there is not."""
    return [
        Problem(
            ("delivery", "fallback", name, number, "template"),
            f'there is no template "{step.template}"',
            listed(templates) if templates else "a name from templates, where there is none",
            nearest(step.template, templates),
        )
        for name, steps in delivery.fallback.items()
        for number, step in enumerate(steps)
        if step.template and step.template not in templates
    ]


def _settings(
    settings: Settings | None, connections: channels.Connections, read: calendars.Calendars
) -> Settings | None:
    """Return *settings* with what the connectors said about their channels, and the calendars about their hours."""
    if settings is None:
        return None
    whole = {
        name: channel.model_copy(
            update={"options": connections.options.get(name), "broken": connections.broken.get(name, "")}
        )
        for name, channel in settings.channels.items()
    }
    return settings.model_copy(update={"channels": whole, "hours": read.into(settings.hours)})


def _route_faults(
    documents: Sequence[Document],
    files: Sequence[RouteFile],
    settings: Settings,
    templates: Sequence[str] | None,
    asked: Sequence[str] | None,
) -> list[Fault]:
    """Return where the routes do not fit the settings, or the names of *templates* and surveys if they are known."""
    found: dict[int, list[Problem]] = {}
    for number, problem in routes.problems(files, settings, templates=templates, surveys=asked):
        found.setdefault(number, []).append(problem)
    return [fault for number in sorted(found) for fault in in_order(documents[number].faults(found[number]))]


def in_order(faults: Sequence[Fault]) -> list[Fault]:
    """Return the *faults* of one file from its first line to its last."""
    return sorted(faults, key=lambda fault: (fault.line, fault.column))


def partial_settings(path: str | os.PathLike[str], keys: Sequence[str]) -> Settings:
    """Return the settings with nothing but *keys* of the configuration: for programs that only talk to the hub.

    The environment of the channels' secrets is not needed for that. Raises `ConfigError`.
    """
    main = parse(path)
    if main.root is None:
        raise ConfigError(main.flaws)
    data = {key: value for key, value in main.data.items() if key in keys} if isinstance(main.data, dict) else {}
    examined = validation.examine(main, Settings, data=data, context={"directory": main.path.parent})
    if examined.value is None:
        raise ConfigError(in_order(main.faults(examined.problems)))
    return examined.value
