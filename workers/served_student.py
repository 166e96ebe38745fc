"""ServedStudent: the model on a vLLM server, which loads and drops LoRA adapters while it serves.

The server must be started with --enable-lora and VLLM_ALLOW_RUNTIME_LORA_UPDATING=true, and see the
registry's folder. It does not know which adapter is in force.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path, PurePosixPath

import httpx

from shared.errors import Misconfigured
from shared.inference.adapters import BadAdapter
from shared.inference.served import Refused, ServedModel
from shared.settings import Settings, base_name
from workers.students import PROBE


class ServedStudent:
    """The server's model; an engine is the name to ask it by.

    Any number of workers may tell one server the same: what is loaded already is loaded, what is
    gone already is gone. Ids of adapters are never used again, so a name means one thing.
    """

    bare_first = True
    takes_packaged = False  # the server cannot see it

    def __init__(
        self, settings: Settings, tick: Callable[[], None], model: ServedModel | None = None
    ) -> None:
        self._model, self._tick = model or ServedModel(settings), tick
        self._seen_at = PurePosixPath(settings.openai_adapters)
        self.base_name = base_name(settings)

    def bare(self) -> str:
        """The model that the server was started with."""
        return self._model.model

    def load(self, folder: Path, label: str, current: str) -> str:
        """Have the server load the adapter.

        Raises:
            Misconfigured: it does not load adapters while it serves.
            BadAdapter: it will not load this one.
            TemporaryFailure: it is away, or broke over it.
        """
        where = str(self._seen_at / folder.name)
        answer = self._model.post("load_lora_adapter", {"lora_name": label, "lora_path": where})
        if answer.status_code == 200 or "already been loaded" in answer.text:
            return label
        if answer.status_code in (404, 405) and not _knows_the_route(answer):
            raise Misconfigured(
                f"the server at {self._model.url} does not load adapters while it serves: start "
                "vLLM with --enable-lora and VLLM_ALLOW_RUNTIME_LORA_UPDATING=true, then the workers anew"
            )
        raise BadAdapter(
            f"the server would not load {where}: HTTP {answer.status_code}: {answer.text[:200]}"
        )

    def restore(self, label: str, engine: str) -> None:
        """Nothing: the failed adapter is asked for by nobody, and `probe` has dropped it."""

    def probe(self, engine: str) -> None:
        """It answers a small review.

        Raises:
            BadAdapter: it does not.
            TemporaryFailure: the server is away.
        """
        try:
            said = self._model.ask(PROBE, model=engine, most_tokens=8)
        except Refused as error:
            self._model.post("unload_lora_adapter", {"lora_name": engine})
            raise BadAdapter(f"it does not answer: {error}") from error
        if not said.strip():
            self._model.post("unload_lora_adapter", {"lora_name": engine})
            raise BadAdapter("its answer is empty")


def _knows_the_route(answer: httpx.Response) -> bool:
    """A missing adapter is a 404, too, but vLLM's own says more than the router's."""
    return answer.status_code == 404 and answer.json() != {"detail": "Not Found"}
