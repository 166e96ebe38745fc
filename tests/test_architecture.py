"""Imports go one way, files stay small, and `beyond --help` stays light."""

from __future__ import annotations

import ast
import subprocess
import sys

import pytest

from tests.conftest import ROOT

PARTS = ("producers", "workers", "trainer", "consumers")
FILES = [
    p for part in (*PARTS, "shared", "tests", "benchmarks") for p in (ROOT / part).rglob("*.py")
] + [ROOT / "beyond.py"]


def imported(path):  # type: ignore[no-untyped-def]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.split(".")[0]


@pytest.mark.parametrize("part", [*PARTS, "shared"])
def test_a_part_imports_only_itself_and_shared(part):
    for path in (ROOT / part).rglob("*.py"):
        foreign = set(imported(path)) & set(PARTS) - {part}
        assert not foreign, f"{path} imports {foreign}"


def test_rq_is_touched_in_exactly_two_files():
    touching = {
        str(p.relative_to(ROOT))
        for p in FILES
        if not {"tests", "benchmarks"} & set(p.parts) and "rq" in imported(p)
    }
    assert touching == {"shared/stream/queues.py", "workers/batch_worker.py"}


def test_no_file_is_longer_than_300_lines():
    assert not [f"{p}: {n}" for p in FILES if (n := len(p.read_text().splitlines())) > 300]


def reads_of_the_environment(path):  # type: ignore[no-untyped-def]
    """Lines that take a value out of os.environ.

    Handing all of it on, or adding to it, reads nothing.
    """
    tree = ast.parse(path.read_text())
    handed_on = {
        id(value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Dict)
        for key, value in zip(node.keys, node.values, strict=True)
        if key is None
    }
    written = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store)
    }
    for node in ast.walk(tree):
        name = getattr(node, "attr", getattr(node, "id", ""))
        if name in {"environ", "getenv"} and id(node) not in handed_on | written:
            yield node.lineno


def test_settings_are_the_only_reader_of_the_environment(tmp_path):
    ours = [p for part in (*PARTS, "shared") for p in (ROOT / part).rglob("*.py")]
    found = {
        str(p.relative_to(ROOT)): lines for p in ours if (lines := [*reads_of_the_environment(p)])
    }
    assert not found
    (tmp_path / "x.py").write_text(
        'os.environ.get("A")\nos.environ["B"]\n{**os.environ}\nos.getenv("C")'
    )
    assert sorted(reads_of_the_environment(tmp_path / "x.py")) == [1, 2, 4], (
        "the check itself works"
    )


def test_help_imports_no_torch():
    code = "import sys; from beyond import main\ntry: main(['--help'])\nexcept SystemExit: pass\nassert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and "backfill" in done.stdout
