"""What commands print in the reader's language: the heads of tables, and what is wrong with a file or an option."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NoReturn

import typer

from config.chinese import REASONS, expected, said, translated
from config.content import why
from config.documents import Document
from config.faults import Fault, Wrong
from inbox.commands import CANNOT_TELL, NO, dump

HEADS = {
    "address": "地址",
    "addresses": "地址",
    "answers": "回答",
    "at": "时间",
    "attempts": "次数",
    "by": "操作人",
    "channel": "渠道",
    "channels": "渠道",
    "contact": "客户",
    "conversation": "会话",
    "count": "数量",
    "counts": "计数",
    "created_at": "创建时间",
    "delivery": "发送编号",
    "done": "已处理",
    "due": "应发时间",
    "enabled": "启用",
    "error": "错误",
    "event": "事件",
    "evidence": "依据",
    "flags": "标记",
    "hash": "版本",
    "how": "方式",
    "id": "编号",
    "kind": "类型",
    "lane": "类别",
    "language": "语言",
    "languages": "语言",
    "last attempt": "上次发送",
    "last status": "上次状态码",
    "left_out": "不发送",
    "length": "长度",
    "merge": "合并编号",
    "minutes": "分钟",
    "ms": "毫秒",
    "name": "名称",
    "needs": "必填变量",
    "offset": "位置",
    "owner": "负责人",
    "platforms": "平台模板",
    "purpose": "目的",
    "reason": "原因",
    "replace": "改为",
    "rule": "规则",
    "sent": "发送时间",
    "since": "起始时间",
    "state": "状态",
    "status": "状态码",
    "tags": "标签",
    "team": "团队",
    "tier": "等级",
    "total": "总数",
    "trigger": "触发",
    "type": "事件类型",
    "url": "网址",
    "via": "来源",
    "waiting": "等待",
    "weight": "级别",
    "why": "原因",
}
"""Chinese for the heads of tables: a word is said in the same way by every command."""


def heads(names: Sequence[str], locale: str) -> list[str]:
    """Return the heads *names* of a table in the language of *locale*; one without a word is empty."""
    return [HEADS[name] if name and locale.startswith("zh") else name for name in names]


def trouble(error: OSError | ValueError, locale: str) -> str:
    """Say why a file cannot be read or written, in the language of *locale*."""
    if isinstance(error, UnicodeError):
        return translated("the file is not UTF-8") if locale.startswith("zh") else "the file is not UTF-8"
    reason = why(error)
    return REASONS.get(reason, reason) if locale.startswith("zh") else reason


def objection(error: Wrong, value: str, locale: str) -> str:
    """Say what is wrong with the *value* of an option, in the language of *locale*."""
    what = error.what.replace("{value}", value)
    if locale.startswith("zh"):
        what, wanted = translated(what), expected(error.expected)
        return f"{what}；应为 {wanted}" if wanted else what
    return f"{what}; expected {error.expected}" if error.expected else what


def refuse(faults: Iterable[Fault], documents: Iterable[Document], locale: str) -> NoReturn:
    """Print the *faults* of *documents* and end the program: with 2 if one of these could not be read, else with 1."""
    for fault in faults:
        print(said(fault) if locale.startswith("zh") else fault, file=sys.stderr)
    raise typer.Exit(NO if all(document.sha256 for document in documents) else CANNOT_TELL)


def fail(text: object, code: int) -> NoReturn:
    """Print *text* where errors go and end the program with *code*."""
    print(text, file=sys.stderr)
    raise typer.Exit(code)


def written(paths: Sequence[Path]) -> None:
    """Say for a script which files were written."""
    dump({"written": [str(path) for path in paths]})
