"""Language models that answer reviews (BEYOND_REPLY_WRITER=generated): in this process, or behind a server.

What they say is raw; replies.py judges it. They do not know queues or where drafts go.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from shared.inference.prompts import TASKS, build
from shared.inference.served import Refused, ServedModel
from shared.review import Analysis, Review
from shared.settings import Settings, base_name

_TASK = TASKS["reply"]
Pair = tuple[Review, Analysis]


class LocalReplies:
    """The language model of the settings with the adapter promoted for `reply`, else the packaged one."""

    def __init__(self, settings: Settings, tick: Callable[[], None]) -> None:
        from shared.inference.answer import answerer
        from workers.write_command import adapter_folder

        folder = adapter_folder("default", _TASK.name, settings)
        self._answer = answerer(folder, _TASK.name, settings, tick=tick)
        self.name = folder.name if folder else base_name(settings)

    def answer(self, pairs: Sequence[Pair]) -> list[str]:
        """One raw answer per review, same order; one forward pass a token for all together."""
        present = [analysis.emotions.present for _, analysis in pairs]
        return self._answer([review for review, _ in pairs], present)


class ServedReplies:
    """The model behind BEYOND_OPENAI_URL; at most `generate_batch` requests are in flight."""

    def __init__(self, settings: Settings, tick: Callable[[], None]) -> None:
        self._model, self._tick = ServedModel(settings), tick
        self.name = settings.openai_model
        self._pool = ThreadPoolExecutor(max(1, settings.generate_batch), "replies")

    def answer(self, pairs: Sequence[Pair]) -> list[str]:
        """One raw answer per review, same order; "" where the server refuses this one.

        Raises:
            TemporaryFailure: the server is away.
        """
        out = []
        for said in self._pool.map(self._one, pairs):
            self._tick()
            out.append(said)
        return out

    def _one(self, pair: Pair) -> str:
        review, analysis = pair
        instruction, rest = build(_TASK, review, analysis.emotions.present)
        try:
            return self._model.ask(
                instruction + rest, model=self._model.model, most_tokens=_TASK.max_new_tokens
            )
        except Refused:
            return ""
