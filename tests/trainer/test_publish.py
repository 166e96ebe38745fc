"""`beyond publish` against a local stand-in of the hub's API: real client, real HTTP, real
files."""

from __future__ import annotations

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from shared.errors import Misconfigured, TemporaryFailure
from shared.inference.adapters import BadAdapter, Registry
from trainer.publish import card, publish


class Hub(BaseHTTPRequestHandler):
    """The calls that an upload makes: create the repository, ask how to upload each file,
    commit."""

    files: dict[str, bytes] = {}
    refuse = 0

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.refuse or self.headers.get("Authorization") != "Bearer good":
            return self.answer(self.refuse or 401, {"error": "no"})
        if self.path.endswith("/repos/create"):
            return self.answer(200, {"url": f"http://{self.headers['Host']}/me/adapter"})
        if "/preupload/" in self.path:
            names = [f["path"] for f in json.loads(body)["files"]]
            return self.answer(
                200,
                {
                    "files": [
                        {"path": n, "uploadMode": "regular", "shouldIgnore": False} for n in names
                    ]
                },
            )
        if "/commit/" in self.path:
            for line in body.decode().splitlines():
                item = json.loads(line)
                if item["key"] == "file":
                    self.files[item["value"]["path"]] = base64.b64decode(item["value"]["content"])
            return self.answer(
                200,
                {
                    "commitUrl": f"http://{self.headers['Host']}/me/adapter/commit/abc",
                    "commitOid": "abc",
                    "success": True,
                },
            )
        return self.answer(200, {})

    def do_GET(self) -> None:
        self.answer(200, {"id": "me/adapter", "sha": "abc", "siblings": [], "private": True})

    def answer(self, status: int, body: dict[str, object]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hub():  # type: ignore[no-untyped-def]
    Hub.files, Hub.refuse = {}, 0
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture
def registry(tmp_path):  # type: ignore[no-untyped-def]
    folder = tmp_path / "trained"
    folder.mkdir()
    (folder / "adapter_config.json").write_text("{}")
    (folder / "adapter_model.safetensors").write_bytes(b"weights")
    made = Registry(str(tmp_path / "registry"), tmp_path / "cache")
    facts = {
        "task": "issues",
        "prompt_version": "issues-1",
        "base": "phi-2",
        "scores": {"issue_f1": 0.5},
        "data": "gold",
        "licence": "CC0",
    }
    made.publish(folder, **facts)
    return made


def test_adapter_and_card_arrive_whole(hub, registry):
    name = registry.all()[0].id
    url = publish(registry, name, "me/adapter", endpoint=hub, token="good")
    assert "commit/abc" in url
    assert Hub.files["adapter_model.safetensors"] == b"weights" and set(Hub.files) >= {
        "README.md",
        "manifest.json",
        "adapter_config.json",
    }
    assert "issue_f1 | 0.5" in card(registry.all()[0]) and "CC0" in Hub.files["README.md"].decode()


def test_refusals_and_outages_are_told_apart(hub, registry):
    name = registry.all()[0].id
    with pytest.raises(Misconfigured, match="HF_TOKEN"):
        publish(registry, name, "me/adapter", endpoint=hub, token="bad")
    with pytest.raises(Misconfigured):
        publish(registry, name, "not a/good name/", endpoint=hub, token="good")
    with pytest.raises(TemporaryFailure):
        publish(registry, name, "me/adapter", endpoint="http://127.0.0.1:9", token="good")
    with pytest.raises(BadAdapter, match="missing"):
        publish(registry, "issues-gone", "me/adapter", endpoint=hub, token="good")
