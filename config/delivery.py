"""How messages leave, as admins write it: time to undo, quiet hours, and what to do where a channel takes none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, GetJsonSchemaHandler, PlainValidator, WithJsonSchema, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from config.faults import Wrong
from config.hours import Interval, interval
from config.sending import Delivery
from config.values import DURATIONS, Millis, Name, Section, Zone

LONGEST_UNDO = 10 * DURATIONS["m"]
LONGEST_HOLD = 30 * DURATIONS["d"]
HOLD = 7 * DURATIONS["d"]


def undo(value: int) -> int:
    """Accept a time to undo, in milliseconds. Raises `Wrong`."""
    if value > LONGEST_UNDO:
        raise Wrong("{value} is too long to wait before every answer", expected="at most 10m")
    return value


def hold(value: int) -> int:
    """Accept how long a message waits for its customer, in milliseconds. Raises `Wrong`."""
    if value > LONGEST_HOLD:
        raise Wrong("{value} is too long to hold a message", expected="at most 30d")
    return value


_Interval = Annotated[
    Interval,
    PlainValidator(interval),
    WithJsonSchema({"type": "string", "pattern": r"^\d\d:\d\d *- *\d\d:\d\d$", "examples": ["22:00-08:00"]}),
]
_Undo = Annotated[Millis, AfterValidator(undo)]
_Hold = Annotated[Millis, AfterValidator(hold)]


class Quiet(Section):
    """When nobody is written to unasked."""

    hours: _Interval
    """From when until when, every day: "22:00-08:00"."""
    lanes: tuple[Literal["reply", "notice", "survey", "campaign"], ...] = ("survey", "campaign")
    """What waits for the morning: survey, campaign, notice. Answers of people (reply) never wait; who writes one is
    warned."""
    timezone: Zone = ZoneInfo("UTC")
    """Whose clock; by default the hub's."""


class Step(Section):
    """One thing to try where a channel does not take a message as it is."""

    template: Name | None = None
    """Send this text instead; where it names a template of the platform, that is what goes out."""
    channel: Name | None = None
    """Send by this channel, to an address of the same contact."""
    hold: _Hold | None = None
    """Wait so long for the customer to write, which opens the channel again; `hold` alone is 7d."""

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"anyOf": [{"const": "hold"}, handler.resolve_ref_schema(handler(schema))]}

    @model_validator(mode="before")
    @classmethod
    def _hold_alone(cls, value: Any) -> Any:
        return {"hold": f"{HOLD // DURATIONS['d']}d"} if value == "hold" else value

    @model_validator(mode="after")
    def _says_one_thing(self) -> Step:
        if self.hold is not None and (self.template or self.channel):
            raise Wrong("a step that holds does nothing else", expected="hold alone")
        if self.hold is None and not self.template and not self.channel:
            raise Wrong("this step does nothing", expected="template, channel or hold")
        return self


def steps(value: tuple[Step, ...]) -> tuple[Step, ...]:
    """Accept the steps of one channel. Raises `Wrong`."""
    if any(step.hold is not None for step in value[:-1]):
        raise Wrong("nothing comes after hold", expected="hold as the last step")
    return value


_Steps = Annotated[tuple[Step, ...], AfterValidator(steps)]


class Outgoing(Delivery):
    """How messages leave, and how they go out."""

    undo: _Undo = 0
    """How long an agent's answer waits, so that it can be called back; by default it leaves at once."""
    quiet: Quiet | None = None
    """When nobody is written to unasked; by default never."""
    fallback: Mapping[Name, _Steps] = {}
    """What to do where a channel, or any of a kind, does not take an answer: steps in order, by channel or kind."""

    def steps(self, channel: str, kind: str) -> tuple[Step, ...]:
        """Return the steps of a channel: its own, else those of its kind."""
        return self.fallback.get(channel, self.fallback.get(kind, ()))
