"""The rules in use: compiled routes and what hangs on them, replaced as a whole by a reload."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from config.faults import Fault
from config.loading import Loaded
from config.templates import Filled
from inbox.contacts import Contact
from inbox.conversations import Conversation
from router.rules import Tree
from router.versions import Version, grow, snapshot
from router.wording import fill


@dataclass(frozen=True, slots=True)
class Rules:
    """What the router needs of the configuration.

    *acknowledgement* fills a template for a conversation, None if there is no such template. *version*
    is what *tree* was made of. *shadow* are the routes that are only watched, None if there are none or they have
    *shadow_faults*.
    """

    tree: Tree
    acknowledgement: Callable[[str, Conversation, Contact], Filled | None]
    version: Version
    shadow: Tree | None = None
    shadow_faults: tuple[Fault, ...] = ()


def prepare(loaded: Loaded, now: Callable[[], int]) -> Rules:
    """Compile the routes of a configuration that has been checked."""
    version = snapshot(loaded)
    watched = loaded.shadow

    def acknowledgement(name: str, conversation: Conversation, contact: Contact) -> Filled | None:
        return fill(loaded, name, conversation, now(), contact=contact)

    return Rules(
        grow(version),
        acknowledgement,
        version,
        grow(snapshot(watched.loaded)) if watched is not None and watched.loaded is not None else None,
        watched.faults if watched is not None else (),
    )
