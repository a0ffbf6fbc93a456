"""What is stored of a decision: few bytes, and the whole story back."""

from __future__ import annotations

from typing import Any

import pytest

from router.evidence import packed, unpacked


@pytest.mark.parametrize(
    "story",
    [
        {"hash": "0123456789abcdef", "route": "default"},
        {"hash": "0123456789abcdef", "route": "b", "routes": ["a", "b"]},
        {"hash": "0123456789abcdef", "route": "b", "facts": {"language": "zh-CN"}, "unclaimed": True},
        {"hash": "0123456789abcdef", "route": "b", "facts": {"conversation": {"team": "orders", "messages": 16}}},
        {
            "hash": "0123456789abcdef",
            "route": "b",
            "routes": ["a", "b"],
            "facts": {"contact_tags": ["vip"], "conversation": {"messages": 2}},
            "unclaimed": True,
        },
    ],
)
def test_a_packed_story_is_the_same_story(story: dict[str, Any]) -> None:
    """What is stored in few bytes comes back whole."""
    assert story == unpacked(packed(story))
