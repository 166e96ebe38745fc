"""An ONNX model that reads each row alone: what it says of a row cannot depend on the row's neighbours.

Dynamic int8 quantisation takes one scale for a whole tensor of activations, so in a batch a row's
result moves with its neighbours and with the padding (measured: 102 of 330 reviews got other
issues alone than together). Here a row is a batch of its own, unpadded, on one thread; the rows of
a call are spread over threads, which onnxruntime runs without Python's lock. Nothing is padded, so
nothing is wasted. It does not know texts, labels or reviews.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

Row = dict[str, Sequence[int]]


class RowModel:
    """Runs rows of token ids through a model, each alone.

    Args:
        path: the ONNX file; its inputs are int64 [1, tokens], named as the rows' entries.
        threads: rows that run at a time; 0: one a core.
        tick: called after every row, so that a watchdog sees progress.

    Raises:
        Whatever onnxruntime raises for a file that is none.
    """

    def __init__(
        self, path: Path, threads: int = 0, tick: Callable[[], None] = lambda: None
    ) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
        self._names = [one.name for one in self._session.get_inputs()]
        self._pool = ThreadPoolExecutor(threads or os.cpu_count() or 1)
        self._tick = tick

    def run(self, rows: Sequence[Row]) -> list[list[np.ndarray]]:
        """Outputs of each row, in order, without the leading axis of 1."""
        # Longest first: the last rows to finish are short ones, and no thread waits for a long one.
        order = sorted(range(len(rows)), key=lambda i: -len(rows[i][self._names[0]]))
        out: list[list[np.ndarray]] = [[] for _ in rows]
        for index, found in zip(
            order, self._pool.map(self._one, [rows[i] for i in order]), strict=True
        ):
            out[index] = found
            self._tick()
        return out

    def _one(self, row: Row) -> list[np.ndarray]:
        feed = {name: np.asarray([row[name]], dtype=np.int64) for name in self._names}
        return [found[0] for found in self._session.run(None, feed)]
