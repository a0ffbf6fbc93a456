"""The rules in use: compiled routes and what hangs on them, replaced as a whole by a reload."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from config.loading import Loaded
from inbox.conversations import Conversation
from router.rules import Tree, compile_routes
from router.wording import fill


@dataclass(frozen=True, slots=True)
class Rules:
    """What the router needs of the configuration.

    *acknowledgement* returns the text of a template for a conversation, None if there is no such template.
    """

    tree: Tree
    acknowledgement: Callable[[str, Conversation], str | None]


def prepare(loaded: Loaded, now: Callable[[], int]) -> Rules:
    """Compile the routes of a configuration that has been checked."""
    settings = loaded.settings
    tree = compile_routes(loaded.routes, settings.hours, timezone=settings.timezone)

    def acknowledgement(name: str, conversation: Conversation) -> str | None:
        return fill(loaded, name, conversation, now())

    return Rules(tree, acknowledgement)
