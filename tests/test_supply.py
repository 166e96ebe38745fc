"""The locks: everything with hashes, nothing of torch, no index named, nothing missing."""

from __future__ import annotations

import re
import runpy
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


def test_an_audit_that_could_look_nothing_up_says_so_and_fails_when_told_to():
    judged = runpy.run_path(str(ROOT / ".ci" / "audit.py"))["judged"]
    away = {"name": "x", "skip_reason": "Dependency not found on PyPI and could not be audited"}
    ours = {"name": "beyond-sentiment", "skip_reason": "distribution marked as editable"}
    sound = {"name": "y", "version": "1", "vulns": []}
    weak = {"name": "z", "version": "1", "vulns": [{"id": "CVE-1", "fix_versions": ["2"]}]}
    assert judged({"dependencies": [sound, ours]}, True) == (
        ["pip-audit: 0 known weaknesses in 2 packages"],
        0,
    )
    lines, status = judged({"dependencies": [away, sound]}, False)
    assert status == 0 and lines[-1].startswith("NOT CHECKED: 1 of 2 packages")
    assert judged({"dependencies": [away, sound]}, True)[1] == 1
    lines, status = judged({"dependencies": [weak]}, False)
    assert status == 1 and lines[0] == "z 1: CVE-1; mended in 2"
