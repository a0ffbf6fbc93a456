"""How conversations find their agent, as admins write it: strategies, capacities, and what happens when time passes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from config.faults import Wrong
from config.values import Millis, Name, Section, UniqueNames, one_or_more

MOST = 1000
TOTAL = "total"
USUAL = 8
Shifts = Annotated[UniqueNames, BeforeValidator(one_or_more)]


@dataclass(frozen=True, slots=True)
class Capacity:
    """How many open conversations at most: *total* (None = as the team says), and *of* single channels and kinds."""

    LEAST: ClassVar[int] = 0

    total: int | None = None
    of: tuple[tuple[str, int], ...] = ()

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        number = handler.generate_schema(Annotated[int, Field(ge=cls.LEAST, le=MOST)])
        each = handler.generate_schema(dict[Name, Annotated[int, Field(ge=0, le=MOST)]])
        shown = core_schema.plain_serializer_function_ser_schema(cls.written)
        return core_schema.no_info_after_validator_function(
            cls.parsed, core_schema.union_schema([number, each]), serialization=shown
        )

    @classmethod
    def parsed(cls, written: int | Mapping[str, int]) -> Capacity:
        """Take a number, or a mapping of channels, kinds and `total` to numbers. Raises `Wrong`."""
        if isinstance(written, int):
            return cls(written)
        total = written.get(TOTAL)
        if total is not None and total < cls.LEAST:
            raise Wrong("nobody could get a conversation", expected=f"a total of at least {cls.LEAST}")
        return cls(total, tuple((name, most) for name, most in written.items() if name != TOTAL))

    def written(self) -> int | dict[str, int | None] | None:
        """Return it as an admin writes it."""
        return {TOTAL: self.total, **dict(self.of)} if self.of else self.total


class TeamCapacity(Capacity):
    """The capacity of each agent of a team, which is more than nothing."""

    LEAST: ClassVar[int] = 1
    __slots__ = ()


class Overflow(Section):
    """Another team that steps in."""

    to: Name
    """The team that takes over."""
    after: Millis
    """How long a conversation may wait for an agent before that."""


class Reassign(Section):
    """What happens when the agent stays silent."""

    after: Millis
    """How long an agent may leave a conversation that they were given without a first answer."""


class Assign(Section):
    """How a team's conversations find their agent."""

    strategy: Literal["least-busy", "round-robin", "weighted", "manual"] = "least-busy"
    """least-busy: who has the fewest open conversations; round-robin: in turn; weighted: in turn, as often as each
    agent's `weight` says; manual: agents take them themselves."""
    capacity: TeamCapacity = TeamCapacity(USUAL)
    """Open conversations that one agent of the team has at most: a number, or `total` and channels or kinds."""
    language: Literal["prefer", "require", "ignore"] = "prefer"
    """Whether the agent must speak the customer's language: prefer: if somebody with room does; require: wait for
    somebody who does; ignore: it does not matter."""
    shifts: Shifts = ()
    """When the members work, unless they have shifts of their own: names of `hours`; by default always."""
    sticky: Millis | None = None
    """How long after their last conversation customers come back to the same agent."""
    overflow: Overflow | None = None
    """Which team takes over when nobody is free."""
    reassign: Reassign | None = None
    """When a conversation is taken from an agent who stays silent; by default never."""
    offline: Literal["keep", "release"] = "keep"
    """What becomes of an agent's unanswered conversations when they go offline: keep, or release to the others."""
