"""What a hub process does so that its routing can be proven.

It keeps every rule set before it uses it, watches a candidate beside the rules in use, and says where it stands.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from config.reload import Live
from inbox.store import Store, StoreError
from router import standing
from router.archive import Archive
from router.replay import Pair
from router.ruleset import Rules
from router.shadow import Shadow
from router.standing import Stand
from router.versions import TooLarge

log = logging.getLogger(__name__)

SAY_EVERY = 5_000


class Proof:
    """The proof of one process, *place* being its name among its peers. Nothing here may stop a message."""

    def __init__(self, store: Store, place: str, live: Live, now: Callable[[], int]) -> None:
        self.store = store
        self.archive = Archive(store)
        self.shadow = Shadow(store)
        self.live = live
        self.now = now
        self._place = place
        self.rules: Rules
        self._unkept: tuple[Rules, str] | None = None
        self._said = Stand(place, "", 0, 0)

    async def keep(self, rules: Rules, how: str) -> None:
        """Keep the rules that are about to be used. If the store is away that is done later: nothing waits for it."""
        self._unkept = (rules, how)
        try:
            await self.archive.keep(rules.version, self.now(), self._place, how)
        except StoreError:
            log.warning("the rule set %s is kept as soon as the store is back", rules.version.short)
            return
        except TooLarge as error:
            log.error("the rule set %s cannot be kept: %s", rules.version.short, error)  # noqa: TRY400  # says it all
        self._unkept = None

    def use(self, rules: Rules) -> None:
        """Hear that *rules* are in use from now on."""
        self.rules = rules
        settings = self.live.current.settings
        self.shadow.use(Pair.of(rules.tree, rules.shadow, settings) if rules.shadow is not None else None)
        for fault in rules.shadow_faults:
            log.error("the shadow routes are not watched: %s", fault)

    async def share(self) -> None:
        """Pass on what is new, and what was not kept yet; to be called every second. Raises `StoreError`."""
        if self._unkept is not None:
            await self.keep(*self._unkept)
        await self.shadow.share()
        stand = self._stand()
        if stand.at - self._said.at >= SAY_EVERY or _news(stand) != _news(self._said):
            await standing.say(self.store, stand)
            self._said = stand

    async def leave(self) -> None:
        """Say the last words of this process. Raises `StoreError`."""
        await self.shadow.share()
        await standing.leave(self.store, self._place)

    def _stand(self) -> Stand:
        rules = self.rules
        return Stand(
            self._place,
            rules.tree.hash,
            self.live.last_loaded_at,
            self.now(),
            [str(fault) for fault in self.live.last_error[: standing.FAULTS]],
            rules.shadow.hash if rules.shadow is not None else "",
            [str(fault) for fault in rules.shadow_faults[: standing.FAULTS]],
        )


def _news(stand: Stand) -> tuple[object, ...]:
    """Return what others want to hear at once."""
    return (stand.hash, stand.loaded_at, stand.faults, stand.shadow, stand.shadow_faults)
