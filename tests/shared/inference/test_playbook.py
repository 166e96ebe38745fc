"""The playbook: one line a problem, said to the trades it fits, with something to start tomorrow."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from shared.inference.offers import offers_unsupported
from shared.inference.playbook import ANY, Line, read_lines, write_lines
from shared.review import THEMES, TRADES
from tests.conftest import ROOT

LINES = read_lines(ROOT / "trainer" / "data" / "playbook.jsonl")
# Words of one trade; a line that may be said to all has none of them.
TRADE_WORDS = re.compile(
    r"\b(?:menus?|dish(?:es)?|meals?|waiters?|servers?|kitchen|chef|room rate|housekeeping|mattress|garments?|hem|seams?"
    r"|wash|flights?|rides?|app store|passengers?|guests?)\b",
    re.I,
)
# Themes of which a trade hears no sentence: goods are bought, not booked; a dirty car that an app
# brought shows its quote alone until there is a line for it.
SILENT = {"product": {"booking"}, "clothing": {"booking"}, "app": {"cleanliness"}}


def test_a_line_fits_its_own_trades_and_all_where_none_is_known():
    line = Line("quality", "p", "a", ("food",))
    assert line.fits(["food"]) and line.fits(["app", "food"]) and not line.fits(["app"])
    assert line.fits([]) and Line("quality", "p", "a", (ANY,)).fits(["app"])


def test_lines_survive_the_way_through_a_file(tmp_path):
    write_lines(tmp_path / "p.jsonl", LINES)
    assert read_lines(tmp_path / "p.jsonl") == LINES


def test_every_line_has_a_known_theme_and_known_trades():
    for line in LINES:
        assert line.theme in THEMES and line.trades, line
        assert set(line.trades) <= {ANY, *TRADES}, line


def test_a_problem_stands_in_the_playbook_once():
    assert [p for p, n in Counter(line.problem for line in LINES).items() if n > 1] == []


def test_every_theme_of_every_trade_can_be_spoken_to():
    for trade in TRADES:
        silent = {t for t in THEMES if not any(x.theme == t and x.fits([trade]) for x in LINES)}
        assert silent == SILENT.get(trade, set()), trade


@pytest.mark.parametrize("line", LINES, ids=lambda line: line.problem[:40])
def test_a_line_is_a_sentence_an_imperative_and_promises_nothing(line):
    assert line.problem[0].isupper() and line.problem.endswith(".")
    assert line.action[0].isupper() and line.action.endswith(".")
    assert not offers_unsupported(line.action, "")


def test_what_is_said_to_all_trades_has_no_trades_words():
    wrong = [x for x in LINES if ANY in x.trades and TRADE_WORDS.search(f"{x.problem} {x.action}")]
    assert wrong == []
