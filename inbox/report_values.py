"""How values of a report are written for people: percent, points, durations, counts, in two languages. Pure."""

from __future__ import annotations

from inbox.estimates import Change, Estimate
from inbox.report import Cell, Unit
from inbox.report_words import say

NOTHING = "–"
MINUTE, HOUR, DAY = 60, 3600, 86_400
UNITS = {"en": ("d", "h", "min", "s"), "zh": ("天", "小时", "分", "秒")}


def shown(value: Cell, unit: Unit, language: str) -> str:
    """Write one value."""
    if value is None:
        return NOTHING
    if isinstance(value, str):
        return value
    match unit:
        case "share":
            return f"{_zero(value * 100, 1):.1f} %"
        case "points":
            return f"{_zero(value * 100, 1):+.1f}"
        case "mean":
            return f"{value:.2f}"
        case "seconds":
            return lasting(value, language)
        case _:
            return f"{value:,.0f}"


def differing(value: float, unit: Unit, language: str) -> str:
    """Write a difference, with its sign; that of two shares is in percentage points."""
    match unit:
        case "share":
            text = f"{_zero(value * 100, 1):+.1f}"
            return f"{text} 个百分点" if language.startswith("zh") else f"{text} pp"
        case "seconds":
            sign = "+" if value > 0 else "−" if value < 0 else "±"
            return sign + lasting(abs(value), language)
        case "mean":
            return f"{_zero(value, 2):+.2f}"
        case "points":
            return f"{_zero(value * 100, 1):+.1f}"
        case _:
            return f"{value:+,.0f}"


def margin(estimate: Estimate, unit: Unit, language: str) -> str:
    """Write how far chance may reach: ± for intervals that are nearly even, else their ends; "" if there are none."""
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return ""
    half = (estimate.high - estimate.low) / 2
    even = abs(estimate.high + estimate.low - 2 * estimate.value) <= half / 2
    if unit in ("seconds", "count") or not even:
        low, high = shown(estimate.low, unit, language), shown(estimate.high, unit, language)
        return say("between", language, low=low, high=high)
    text = {"share": f"{half * 100:.1f} %", "points": f"{half * 100:.1f}", "mean": f"{half:.2f}"}[unit]
    return say("margin", language, margin=text)


def compared(change: Change | None, unit: Unit, language: str) -> str:
    """Write how a value stands to the period before, in words."""
    if change is None or change.difference is None:
        return say("unknown", language)
    words = say(change.verdict, language)
    separator = "，" if language.startswith("zh") else ", "
    return (
        f"{differing(change.difference, unit, language)}{separator}{words}"
        if change.verdict != "unknown"
        else (differing(change.difference, unit, language))
    )


def lasting(seconds: float, language: str) -> str:
    """Write a duration by its two largest units."""
    names = UNITS["zh" if language.startswith("zh") else "en"]
    whole = round(seconds)
    if whole < MINUTE:
        return f"{whole} {names[3]}"
    parts = (whole // DAY, whole % DAY // HOUR, whole % HOUR // MINUTE, whole % MINUTE)
    first = next(place for place, number in enumerate(parts) if number)
    shown_parts = [f"{parts[first]} {names[first]}"]
    if first < 3 and parts[first + 1]:
        shown_parts.append(f"{parts[first + 1]} {names[first + 1]}")
    return " ".join(shown_parts)


def _zero(value: float, digits: int) -> float:
    """Return *value* without the sign of what is rounded to zero."""
    return 0.0 if round(value, digits) == 0 else value
