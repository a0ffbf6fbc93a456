"""Logs for people (console) or machines (JSON), without secrets and without personal data."""

from __future__ import annotations

import logging
import re
import sys
import traceback
from collections.abc import MutableMapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from connectors.base import ConnectorError

if TYPE_CHECKING:
    from structlog.typing import Processor

EventDict = MutableMapping[str, Any]

# What must never be written even if a library puts it into a message: keys, tokens, phones, mail addresses.
REDACTIONS = (
    (re.compile(r"(?i)((?:token|secret|password|passwd|key|sign|signature)=)[^&\s\"']+"), r"\1…"),
    (re.compile(r"(?i)((?:token|secret|password|passwd|key|signature)[\"']\s*:\s*)([\"'])[^\"']*[\"']"), r"\1\2…\2"),
    (re.compile(r"(?i)(bearer\s+)[\w.~+/-]+=*"), r"\1…"),
    (re.compile(r"(://[^/\s:@]*:)[^@\s/]+@"), r"\1…@"),
    (re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+"), "…@…"),
    # Letters of ours before or after a number make it an id; Chinese ones do not.
    (re.compile(r"(?<![A-Za-z0-9_.-])\+?[0-9]{11,15}(?![A-Za-z0-9_.-])"), "…"),
    (re.compile(r"(?<![A-Za-z0-9_.-])(?:\+86[ -]?)?1[0-9]{2}[ -][0-9]{4}[ -][0-9]{4}(?![A-Za-z0-9_.-])"), "…"),
)
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def redact(text: str) -> str:
    """Return *text* without secrets, phones and mail addresses, on one line."""
    for pattern, replacement in REDACTIONS:
        text = pattern.sub(replacement, text)
    return CONTROL.sub(" ", text)


def place(error: BaseException) -> str:
    """Say what *error* is and where it arose, without its message, which may hold personal data."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = f" at {Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace is not None else ""
    return f"{type(error).__name__}{where}"


def told(error: BaseException) -> str:
    """Return the traceback of *error* and of what caused it; messages only of errors that promise to hold no data."""
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    text = f"{told(before)}\nwhich led to\n" if before is not None else ""
    words = error.strerror if isinstance(error, OSError) else str(error) if isinstance(error, ConnectorError) else ""
    frames = "".join(traceback.format_tb(error.__traceback__))
    return f"{text}{frames}{type(error).__name__}" + (f": {words}" if words else "")


def unfold(_: Any, __: str, event: EventDict) -> EventDict:
    """Turn an exception into text."""
    info = event.pop("exc_info", None)
    error = info if isinstance(info, BaseException) else info[1] if isinstance(info, tuple) else None
    if info is True:
        error = sys.exc_info()[1]
    if error is not None:
        event["exception"] = told(error)
    return event


def clean(_: Any, __: str, event: EventDict) -> EventDict:
    """Redact every text of a log event; tracebacks keep their lines."""
    for name, value in event.items():
        if isinstance(value, str) and name not in {"timestamp", "level", "logger"}:
            event[name] = "\n".join(map(redact, value.split("\n"))) if name == "exception" else redact(value)
    return event


def configure(style: str = "console", level: int = logging.INFO) -> None:
    """Send everything that is logged to standard error; *style* is "console" or "json"."""
    import structlog  # noqa: PLC0415  # a fifth of the start of every command, of which only the daemon logs

    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        unfold,
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
