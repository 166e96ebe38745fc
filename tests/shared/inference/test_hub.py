"""A preset's models are fetched ahead: from a server that speaks the hub's protocol, or from a folder.

The client is the real one. The server is ours, since hubs are out of a test's reach: it serves tiny
models of the true classes, and cuts a transfer off where it is told to.
"""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from shared.errors import Misconfigured, ModelUnavailable
from shared.inference import hub
from shared.inference.causal import load_base
from shared.inference.emotions import load_emotions
from shared.inference.hub import Wanted
from shared.inference.weights import file_sha256, resolve, verify_folder
from shared.settings import Settings
from tests import tiny

PHI = Wanted("insights", "hub:microsoft/phi-2")
FEELS = Wanted("emotions", "hub:SamLowe/roberta-base-go_emotions")
TEACHER = Wanted("teacher", "hub:TheBloke/Mistral-7B-Instruct-v0.2-GGUF", ("*Q4_K_M.gguf",))
COMMIT = "c0ffee" + "0" * 34


class Hub(ThreadingHTTPServer):
    """The routes that a fetch asks for, over folders ORG/NAME."""

    def __init__(self, root: Path) -> None:
        super().__init__(("127.0.0.1", 0), Route)
        self.root, self.sent, self.lies = root, 0, False
        self.cut_at: dict[str, int] = {}
        self.ranges: list[tuple[str, str]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Route(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0].strip("/")
        if path.startswith("api/models/"):
            return self._listing(path.removeprefix("api/models/"))
        repo, _, rest = path.partition("/resolve/")
        self._file(self.server.root / repo / rest.partition("/")[2])

    def _listing(self, path: str) -> None:
        repo = "/".join(path.split("/")[:2])
        folder = self.server.root / repo
        if not folder.is_dir():
            return self._send(404, b"{}", {"X-Error-Code": "RepoNotFound"})
        files = sorted(p for p in folder.rglob("*") if p.is_file())
        named = [(str(p.relative_to(folder)), p.stat().st_size, file_sha256(p)) for p in files]

        def large(file: str, size: int, sha256: str) -> dict[str, object] | None:
            if not file.endswith((".safetensors", ".gguf")):
                return None  # small files lie in git, without a sha256
            named = "0" * 64 if self.server.lies else sha256
            return {"size": size, "sha256": named, "pointerSize": 134}

        found = {
            "id": repo,
            "sha": COMMIT,
            "cardData": {"license": "mit"},
            "siblings": [{"rfilename": n, "size": s, "lfs": large(n, s, h)} for n, s, h in named],
        }
        self._send(200, json.dumps(found).encode(), {"Content-Type": "application/json"})

    def _file(self, path: Path) -> None:
        if not path.is_file():
            return self._send(404, b"", {"X-Error-Code": "EntryNotFound"})
        whole = path.read_bytes()
        headers = {"ETag": f'"{file_sha256(path)}"', "X-Repo-Commit": COMMIT}
        first, status = 0, 200
        if asked := self.headers.get("Range"):
            self.server.ranges.append((path.name, asked))
            first, status = int(asked.removeprefix("bytes=").split("-")[0]), 206
            headers["Content-Range"] = f"bytes {first}-{len(whole) - 1}/{len(whole)}"
        end = self.server.cut_at.get(path.name, len(whole))
        self._send(status, whole[first:end], headers, length=len(whole) - first)
        if end < len(whole):
            self.close_connection = True

    def _send(
        self,
        status: int,
        body: bytes,
        headers: dict[str, str],
        length: int | None = None,
    ) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)
        self.server.sent += len(body)


@contextmanager
def serving(root: Path) -> Iterator[Hub]:
    server = Hub(root)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def copies(tmp_path: Path) -> Path:
    """ORG/NAME for each model of the preset; beside phi-2's weights a form that we never load."""
    root = tmp_path / "copies"
    for want in (PHI, FEELS, TEACHER):
        (root / want.repo).mkdir(parents=True)
    tiny.causal(root / PHI.repo, "phi")
    (root / PHI.repo / "pytorch_model.bin").write_bytes(b"x" * 1000)
    tiny.roberta(root / FEELS.repo)
    for kind in ("Q4_K_M", "Q8_0"):
        (root / TEACHER.repo / f"mistral.{kind}.gguf").write_bytes(kind.encode())
    return root


def test_the_gpu_preset_names_its_four_models():
    found = hub.wanted(Settings(preset="gpu"))
    assert [w.use for w in found] == ["emotions", "insights", "BERTScore of evaluation", "teacher"]
    assert all(hub.guess(w).size_bytes and hub.guess(w).licence != "unknown" for w in found)


def test_a_model_comes_from_a_mirror_whole_and_without_other_forms(copies, tmp_path):
    with serving(copies) as server:
        offer = hub.offer(PHI, server.url)
        assert offer.licence == "mit" and "pytorch_model.bin" not in offer.files
        size = sum((copies / PHI.repo / f).stat().st_size for f in offer.files)
        assert offer.size_bytes == size
        folder = hub.fetch(PHI, tmp_path / "cache", server.url)
        assert verify_folder(folder) == [] and not (folder / "pytorch_model.bin").exists()
        teacher = hub.fetch(TEACHER, tmp_path / "cache", server.url)
        assert [p.name for p in teacher.glob("*.gguf")] == ["mistral.Q4_K_M.gguf"]
        sent = server.sent
        assert hub.fetch(PHI, tmp_path / "cache", server.url) == folder
        assert server.sent == sent, "what is here is not fetched again"


def test_what_was_fetched_is_what_workers_load_with_no_network(copies, tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    for want in (PHI, FEELS):
        hub.fetch(want, cache, str(copies))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    settings = Settings(
        preset="gpu", device="cpu", cache=cache, home=tmp_path, batch_reviews=4, generate_batch=2
    )
    model, _ = load_base(settings)
    assert type(model).__name__ == "PhiForCausalLM"
    assert len(load_emotions(settings).classify(["The soup was cold."])[0].probabilities) == 28
    assert resolve("hub:" + PHI.repo, cache).is_relative_to(cache)


def test_a_fetch_that_was_cut_off_says_so_and_goes_on_where_it_stopped(copies, tmp_path):
    weights = copies / PHI.repo / "model.safetensors"
    with serving(copies) as server:
        server.cut_at["model.safetensors"] = half = weights.stat().st_size // 2
        with pytest.raises(ModelUnavailable, match="repeat the command to go on"):
            hub.fetch(PHI, tmp_path / "cache", server.url)
        assert verify_folder(hub.folder_of(PHI.source, tmp_path / "cache")) == ["not fetched"]
        server.cut_at.clear()
        server.ranges.clear()
        folder = hub.fetch(PHI, tmp_path / "cache", server.url)
        [(name, asked)] = server.ranges
        start = int(asked.removeprefix("bytes=").split("-")[0])
        assert name == weights.name and half - (1 << 20) <= start <= half, (
            "within a block of the cut"
        )
        assert file_sha256(folder / "model.safetensors") == file_sha256(weights)


def test_a_file_that_is_not_what_the_hub_names_is_removed(copies, tmp_path):
    with serving(copies) as server:
        server.lies = True
        with pytest.raises(ModelUnavailable, match="does not have the sha256"):
            hub.fetch(PHI, tmp_path / "cache", server.url)
        assert not (hub.folder_of(PHI.source, tmp_path / "cache") / "model.safetensors").exists()
        server.lies = False
        assert verify_folder(hub.fetch(PHI, tmp_path / "cache", server.url)) == []


def test_a_copy_that_was_cut_off_goes_on_too(copies, tmp_path):
    folder = hub.folder_of(PHI.source, tmp_path / "cache")
    folder.mkdir(parents=True)
    (folder / "model.safetensors.half").write_bytes(b"a killed copy")
    assert hub.fetch(PHI, tmp_path / "cache", str(copies)) == folder
    assert verify_folder(folder) == [] and not (folder / "model.safetensors.half").exists()


def test_a_hub_clients_cache_is_a_place_as_well(copies, tmp_path):
    kept = tmp_path / "hub" / "models--microsoft--phi-2"
    (kept / "refs").mkdir(parents=True)
    (kept / "refs" / "main").write_text(COMMIT)
    shutil.copytree(copies / PHI.repo, kept / "snapshots" / COMMIT)
    assert verify_folder(hub.fetch(PHI, tmp_path / "cache", str(tmp_path / "hub"))) == []


def test_what_is_not_there_says_where_to_get_it(copies, tmp_path):
    with pytest.raises(ModelUnavailable, match="hf download roberta-large"):
        hub.fetch(Wanted("x", "hub:roberta-large"), tmp_path / "cache", str(copies))
    with pytest.raises(Misconfigured, match="neither a folder nor a URL"):
        hub.fetch(PHI, tmp_path / "cache", str(tmp_path / "nowhere"))
    with serving(copies) as server, pytest.raises(ModelUnavailable, match="--from FOLDER"):
        hub.fetch(Wanted("x", "hub:nobody/nothing"), tmp_path / "cache", server.url)


def test_a_disk_that_is_too_small_is_said_before_anything_is_fetched(copies, tmp_path, monkeypatch):
    full = shutil.disk_usage(tmp_path)._replace(free=1)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: full)
    with pytest.raises(ModelUnavailable, match="GB free; make room, or set BEYOND_CACHE"):
        hub.fetch(PHI, tmp_path / "cache", str(copies))


def test_the_command_lists_fetches_and_verifies_a_preset(copies, tmp_path, processes):
    (copies / "roberta-large").mkdir()
    (copies / "roberta-large" / "model.safetensors").write_bytes(b"x")
    shutil.copytree(
        Settings(preset="laptop").cache / "all-minilm-l6-v2", tmp_path / "c" / "all-minilm-l6-v2"
    )
    where = {"BEYOND_CACHE": str(tmp_path / "c"), "HF_ENDPOINT": "http://127.0.0.1:9"}
    listed = processes.run("models", "list", "--preset", "gpu", **where)
    assert "5,560 MB" in listed.stdout and "Apache-2.0" in listed.stdout, listed
    assert processes.run("models", "verify", "--preset", "gpu", **where).returncode == 1
    done = processes.run("models", "fetch", "--preset", "gpu", "--from", str(copies), **where)
    assert done.returncode == 0 and done.stderr.count("licence") == 4, done.stderr
    verified = processes.run("models", "verify", "--preset", "gpu", **where)
    assert verified.returncode == 0 and verified.stdout.count(": ok") == 5, verified.stdout


def test_the_command_goes_on_where_a_mirror_cut_it_off(copies, tmp_path, processes):
    (copies / "roberta-large").mkdir()
    (copies / "roberta-large" / "model.safetensors").write_bytes(b"x" * 3000)
    wheel = "all-minilm-l6-v2"  # is here already, as after `make install`
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / wheel).symlink_to(Settings(preset="laptop").cache / wheel)
    with serving(copies) as server:
        fetch = ("models", "fetch", "--preset", "gpu", "--from", server.url)
        server.cut_at["model.safetensors"] = cut_bytes = 3 << 20
        cut = processes.run(*fetch, BEYOND_CACHE=str(tmp_path / "c"))
        assert cut.returncode == 2 and "repeat the command to go on" in cut.stderr, cut.stderr
        assert "Traceback" not in cut.stderr
        server.cut_at.clear()
        done = processes.run(*fetch, BEYOND_CACHE=str(tmp_path / "c"))
        assert done.returncode == 0 and done.stderr.count("licence mit") == 4, done.stderr
        [(name, asked)] = server.ranges
        start = int(asked.removeprefix("bytes=").rstrip("-"))
        assert name == "model.safetensors" and cut_bytes - (1 << 20) <= start <= cut_bytes
    hub_folder = tmp_path / "c" / "hub"
    for want in hub.wanted(Settings(preset="gpu")):
        assert verify_folder(hub_folder / want.repo) == [], want
