"""One configured channel: what the hub itself knows of it, and the connector's own options, which are opaque here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any

from pydantic import BaseModel, Field, SerializeAsAny

from config import validation
from config.documents import Document
from config.faults import Problem, listed, nearest
from config.sending import Delivery
from config.values import Section

OWN_KEYS = ("kind", "required", "rate", "delivery")


class Channel(Section):
    """An account on a platform. All further keys are the options of the connector of this kind."""

    kind: str
    """Which connector speaks for this channel."""
    required: bool = True
    """Whether the hub counts as ready only while this channel is not down."""
    rate: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Messages per second that may leave; by default what the platform allows."""
    delivery: Delivery | None = None
    """How messages go out on this channel, where it differs from the others."""
    options: SerializeAsAny[BaseModel] | None = None
    """The connector's own options; None while the connector is broken."""
    broken: str = ""
    """Why the connector cannot be used, empty when it can."""


class UnknownKind(LookupError):
    """No connector of this kind exists; *known* are those that do."""

    def __init__(self, name: str, known: Sequence[str]) -> None:
        super().__init__(f"no channel kind {name}")
        self.name = name
        self.known = list(known)


class Unavailable(Exception):
    """The connector of a kind exists but cannot be used; *reason* holds no secret."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


Kinds = Callable[[str], type[BaseModel]]
"""Returns the options of a kind of channel. Raises `UnknownKind` or `Unavailable`."""


@dataclass(slots=True)
class Connections:
    """The connectors' part of all channels: options by channel, reasons of the broken ones, and what is wrong."""

    options: dict[str, BaseModel] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    files: dict[FilePath, str] = field(default_factory=dict)


def own(data: Any) -> Any:
    """Return *data*, the content of a configuration, with its channels cut to the keys that the hub itself knows."""
    if not isinstance(data, dict) or not isinstance(data.get("channels"), dict):
        return data
    channels = {
        name: {key: value for key, value in channel.items() if key in OWN_KEYS}
        if isinstance(channel, dict)
        else channel
        for name, channel in data["channels"].items()
    }
    return {**data, "channels": channels}


def connect(document: Document, kinds: Kinds) -> Connections:
    """Hold every channel in *document* against its connector's options."""
    found = Connections()
    channels = document.data.get("channels") if isinstance(document.data, dict) else None
    for name, channel in channels.items() if isinstance(channels, dict) else ():
        if isinstance(channel, dict) and isinstance(channel.get("kind"), str):
            _connect(document, kinds, name, channel, found)
    return found


def _connect(document: Document, kinds: Kinds, name: str, channel: dict[str, Any], found: Connections) -> None:
    at = ("channels", name)
    kind = channel["kind"]
    node = document.node((*at, "kind"))
    if node is not None and node.broken:
        return
    try:
        model = kinds(kind)
        options = {key: value for key, value in channel.items() if key not in OWN_KEYS}
        examined = validation.examine(document, model, data=options, at=at, beside=OWN_KEYS)
    except UnknownKind as error:
        shown = (
            "there is no such channel kind" if node is not None and node.env else f'there is no channel kind "{kind}"'
        )
        near = "" if node is not None and node.env else nearest(kind, error.known)
        found.problems.append(Problem((*at, "kind"), shown, listed(error.known), near))
    except Unavailable as error:
        found.broken[name] = error.reason
    except Exception as error:  # noqa: BLE001  # somebody else's connector takes its channel down, not the hub
        found.broken[name] = f"its options cannot be checked ({type(error).__name__})"
    else:
        found.problems += examined.problems
        found.files |= examined.files
        if examined.value is not None:
            found.options[name] = examined.value
