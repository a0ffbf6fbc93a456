"""Logs for people (console) or machines (JSON), without secrets and without personal data."""

from __future__ import annotations

import logging
import re
import sys
from typing import Any

import structlog
from structlog.typing import EventDict, Processor

# What must never be written even if a library puts it into a message: keys, tokens, phones, mail addresses.
REDACTIONS = (
    (re.compile(r"(?i)((?:access_token|token|secret|password|key|sign|signature)=)[^&\s\"']+"), r"\1…"),
    (re.compile(r"(?i)(bearer\s+)[\w.~+/-]+=*"), r"\1…"),
    (re.compile(r"(://[^/\s:@]*:)[^@\s/]+@"), r"\1…@"),
    (re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+"), "…@…"),
    (re.compile(r"(?<![\w.-])\+?\d{11,15}(?![\w.-])"), "…"),
)
CONTROL = re.compile(r"[\x00-\x1f\x7f\x9b]")


def redact(text: str) -> str:
    """Return *text* without secrets, phones and mail addresses, on one line."""
    for pattern, replacement in REDACTIONS:
        text = pattern.sub(replacement, text)
    return CONTROL.sub(" ", text)


def clean(_: Any, __: str, event: EventDict) -> EventDict:
    """Redact every text of a log event; tracebacks keep their lines."""
    for name, value in event.items():
        if isinstance(value, str) and name not in {"timestamp", "level", "logger"}:
            event[name] = "\n".join(map(redact, value.split("\n"))) if name == "exception" else redact(value)
    return event


def configure(style: str = "console", level: int = logging.INFO) -> None:
    """Send everything that is logged to standard error; *style* is "console" or "json"."""
    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        clean,
    ]
    last: Processor = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if style == "json"
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, last]
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for chatty in ("watchfiles", "asyncio"):
        logging.getLogger(chatty).setLevel(max(level, logging.WARNING))
