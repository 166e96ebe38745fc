"""docs/ARCHITECTURE.md speaks of the house as it is."""

from __future__ import annotations

import re

from tests.conftest import ROOT

TEXT = (ROOT / "docs" / "ARCHITECTURE.md").read_text()
PARTS = ("shared", "producers", "workers", "trainer", "consumers")


def test_every_file_that_the_architecture_names_exists():
    files = {p.name for part in (*PARTS, "tests") for p in (ROOT / part).rglob("*.py")}
    named = re.findall(r"`([\w/]+\.py)", TEXT)
    assert len(named) > 30
    for name in named:
        assert (ROOT / name).exists() if "/" in name else name in files, name


def test_every_key_on_the_server_stands_in_its_table():
    code = "".join(p.read_text() for part in PARTS for p in (ROOT / part).rglob("*.py"))
    written = set(re.findall(r"""["'](b:[a-z]+)""", code))
    assert len(written) > 8
    missing = {key for key in written if f"`{key}" not in TEXT}
    assert not missing, f"docs/ARCHITECTURE.md does not know {missing}"
