"""What a comparison of two rule sets found: as plain data for programs, and as text for people in two languages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from inbox.api import rfc3339
from inbox.commands import harmless, one_line, width
from router.tally import AFTER, BEFORE, OTHER, Load, Row, Tally

_ENGLISH = {
    "total": "{total} messages: {moved} moved, {unchanged} unchanged, {unrouted} unrouted, {undecidable} undecidable",
    "newly": "{newly_unrouted} of the unrouted had a route before",
    "skipped": "{skipped} more were not looked at: looking took too much time",
    "reproduced": "{reproduced} stored decisions of the rules in use were made again, all with the same result",
    "contradicted": "{contradicted} stored decisions of the rules in use come out otherwise now: please report it",
    "because": "undecidable: {count} because {reason}",
    "differ": "what differs: {}",
    "route": ("route", "before", "after", "moved", "unchanged", "unrouted"),
    "team": ("team", "before", "after", "moved", "unchanged", "unrouted"),
    "load": ("conversations to team", "before", "after", "a day before", "a day after", "busiest hour", "busiest day"),
    "level": ("service level", "before", "after"),
    "moves": "moves, the most frequent first",
    "nobody": "(no team)",
    "none": "(none)",
    "other": "other moves",
    "it has found no conversation": "it has found no conversation",
    "what was known then was not stored": "what was known then was not stored",
    "its channel is not configured any more": "its channel is not configured any more",
    "a rule set fails on it": "a rule set fails on it",
    "nobody was asked about the order then": "nobody was asked about the order then",
}
_CHINESE = {
    "total": "共 {total} 条消息：{moved} 条改变，{unchanged} 条不变，{unrouted} 条没有规则，{undecidable} 条无法判断",
    "newly": "没有规则的消息中，{newly_unrouted} 条原来有规则",
    "skipped": "另有 {skipped} 条没有比较：耗时过多",
    "reproduced": "现用规则已作出的 {reproduced} 个决定重新计算，结果全部相同",
    "contradicted": "现用规则已作出的 {contradicted} 个决定重新计算后结果不同：请报告此问题",
    "because": "无法判断：{count} 条，{reason}",
    "differ": "不同之处：{}",
    "route": ("规则", "之前", "之后", "改变", "不变", "没有规则"),
    "team": ("团队", "之前", "之后", "改变", "不变", "没有规则"),
    "load": ("进入团队的会话", "之前", "之后", "之前每天", "之后每天", "最忙时段", "最忙一天"),
    "level": ("服务承诺", "之前", "之后"),
    "moves": "改变，按次数排列",
    "nobody": "（无团队）",
    "none": "（无）",
    "other": "其他改变",
    "it has found no conversation": "尚未归入会话",
    "what was known then was not stored": "没有保存当时的情况",
    "its channel is not configured any more": "渠道已不在配置中",
    "a rule set fails on it": "规则运行出错",
    "nobody was asked about the order then": "当时没有查询订单",
}
SHOWN = 20
QUOTE = 40


def plain(tally: Tally) -> dict[str, Any]:
    """Return *tally* as the API shows it; examples are ids of messages."""
    return {
        "total": tally.total,
        "moved": tally.moved,
        "unchanged": tally.unchanged,
        "unrouted": tally.unrouted,
        "undecidable": tally.undecidable,
        "newly_unrouted": tally.newly_unrouted,
        "changed": tally.changed,
        "skipped": tally.skipped,
        "reproduced": tally.reproduced,
        "contradicted": tally.contradicted,
        "first_at": rfc3339(tally.first_at),
        "last_at": rfc3339(tally.last_at),
        "reasons": tally.reasons,
        "fields": tally.fields,
        "routes": _rows(tally.routes),
        "teams": [{**row, "load": _load(tally.loads.get(row["name"], Load()))} for row in _rows(tally.teams)],
        "levels": [
            {"name": name, "before": sides[BEFORE], "after": sides[AFTER]}
            for name, sides in sorted(tally.levels.items())
        ],
        "moves": [
            {
                "from": {"route": sort[0], "team": sort[1]},
                "to": {"route": sort[2], "team": sort[3]},
                "fields": sort[4],
                "count": move.count,
                "examples": move.examples,
            }
            for sort, move in sorted(tally.moves.items(), key=lambda item: -item[1].count)
        ],
    }


def _rows(rows: Mapping[str, Row]) -> list[dict[str, Any]]:
    ranked = sorted(rows.items(), key=lambda item: (-item[1].before, -item[1].after, item[0]))
    return [
        {
            "name": name,
            "before": row.before,
            "after": row.after,
            "moved": row.moved,
            "unchanged": row.unchanged,
            "unrouted": row.unrouted,
        }
        for name, row in ranked
    ]


def _load(load: Load) -> list[dict[str, Any]]:
    """Return a team's load before and after: conversations in all, on each day, and in each hour of the day."""
    return [
        {
            "when": when,
            "conversations": sum(sides[side] for sides in load.days.values()),
            "days": {day: sides[side] for day, sides in sorted(load.days.items())},
            "hours": {hour: sides[side] for hour, sides in sorted(load.hours.items(), key=lambda item: int(item[0]))},
        }
        for side, when in ((BEFORE, "before"), (AFTER, "after"))
    ]


def narrate(found: Mapping[str, Any], texts: Mapping[str, str], *, locale: str = "en") -> str:
    """Say what `plain` returned; *texts* are those of the examples that the reader may see."""
    said: Mapping[str, Any] = _CHINESE if locale.startswith("zh") else _ENGLISH
    lines = [said["total"].format_map(found)]
    lines += [said[key].format_map(found) for key, name in NUMBERS.items() if found[name] and _fits(key, found)]
    for reason, count in found["reasons"].items():
        lines.append(said["because"].format(count=count, reason=said.get(reason, reason)))
    if found["fields"]:
        ranked = sorted(found["fields"].items(), key=lambda item: -item[1])
        lines.append(said["differ"].format(", ".join(f"{name} {count}" for name, count in ranked)))
    for which in ("route", "team"):
        rows = [
            (
                row["name"] or said["nobody"],
                *(row[name] for name in ("before", "after", "moved", "unchanged", "unrouted")),
            )
            for row in found[f"{which}s"][:SHOWN]
        ]
        lines += _table(said[which], rows)
    lines += _table(said["load"], [_load_row(row, said) for row in found["teams"] if _arrivals(row)])
    lines += _table(
        said["level"], [(row["name"] or said["none"], row["before"], row["after"]) for row in found["levels"]]
    )
    if found["moves"]:
        lines += ["", f"{said['moves']}:"]
    for move in found["moves"][:SHOWN]:
        lines.append(f"{move['count']:>7}  {_move(move, said)}")
        lines += [f"{'':9}{name}{_quoted(texts.get(name, ''))}" for name in move["examples"]]
    return "\n".join(lines)


NUMBERS = {
    "newly": "newly_unrouted",
    "skipped": "skipped",
    "reproduced": "reproduced",
    "contradicted": "contradicted",
}


def _fits(key: str, found: Mapping[str, Any]) -> bool:
    return key != "reproduced" or not found["contradicted"]


def _move(move: Mapping[str, Any], said: Mapping[str, Any]) -> str:
    one, other = move["from"], move["to"]
    if (one["route"], one["team"], other["route"], other["team"], tuple(move["fields"])) == OTHER:
        return str(said["other"])
    where = [f"{end['route']} ({end['team'] or said['nobody']})" for end in (one, other)]
    return f"{where[0]} → {where[1]}: {', '.join(move['fields'])}"


def _arrivals(row: Mapping[str, Any]) -> int:
    return sum(side["conversations"] for side in row["load"])


def _load_row(row: Mapping[str, Any], said: Mapping[str, Any]) -> tuple[Any, ...]:
    before, after = row["load"]
    days = max(1, len(before["days"]))
    hour, by_hour = _busiest(before["hours"], after["hours"])
    day, by_day = _busiest(before["days"], after["days"])
    averages = [f"{side['conversations'] / days:.1f}" for side in (before, after)]
    peaks = (f"{int(hour or 0):02}:00  {by_hour}", f"{day}  {by_day}")
    return (row["name"] or said["nobody"], before["conversations"], after["conversations"], *averages, *peaks)


def _busiest(before: Mapping[str, int], after: Mapping[str, int]) -> tuple[str, str]:
    """Return when most will arrive, and how many did and will then."""
    when = max(after, key=lambda name: (after[name], before[name]), default="")
    return when, f"{before.get(when, 0)} → {after.get(when, 0)}"


def _quoted(text: str) -> str:
    return f"  “{one_line(harmless(text), QUOTE)}”" if text else ""


def _table(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    """Return a table whose columns line up, with an empty line before it; nothing without rows."""
    if not rows:
        return []
    texts = [[one_line(cell) for cell in row] for row in (heads, *rows)]
    widths = [max(width(row[column]) for row in texts) for column in range(len(heads))]
    return [
        "",
        *(
            "  ".join(cell + " " * (size - width(cell)) for cell, size in zip(row, widths, strict=True)).rstrip()
            for row in texts
        ),
    ]
