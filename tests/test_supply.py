"""The locks: everything with hashes, nothing of torch, no index named, nothing missing."""

from __future__ import annotations

import re
import tomllib

import pytest

from tests.conftest import ROOT

LOCKS = {"requirements.lock": ("train",), "requirements-dev.lock": ("train", "dev")}


def name_of(requirement: str) -> str:
    return re.sub(r"[-_.]+", "-", re.split(r"[\[<>=;! ]", requirement)[0]).lower()


@pytest.mark.parametrize("lock", LOCKS)
def test_the_lock_is_whole_and_hashed_and_names_no_index(lock):
    text = (ROOT / lock).read_text()
    assert "://" not in text and "--index" not in text
    entries = [e for e in re.split(r"^(?=\S)", text, flags=re.M) if e and not e.startswith("#")]
    assert len(entries) > 100
    for entry in entries:
        assert re.match(r"[A-Za-z0-9._-]+(\[[\w,-]+\])?==", entry), entry[:80]
        assert "--hash=sha256:" in entry, entry[:80]
    locked = {name_of(entry) for entry in entries}
    assert not [n for n in locked if re.match(r"torch$|triton|nvidia|cuda", n)]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"]]
    for extra in LOCKS[lock]:
        wanted += project["optional-dependencies"][extra]
    missing = {name_of(w) for w in wanted} - locked - {"torch"}
    assert not missing, f"{lock} lacks {missing}: make lock"
