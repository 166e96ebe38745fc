from __future__ import annotations

import os
import subprocess

import pytest

from shared.errors import TemporaryFailure
from shared.inference.adapters import BadAdapter, Registry
from tests.conftest import wait_until

FACTS = {"task": "issues", "prompt_version": "issues-1", "base": "tiny"}


@pytest.fixture
def folder(tmp_path):  # type: ignore[no-untyped-def]
    (tmp_path / "trained").mkdir()
    (tmp_path / "trained" / "adapter_model.safetensors").write_bytes(b"weights")
    (tmp_path / "trained" / "adapter_config.json").write_text("{}")
    return tmp_path / "trained"


@pytest.fixture(params=["folder", "memory"])
def registry(request, tmp_path):  # type: ignore[no-untyped-def]
    root = str(tmp_path / "adapters") if request.param == "folder" else f"memory://{tmp_path.name}"
    return Registry(root, tmp_path / "cache")


def publish(registry, folder, text="weights"):  # type: ignore[no-untyped-def]
    (folder / "adapter_model.safetensors").write_text(text)
    return registry.publish(folder, **FACTS, scores={"f1": 0.5})


def test_published_then_promoted_then_rolled_back(registry, folder):
    one, two = publish(registry, folder, "one"), publish(registry, folder, "two")
    assert [m.id for m in registry.all()] == [one.id, two.id] and registry.promoted(
        "issues"
    ) is None
    registry.promote(one.id)
    registry.promote(two.id)
    assert registry.promoted("issues") == two.id
    assert (registry.fetch(two.id) / "adapter_model.safetensors").read_text() == "two"
    assert registry.rollback("issues") == one.id == registry.promoted("issues")
    with pytest.raises(BadAdapter, match="no earlier"):
        registry.rollback("issues")


def test_the_same_files_published_twice_in_a_second_are_two_adapters(registry, folder):
    made = {publish(registry, folder).id for _ in range(3)}
    assert len(made) == 3 and {m.id for m in registry.all()} == made


def test_a_changed_file_is_refused_and_the_pointer_stays(tmp_path, folder):
    registry = Registry(str(tmp_path / "adapters"), tmp_path / "cache")
    one, two = publish(registry, folder, "one"), publish(registry, folder, "two")
    registry.promote(one.id)
    (tmp_path / "adapters" / two.id / "adapter_model.safetensors").write_text("tampered")
    with pytest.raises(BadAdapter, match="corrupt"):
        registry.promote(two.id)
    assert registry.promoted("issues") == one.id


def test_without_a_manifest_it_is_no_adapter(tmp_path, folder):
    registry = Registry(str(tmp_path / "adapters"), tmp_path / "cache")
    made = publish(registry, folder)
    (tmp_path / "adapters" / made.id / "manifest.json").unlink()
    assert registry.all() == []
    with pytest.raises(BadAdapter, match="missing"):
        registry.promote(made.id)
    for name in ("../etc", "", "nowhere"):
        with pytest.raises(BadAdapter):
            registry.fetch(name)


def test_pruning_keeps_the_newest_and_the_promoted(registry, folder):
    made = [publish(registry, folder, str(i)).id for i in range(4)]
    registry.promote(made[0])
    assert registry.prune(2) == [made[1]]
    assert {m.id for m in registry.all()} == {made[0], made[2], made[3]}


def test_a_full_disk_while_publishing_leaves_nothing_half_made(tmp_path, folder):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], capture_output=True
    ).returncode:
        pytest.skip("mounting a small tmpfs needs root")
    try:
        registry = Registry(str(disk / "adapters"), tmp_path / "cache")
        (folder / "big.bin").write_bytes(os.urandom(200_000))
        with pytest.raises(TemporaryFailure, match="free some space"):
            publish(registry, folder)
        assert registry.all() == [] and not [p for p in (disk / "adapters").glob("*") if p.is_dir()]
    finally:
        wait_until(
            lambda: subprocess.run(["umount", disk], capture_output=True).returncode == 0, 10
        )
