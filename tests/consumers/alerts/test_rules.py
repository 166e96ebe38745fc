"""A wrong alerts file is refused with file, line, field and remedy.

The examples of the documentation are right.
"""

from __future__ import annotations

import re

import pytest

from consumers.alerts.rules import read_watch
from shared.errors import Misconfigured
from tests.conftest import ROOT

TARGET = '[targets.ops]\nslack = "https://chat.example.org/x"\n'
RULE = '[[rules]]\nname = "a"\nwhen = "urgency"\ntargets = ["ops"]\n'


def test_the_examples_of_the_documentation_are_right(tmp_path):
    text = re.search(r"```toml\n(.*?)```", (ROOT / "docs" / "ALERTS.md").read_text(), re.S)[1]
    path = tmp_path / "alerts.toml"
    path.write_text(text)
    watch = read_watch(path)
    kinds = {rule.when for rule in watch.rules}
    assert kinds == {
        "urgency",
        "rating",
        "keyword",
        "theme",
        "spike",
        "dead_letters",
        "silence",
    }, "one example of each"
    assert set(watch.targets) == {"ops", "chat", "owner"}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (TARGET + RULE + "at_leest = 1\n", r":7: rule a: at_leest: Extra inputs"),
        (
            TARGET + RULE.replace("urgency", "urgent"),
            r":5: rule a: when: give one of urgency, rating",
        ),
        (
            TARGET + RULE + 'at_least = "hi"\n',
            r":7: rule a: at_least: Input should be 'low'.*got 'hi'",
        ),
        (TARGET + RULE.replace("urgency", "rating"), r":3: rule a: at_most: Field required"),
        (
            TARGET + RULE.replace('["ops"]', '["opz"]'),
            r":6: rule a: targets: no \[targets.opz\].*ops",
        ),
        (TARGET + RULE + RULE, r":7: rule a: name: used twice"),
        (TARGET + RULE + "\n[[rulez]]\n", r":8: rulez: there are only"),
        (TARGET + "\n[rules]\n", r"rules: write \[\[rules\]\]"),
        (RULE + "\n" + TARGET.replace("https", "ftp"), r":6: \[targets.ops\] slack: give an http"),
        (TARGET + RULE + "count == 3\n", r"line 7"),
        (TARGET + RULE.replace('"a"', "5"), r":4: rule 5: name: Input should be a valid string"),
    ],
)
def test_a_fault_is_named_with_line_field_and_remedy(tmp_path, text, told):
    path = tmp_path / "alerts.toml"
    path.write_text(text)
    with pytest.raises(Misconfigured, match=re.escape(str(path)) + ".*" + told):
        read_watch(path)


def test_a_missing_file_says_what_to_write(tmp_path):
    with pytest.raises(Misconfigured, match="docs/ALERTS.md"):
        read_watch(tmp_path / "none.toml")
