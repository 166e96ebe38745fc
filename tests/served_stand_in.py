"""A stand-in for servers that cannot run here: vLLM's completions, grammar and LoRA routes, and how servers fail.

It plays the other side over real HTTP; nothing of ours is in it. What it does with a request is
said by words in the review: SLOW takes `slow_seconds`, BREAKS is a 500, DROPS closes the
connection, HUGE is a 400.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.random_speech import RandomSpeech


class StandIn(ThreadingHTTPServer):
    """Its state may be changed while it runs.

    Attributes:
        grammar: the field it takes grammars by; "": ignores all, as servers without grammar do.
        adapters: LoRA adapters loaded; None: VLLM_ALLOW_RUNTIME_LORA_UPDATING is not set.
        busy: so many further requests are answered 429, with `retry_after`.
        broken: the status of every answer; 0: none.
        says: prompt -> what it says where no grammar tells.
        gates: text in a prompt -> the answer waits for this event.
    """

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Answers)
        self.speech, self.lock = RandomSpeech(), threading.Lock()
        self.grammar, self.broken, self.slow_seconds = "structured_outputs", 0, 1.0
        self.adapters: dict[str, str] | None = {}
        self.busy, self.retry_after = 0, "1"
        self.gates: dict[str, threading.Event] = {}
        self.asked: list[dict[str, Any]] = []
        self.log: list[tuple[str, str]] = []
        self.flying, self.most_flying = 0, 0
        self.says: Callable[[str], str] = lambda prompt: "I am sorry to hear that."
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        """As BEYOND_OPENAI_URL wants it."""
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def stop(self) -> None:
        """Gone: connections are refused."""
        self.shutdown()
        self.server_close()


class _Answers(BaseHTTPRequestHandler):
    server: StandIn
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        route = self.path.removeprefix("/v1/")
        if "lora" in route:
            return self._lora(route, asked)
        with self.server.lock:
            self.server.asked.append(asked)
            self.server.flying += 1
            self.server.most_flying = max(self.server.most_flying, self.server.flying)
        try:
            self._complete(route, asked)
        finally:
            with self.server.lock:
                self.server.flying -= 1

    def _complete(self, route: str, asked: dict[str, Any]) -> None:
        server = self.server
        prompt = asked.get("prompt") or asked["messages"][0]["content"]
        with server.lock:
            busy, server.busy = server.busy > 0, max(0, server.busy - 1)
        if busy:
            return self._send(429, {"error": "busy"}, {"retry-after": server.retry_after})
        if server.broken or "BREAKS" in prompt:
            return self._send(server.broken or 500, {"error": "internal"})
        if "HUGE" in prompt:
            return self._send(400, {"error": "maximum context length"})
        if "DROPS" in prompt:
            self.close_connection = True
            return None
        for word, gate in server.gates.items():
            if word in prompt:
                gate.wait(60)
        if "SLOW" in prompt:
            time.sleep(server.slow_seconds)
        if asked["model"] not in ("base", "default", *(server.adapters or ())):
            return self._send(404, {"error": {"message": "The model does not exist."}})
        held = asked.get(server.grammar)
        grammar = held["grammar"] if isinstance(held, dict) else held
        try:
            with server.lock:
                text, ended = (
                    server.speech.say(grammar, asked["max_tokens"], len(server.asked))
                    if grammar
                    else (server.says(prompt), True)
                )
        except ValueError as error:
            return self._send(400, {"error": f"bad grammar: {error}"})
        choice = {"finish_reason": "stop" if ended else "length", "text": text}
        if route == "chat/completions":
            choice["message"] = {"content": choice.pop("text")}  # type: ignore[assignment]
        return self._send(200, {"choices": [choice]})

    def _lora(self, route: str, asked: dict[str, Any]) -> None:
        server, name = self.server, asked["lora_name"]
        if server.adapters is None:
            return self._send(404, {"detail": "Not Found"})
        server.log.append((route, name))
        if route == "load_lora_adapter":
            if name in server.adapters:
                return self._send(
                    400, {"message": f"The lora adapter '{name}' has already been loaded."}
                )
            if not (Path(asked["lora_path"]) / "adapter_config.json").exists():
                return self._send(404, {"message": f"No adapter found for {asked['lora_path']}"})
            server.adapters[name] = asked["lora_path"]
        elif server.adapters.pop(name, None) is None:
            return self._send(404, {"message": "cannot be found"})
        return self._send(200, {"message": "Success"})

    def _send(self, code: int, body: Any, headers: dict[str, str] | None = None) -> None:
        data = json.dumps(body).encode()
        try:
            self.send_response(code)
            for key, value in ((headers or {}) | {"content-length": str(len(data))}).items():
                self.send_header(key, value)
            self.end_headers()
            self.wfile.write(data)
        except OSError:
            pass  # whoever asked has left

    def log_message(self, *_: object) -> None:
        pass
