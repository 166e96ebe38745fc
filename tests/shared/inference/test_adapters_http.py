"""Nodes that share adapters by URL: a real HTTP server before the folder into which the trainer publishes."""

from __future__ import annotations

import pytest

from shared.errors import Misconfigured, TemporaryFailure
from shared.inference.adapters import BadAdapter, Registry
from tests.conftest import free_port
from tests.servers import file_server
from tests.shared.inference.test_adapters import FACTS


@pytest.fixture
def trainer(tmp_path):  # type: ignore[no-untyped-def]
    return Registry(str(tmp_path / "adapters"), tmp_path / "trainer-cache")


def published(trainer, tmp_path, text):  # type: ignore[no-untyped-def]
    folder = tmp_path / text
    folder.mkdir()
    (folder / "adapter_model.safetensors").write_text(text)
    return trainer.publish(folder, **FACTS).id


def test_two_nodes_see_what_is_promoted_and_rolled_back_and_keep_checked_copies(trainer, tmp_path):
    one, two = published(trainer, tmp_path, "one"), published(trainer, tmp_path, "two")
    with file_server(tmp_path / "adapters") as url:
        nodes = [Registry(url, tmp_path / "a"), Registry(url + "/", tmp_path / "b")]
        assert [node.promoted("issues") for node in nodes] == [None, None]
        assert [m.id for m in nodes[0].all()] == [one, two]
        for name, text in ((one, "one"), (two, "two")):
            trainer.promote(name)
            for node in nodes:
                assert node.promoted("issues") == name
                assert (node.fetch(name) / "adapter_model.safetensors").read_text() == text
        trainer.rollback("issues")
        assert [node.promoted("issues") for node in nodes] == [one, one]
    assert (tmp_path / "a" / "adapters" / two / "manifest.json").exists()


def test_a_file_that_is_not_what_the_manifest_says_is_bad_and_a_server_that_is_gone_is_not(
    trainer, tmp_path
):
    name = published(trainer, tmp_path, "one")
    (tmp_path / "adapters" / name / "adapter_model.safetensors").write_text("two")
    with file_server(tmp_path / "adapters") as url:
        with pytest.raises(BadAdapter, match="corrupt"):
            Registry(url, tmp_path / "a").fetch(name)
        with pytest.raises(BadAdapter, match="missing"):
            Registry(url, tmp_path / "a").fetch(name[:-1] + "0")
    gone = Registry(f"http://127.0.0.1:{free_port()}", tmp_path / "a")
    with pytest.raises(TemporaryFailure, match="cannot be reached"):
        gone.promoted("issues")
    assert not list((tmp_path / "a" / "adapters").iterdir()), "no half copy is left"


def test_what_writes_is_sent_to_the_folder_behind_the_address(trainer, tmp_path):
    one = published(trainer, tmp_path, "one")
    trainer.promote(one)
    trainer.promote(published(trainer, tmp_path, "two"))
    with file_server(tmp_path / "adapters") as url:
        node = Registry(url, tmp_path / "a")
        for write in (
            lambda: node.promote(one),
            lambda: node.rollback("issues"),
            lambda: node.prune(1),
            lambda: published(node, tmp_path, "three"),
        ):
            with pytest.raises(Misconfigured, match="only be read.*BEYOND_ADAPTERS_URL"):
                write()
    assert len(trainer.all()) == 2
