"""退款, 退钱 and 退货 in every spelling: simplified, traditional, full width, with what shows nothing in between."""

from __future__ import annotations

from pathlib import Path

import pytest

from router.rules import decide
from tests.routing import message, plant

# one word each, as rules and customers may write it
SPELLINGS = {
    "退款": ["退款", "退\u200b款", "退\ufe0f款", "退\u2060款"],
    "退钱": ["退钱", "退錢", "退\u200d錢"],
    "退货": ["退货", "退貨", "退\ufeff貨"],
    "refund12315": ["refund12315", "REFUND12315", "ｒｅｆｕｎｄ１２３１５", "Ｒefund12３15", "re\u00adfund12315"],
}
OPERATORS = {
    "any_of: ['{}', 别的]": ("我要{}！", True),
    "all_of: [我要, '{}']": ("我要{}！", True),
    "none_of: '{}'": ("我要{}！", False),
    "equals: '{}'": (" {}　", True),
    "starts_with: '{}'": ("{}，谢谢", True),
    "regex: '要({}|换货)[!?]'": ("我要{}！", True),
    "regex: '^\\w+{}\\W$'": ("我要{}！", True),
}


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("word", SPELLINGS)
def test_every_spelling_of_rule_and_message(tmp_path: Path, word: str, operator: str) -> None:
    """Whatever spelling the rule has, it finds every spelling that a customer may write."""
    sentence, expected = OPERATORS[operator]
    for mine in SPELLINGS[word]:
        tree = plant(
            tmp_path,
            "default: {team: frontdesk}\n"
            f"routes: [{{name: found, when: {{text: {{{operator.format(mine)}}}}}, set: {{team: aftersales}}}}]",
        )
        for yours in SPELLINGS[word]:
            assert expected == (decide(tree, message(sentence.format(yours))).route == "found"), (mine, yours)


@pytest.mark.parametrize("word", ["退款", "退錢", "退貨"])
def test_exact_means_exact(tmp_path: Path, word: str) -> None:
    """With `exact: true` only the very characters count."""
    tree = plant(
        tmp_path,
        "default: {team: frontdesk}\n"
        f"routes: [{{name: found, when: {{text: {{any_of: {word}, exact: true}}}}, set: {{team: aftersales}}}}]",
    )
    found = {
        text for texts in SPELLINGS.values() for text in texts if decide(tree, message(f"我要{text}")).route == "found"
    }

    assert found == {word}


def test_other_words_stay_other_words(tmp_path: Path) -> None:
    """Folding makes spellings equal, not meanings: 退款, 退钱 and 退货 are three words."""
    tree = plant(
        tmp_path,
        "default: {team: frontdesk}\nroutes: [{name: found, when: {text: 退款}, set: {team: aftersales}}]",
    )

    assert [decide(tree, message(text)).route for text in ("退錢", "退貨", "退款", "退 款")] == [
        "default",
        "default",
        "found",
        "default",
    ]
