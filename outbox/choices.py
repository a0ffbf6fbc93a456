"""What a reader may press, written into the text where a channel has nothing to press."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from connectors.base import Choice


def number(choices: Sequence[Choice], index: int) -> str:
    """Return the number by which a reader names a choice: its id if all ids are numbers, else its place from 1 on.

    Of an id only what stands before an @ is read; what follows says whose choice it is.
    """
    numbers = [choice.id.partition("@")[0] for choice in choices]
    if all(each.isascii() and each.isdigit() for each in numbers):
        return numbers[index]
    return str(index + 1)


def written(text: str, choices: Sequence[Choice]) -> str:
    """Return *text* with one line for each choice below it."""
    lines = [
        f"{number(choices, index)}. {choice.label}{f' {choice.url}' if choice.url else ''}"
        for index, choice in enumerate(choices)
    ]
    return "\n".join([*([text] if text else []), *lines])


def written_html(html: str, choices: Sequence[Choice]) -> str:
    """Return *html* with one line for each choice below it; those that have a page are links."""
    lines = []
    for index, choice in enumerate(choices):
        label = escape(choice.label)
        shown = f'<a href="{escape(choice.url)}">{label}</a>' if choice.url else label
        lines.append(f"<p>{number(choices, index)}. {shown}</p>")
    return html + "".join(lines)
