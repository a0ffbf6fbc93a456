"""An earlier rule set put back into the route files, if everything that it needs is still there."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from config.faults import listed
from config.loading import Attempt
from config.restoring import restore
from router.versions import Version, snapshot


class Impossible(Exception):
    """The rule set cannot be used any more; each of *reasons* says why."""

    def __init__(self, *reasons: str) -> None:
        super().__init__("\n".join(reasons))
        self.reasons = reasons


@dataclass(frozen=True, slots=True)
class Plan:
    """A rollback that was tried on the configuration as it is now. *wanted* is the hash of the earlier rule set.

    *result* is the rule set that comes of it: another one if hours or time zone have changed since,
    which stand in huiliu.yaml and stay as they are.
    """

    wanted: str
    result: Version
    files: Mapping[Path, str] = field(repr=False)

    def carry_out(self, now: int) -> dict[Path, Path]:
        """Write the files; return which changed, and where the copies of what they were are. Raises OSError."""
        return restore(self.files, f"{now}-before-{self.wanted[:12]}")


def plan(
    config: Path, wanted: str, kept: Mapping[str, str], attempt: Callable[[Mapping[Path, bytes]], Attempt]
) -> Plan:
    """Try the *kept* files of the rule set *wanted* in the configuration at *config*, all else being as it is now.

    *attempt* loads that configuration with other contents of its route files. Raises `Impossible`.
    """
    place = config.absolute().parent
    files = {Path(os.path.normpath(place / name)): text for name, text in kept.items()}
    tried = attempt({path: text.encode() for path, text in files.items()})
    if tried.loaded is None:
        raise Impossible(*map(str, tried.faults))
    result = snapshot(tried.loaded)
    if list(result.files) != list(kept):
        now, then = listed(result.files, last="and"), listed(kept, last="and")
        raise Impossible(f"huiliu.yaml names the route files {now or 'none'}; the rule set was made of {then}")
    return Plan(wanted, result, files)
