"""Names in manifests, pointers and folders are not trusted: nothing is read, written or removed
outside the adapter's own folder."""

from __future__ import annotations

import hashlib
import json

import fsspec
import pytest

from shared.errors import Misconfigured
from shared.inference.adapters import BadAdapter, Registry, check, read_manifest

FACTS = {"task": "issues", "prompt_version": "issues-1", "base": "tiny"}
OUTSIDE = ("../evil", "/tmp/evil", "a/b", "..", "", ".hidden", "a\nb", "ok.bin\n", "a\\b", "a\0b")


@pytest.fixture
def trained(tmp_path):  # type: ignore[no-untyped-def]
    (tmp_path / "trained").mkdir()
    (tmp_path / "trained" / "adapter_model.safetensors").write_bytes(b"weights")
    return tmp_path / "trained"


@pytest.fixture(params=["folder", "memory"])
def registry(request, tmp_path):  # type: ignore[no-untyped-def]
    root = (
        str(tmp_path / "adapters")
        if request.param == "folder"
        else f"memory://{tmp_path.name}/adapters"
    )
    return Registry(root, tmp_path / "cache")


def rewrite(registry, name, **change):  # type: ignore[no-untyped-def]
    """Change a published manifest, as somebody with access to the registry can."""
    path = f"{registry._root}/{name}/manifest.json"
    fields = json.loads(registry._fs.cat_file(path)) | change
    registry._fs.pipe_file(path, json.dumps(fields).encode())


@pytest.mark.parametrize("file", OUTSIDE)
def test_a_manifest_whose_file_lies_elsewhere_is_refused_everywhere(
    registry, trained, tmp_path, file
):
    good, bad = (registry.publish(trained, **FACTS, data=d).id for d in ("one", "two"))
    registry.promote(good)
    rewrite(registry, bad, files={file: hashlib.sha256(b"payload").hexdigest()})
    for call in (registry.manifest, registry.fetch, registry.promote):
        with pytest.raises(BadAdapter):
            call(bad)
    assert [m.id for m in registry.all()] == [good] and registry.promoted("issues") == good


def test_no_file_is_written_outside_the_cache(tmp_path, trained):
    root = f"memory://{tmp_path.name}/registry"
    registry = Registry(root, tmp_path / "cache")
    name = registry.publish(trained, **FACTS).id
    registry._fs.pipe_file(f"{registry._root}/evil.txt", b"payload")
    rewrite(registry, name, files={"../evil.txt": hashlib.sha256(b"payload").hexdigest()})
    with pytest.raises(BadAdapter):
        registry.fetch(name)
    assert not list(tmp_path.rglob("evil.txt"))


@pytest.mark.parametrize("claimed", ["../precious", "..", ".", "", "another-adapter"])
def test_pruning_removes_no_folder_but_the_adapters_own(registry, trained, claimed):
    names = [registry.publish(trained, **FACTS, data=str(i)).id for i in range(3)]
    outside = f"{registry._root.rpartition('/')[0]}/precious"
    for folder in (outside, f"{registry._root}/another-adapter"):
        registry._fs.makedirs(folder, exist_ok=True)
        registry._fs.pipe_file(f"{folder}/keep.txt", b"keep")
    rewrite(registry, names[0], id=claimed)
    assert registry.prune(1) == [names[1]]
    assert registry._fs.exists(f"{outside}/keep.txt")
    assert registry._fs.exists(f"{registry._root}/another-adapter/keep.txt")
    assert registry._fs.exists(f"{registry._root}/{names[0]}"), "not ours to remove: it lies"


def test_an_adapter_is_only_what_its_folder_says(registry, trained):
    one, two = (registry.publish(trained, **FACTS, data=d).id for d in ("one", "two"))
    rewrite(registry, one, id=two)
    with pytest.raises(BadAdapter, match="names itself"):
        registry.fetch(one)
    assert [m.id for m in registry.all()] == [two]


@pytest.mark.parametrize(
    "name", ["../etc", "", "packaged-", "packaged-..", "packaged-../weights", "x" * 99, "abc\n"]
)
def test_a_name_that_is_no_id_is_refused(registry, name):
    for call in (registry.fetch, registry.manifest, registry.promote):
        with pytest.raises(BadAdapter):
            call(name)


@pytest.mark.parametrize("pointer", ["../precious", "packaged-..", 7, ["x"]])
@pytest.mark.parametrize("shape", ["adapter", "previous", "whole"])
def test_a_pointer_that_names_no_id_is_refused(registry, trained, pointer, shape):
    name = registry.publish(trained, **FACTS).id
    registry.promote(name)
    text = {
        "adapter": {"adapter": pointer, "previous": []},
        "previous": {"adapter": name, "previous": [pointer]},
        "whole": [pointer],
    }[shape]
    registry._fs.pipe_file(f"{registry._root}/promoted-issues.json", json.dumps(text).encode())
    for call in (registry.promoted, registry.rollback):
        with pytest.raises(BadAdapter, match="pointer"):
            call("issues")


@pytest.mark.parametrize("task", ["../issues", "a/b", "", "issues\n"])
def test_a_task_that_is_no_name_makes_no_pointer(registry, trained, tmp_path, task):
    with pytest.raises(Misconfigured):
        registry.promoted(task)
    with pytest.raises(Misconfigured):
        registry.publish(trained, **FACTS | {"task": task})


def test_a_link_that_leads_out_is_refused(tmp_path, trained):
    registry = Registry(str(tmp_path / "adapters"), tmp_path / "cache")
    name = registry.publish(trained, **FACTS).id
    weights = tmp_path / "adapters" / name / "adapter_model.safetensors"
    weights.unlink()
    weights.symlink_to(trained / "adapter_model.safetensors")
    with pytest.raises(BadAdapter, match="outside"):
        registry.fetch(name)


def test_a_linked_folder_is_no_adapter_and_survives_pruning(tmp_path, trained):
    registry = Registry(str(tmp_path / "adapters"), tmp_path / "cache")
    names = [registry.publish(trained, **FACTS, data=str(i)).id for i in range(2)]
    elsewhere = tmp_path / "precious"
    (tmp_path / "adapters" / names[0]).rename(elsewhere)
    (tmp_path / "adapters" / names[0]).symlink_to(elsewhere)
    assert registry.prune(1) == [] and (elsewhere / "manifest.json").exists()
    with pytest.raises(BadAdapter, match="outside"):
        registry.fetch(names[0])


def test_a_folder_that_the_user_names_is_held_to_the_same_rules(tmp_path, trained):
    registry = Registry(str(tmp_path / "adapters"), tmp_path / "cache")
    name = registry.publish(trained, **FACTS).id
    folder = tmp_path / "adapters" / name
    (tmp_path / "adapters" / "evil.txt").write_bytes(b"payload")
    check(folder, read_manifest(folder))
    rewrite(registry, name, files={"../evil.txt": hashlib.sha256(b"payload").hexdigest()})
    with pytest.raises(BadAdapter):
        read_manifest(folder)


def test_hidden_files_are_not_published_and_odd_names_are_refused(registry, trained):
    (trained / ".DS_Store").write_bytes(b"x")
    assert set(registry.publish(trained, **FACTS).files) == {"adapter_model.safetensors"}
    (trained / "two words.bin").write_bytes(b"x")
    with pytest.raises(Misconfigured, match="two words"):
        registry.publish(trained, **FACTS, data="again")


def test_a_copy_that_rotted_in_the_cache_is_fetched_anew(tmp_path, trained):
    registry = Registry(f"memory://{tmp_path.name}/rot", tmp_path / "cache")
    name = registry.publish(trained, **FACTS).id
    (registry.fetch(name) / "adapter_model.safetensors").write_bytes(b"rotten")
    assert (registry.fetch(name) / "adapter_model.safetensors").read_bytes() == b"weights"


def test_a_registry_that_is_away_is_told_from_an_adapter_that_is_bad(tmp_path, trained):
    from shared.errors import TemporaryFailure

    registry = Registry(f"memory://{tmp_path.name}/away", tmp_path / "cache")
    name = registry.publish(trained, **FACTS).id
    registry.promote(name)
    registry._fs = Away()
    for call in (registry.fetch, registry.manifest):
        with pytest.raises(TemporaryFailure, match="away"):
            call(name)
    with pytest.raises(TemporaryFailure, match="away"):
        registry.promoted("issues")


class Away(fsspec.AbstractFileSystem):
    """A remote that does not answer: what botocore and aiohttp raise is no OSError."""

    protocol = "away"

    def _open(self, path, *args, **kwargs):  # type: ignore[no-untyped-def]
        raise RuntimeError("the endpoint is away")

    def cat_file(self, path, **kwargs):  # type: ignore[no-untyped-def]
        raise RuntimeError("the endpoint is away")
