"""Routes, explanations and test results as people read them: plain text with lines, in Chinese or English.

For programs there are `listing` and `dataclasses.asdict` of an `Explanation`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from zoneinfo import ZoneInfo

from config.conditions import Condition, written
from config.routes import Fields, Route, RouteFile
from config.values import Section
from router.conditions import Verdict
from router.rules import Decision, Explanation, Tried
from router.trial import TestResult, shown

YES, NO = "✓", "✗"

_ENGLISH = {
    "always": "always",
    "and on": "goes on",
    "all": "all of",
    "any": "any of",
    "not": "not",
    "found": "found",
    "nothing": "nothing",
    "default": "default",
    "decision": "decision",
    "route": "route",
    "rules": "rules",
    "time": "time",
    "untried": "{} routes were not tried: the matter was settled before",
    "untried one": "1 route was not tried: the matter was settled before",
    "from default": "from the default",
    "passed": "{} of {} tests passed",
    "expected": "expected",
    "got": "got",
    "effect": "changed",
    "no effect": "nothing, the conversation was under way",
}
_CHINESE = {
    "always": "总是",
    "and on": "继续往下",
    "all": "全部满足",
    "any": "满足其一",
    "not": "不满足",
    "found": "实际",
    "nothing": "无",
    "default": "默认",
    "decision": "结果",
    "route": "规则",
    "rules": "规则版本",
    "time": "时间",
    "untried": "另有 {} 条规则未尝试：之前已有结果",
    "untried one": "另有 1 条规则未尝试：之前已有结果",
    "from default": "来自默认",
    "passed": "{1} 个测试中通过 {0} 个",
    "expected": "应为",
    "got": "实为",
    "effect": "实际改变",
    "no effect": "无，会话正在进行中",
}

Line = tuple[str, list[Any]]


def words(locale: str) -> Mapping[str, str]:
    """Return the words of this page in the language of *locale* (zh-CN or en)."""
    return _CHINESE if locale.startswith("zh") else _ENGLISH


def show(files: Sequence[RouteFile], *, locale: str = "en") -> str:
    """Draw the routes of *files* as a tree, with their conditions and what they set."""
    said = words(locale)
    lines = [_route_line(route, said) for file in files for route in file.routes]
    default = next((file.default for file in files if file.default is not None), Fields())
    lines.append((f"{said['default']}  → {_sets(dict(written(default)), said)}", []))
    return "\n".join(_draw(lines))


def listing(files: Sequence[RouteFile]) -> dict[str, Any]:
    """Return the routes of *files* as plain data: what is written, nothing else."""
    return {
        "default": next((_data(file.default) for file in files if file.default is not None), {}),
        "routes": [_data(route) for file in files for route in file.routes],
    }


def narrate(explanation: Explanation, zone: ZoneInfo, *, locale: str = "en") -> str:
    """Draw every route that was tried, with each condition's value and verdict, and then the decision."""
    said = words(locale)
    when = dt.datetime.fromtimestamp(explanation.at // 1000, zone)
    lines = [_tried_line(tried, said) for tried in explanation.tried]
    parts = [*_draw(lines)]
    if explanation.untried == 1:
        parts.append(said["untried one"])
    elif explanation.untried:
        parts.append(said["untried"].format(explanation.untried))
    parts += ["", *decision_lines(explanation.decision, locale=locale)]
    if explanation.default:
        parts.append(f"{said['from default']}: {_sets(explanation.default, said)}")
    parts.append(f"{said['time']}: {when.isoformat(timespec='minutes')}  {said['rules']}: {explanation.rules[:12]}")
    return "\n".join(parts)


def effect(fields: Mapping[str, Any], ignored: str | None, *, locale: str = "en") -> str:
    """Say what a stored decision changed: *fields* of the conversation, or the reason why the message was ignored."""
    said = words(locale)
    if ignored:
        return f"{said['effect']}: ignore={_plain(ignored, said)}"
    return f"{said['effect']}: {_sets(fields, said) if fields else said['no effect']}"


def decision_lines(decision: Decision, *, locale: str = "en") -> list[str]:
    """Return the decision in two lines: the routes that led to it, and what it says."""
    said = words(locale)
    names = " › ".join(decision.routes) or said["default"]
    fields = {
        name: getattr(decision, name)
        for name in Fields.model_fields
        if getattr(decision, name) is not None and getattr(decision, name) != ()
    }
    return [f"{said['route']}: {names}", f"{said['decision']}: {_sets(fields, said)}"]


def report(results: Sequence[TestResult], *, locale: str = "en") -> str:
    """List the tests, what differed in those that failed, and how many passed."""
    said = words(locale)
    lines: list[str] = []
    for result in results:
        lines.append(f"{YES if result.passed else NO} {result.name}")
        lines += [
            f"    {each.field}: {said['expected']} {shown(each.expected)}, {said['got']} {shown(each.got)}"
            for each in result.differences
        ]
        if not result.passed:
            names = " › ".join(result.decision.routes) or said["default"]
            lines.append(f"    {said['route']}: {names}")
    lines.append(said["passed"].format(sum(result.passed for result in results), len(results)))
    return "\n".join(lines)


def _route_line(route: Route, said: Mapping[str, str]) -> Line:
    parts = [route.name]
    if fields := dict(written(route.set)):
        parts.append(f"→ {_sets(fields, said)}")
    if route.goes_on:
        parts.append(f"({said['and on']})")
    conditions = _condition_lines(route.when, said) if route.when is not None else [(said["always"], [])]
    return "  ".join(parts), [*conditions, *(_route_line(inner, said) for inner in route.routes)]


def _condition_lines(condition: Condition, said: Mapping[str, str]) -> list[Line]:
    lines: list[Line] = []
    for key, value in condition.given():
        if isinstance(value, Condition):
            lines.append((f"? {said['not']}", [_condition_line(value, said)]))
        elif key in ("all", "any"):
            lines.append((f"? {said[key]}", [_condition_line(part, said) for part in value]))
        else:
            lines.append((f"? {key}: {_plain(value, said)}", []))
    return lines


def _condition_line(condition: Condition, said: Mapping[str, str]) -> Line:
    """Return *condition* as one line: several keys side by side mean all of them."""
    lines = _condition_lines(condition, said)
    return lines[0] if len(lines) == 1 else (f"? {said['all']}", lines)


def _tried_line(tried: Tried, said: Mapping[str, str]) -> Line:
    head = [YES if tried.matched else NO, tried.name]
    if tried.matched and tried.sets:
        head.append(f" → {_sets(tried.sets, said)}")
    if tried.goes_on:
        head.append(f" ({said['and on']})")
    verdict = tried.condition
    parts = () if verdict is None else verdict.parts if verdict.name == "all" else (verdict,)
    below = [_verdict_line(part, said) for part in parts] or [(f"{YES} {said['always']}", [])]
    return " ".join(head), [*below, *(_tried_line(inner, said) for inner in tried.routes)]


def _verdict_line(verdict: Verdict, said: Mapping[str, str]) -> Line:
    mark = YES if verdict.holds else NO
    if verdict.parts:
        return f"{mark} {said[verdict.name]}", [_verdict_line(part, said) for part in verdict.parts]
    expected, found = _plain(verdict.expected, said), _plain(verdict.value, said)
    return f"{mark} {verdict.name}: {expected}  [{said['found']}: {found}]", []


def _sets(fields: Mapping[str, Any], said: Mapping[str, str]) -> str:
    return " ".join(f"{key}={_plain(value, said)}" for key, value in fields.items()) or said["nothing"]


def _plain(value: Any, said: Mapping[str, str]) -> str:
    """Return a value in one line; what a customer wrote cannot draw on the terminal."""
    if value is None or (isinstance(value, Sequence | Mapping) and not value):
        return said["nothing"]
    if isinstance(value, Section):
        value = dict(written(value))
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_plain(part, said)}" for key, part in value.items())
    if isinstance(value, tuple | list):
        return " | ".join(_plain(part, said) for part in value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return "".join(char if char.isprintable() else "␣" for char in str(value))


def _draw(lines: Iterable[Line], indent: str = "") -> Iterable[str]:
    rows = list(lines)
    for number, (text, below) in enumerate(rows):
        last = number == len(rows) - 1
        yield f"{indent}{'└─' if last else '├─'} {text}"
        yield from _draw(below, indent + ("   " if last else "│  "))


def _data(section: Section) -> dict[str, Any]:
    return section.model_dump(mode="json", by_alias=True, exclude_unset=True)


__all__ = ["decision_lines", "listing", "narrate", "report", "show"]
