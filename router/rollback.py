"""An earlier rule set put back into the route files, if everything that it needs is still there."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from config.faults import Fault, listed
from config.loading import Attempt
from config.restoring import restore
from router.versions import Version, snapshot


class Impossible(Exception):
    """The rule set cannot be used any more; each of *reasons* says why, for people who write files the *faults* too."""

    def __init__(self, *reasons: str, faults: Sequence[Fault] = ()) -> None:
        super().__init__("\n".join(reasons))
        self.reasons = reasons
        self.faults = faults


class OtherFiles(Impossible):
    """The rule set was made *of* other route files than huiliu.yaml names *now*."""

    def __init__(self, now: Sequence[str], of: Sequence[str]) -> None:
        names = listed(now, last="and") or "none"
        super().__init__(
            f"huiliu.yaml names the route files {names}; the rule set was made of {listed(of, last='and')}"
        )
        self.now, self.of = now, of


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
        raise Impossible(*map(str, tried.faults), faults=tried.faults)
    result = snapshot(tried.loaded)
    if list(result.files) != list(kept):
        raise OtherFiles(list(result.files), list(kept))
    return Plan(wanted, result, files)
