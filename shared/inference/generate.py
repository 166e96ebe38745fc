"""Batched greedy decoding on a causal language model: shared-prefix KV, length-sorted batches, grammar, early stop.

One engine for workers, evaluation and `beyond write`, so that what is measured is what is served.
The instruction that all prompts share is run once per batch size; rows that have ended leave the
batch; logits are computed for the last position only. Cost: one forward per batch for the prompts,
then one per token of the longest answer. It does not know reviews, prompts or Redis.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from typing import Any

import torch

from shared.inference.batching import token_batches
from shared.inference.cache import roomy_cache
from shared.inference.grammar import IssueGrammar, Vocabulary


class Generator:
    """Greedy decoding with one model and tokenizer.

    Args:
        model: a transformers causal LM in eval mode, on its device, in its dtype.
        tokenizer: its tokenizer.
        most_rows: rows that generate together.
        prompt_tokens: padded prompt tokens that are run together.
        tick: called after every forward pass, so that a watchdog sees progress.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        most_rows: int = 32,
        prompt_tokens: int = 16384,
        tick: Callable[[], None] = lambda: None,
    ) -> None:
        self.model, self.tokenizer = model, tokenizer
        self._most_rows, self._prompt_tokens, self._tick = most_rows, prompt_tokens, tick
        self._fitting_rows = most_rows  # fewer once memory was short
        self._prefix: dict[str, list[tuple[torch.Tensor, torch.Tensor]]] = {}
        self._vocabulary: Vocabulary | None = None
        self._end_ids = _end_ids(model, tokenizer)
        self.tokens_out = 0

    @property
    def vocabulary(self) -> Vocabulary:
        """The tokenizer as the grammar reads it, made on first use (0.5 s).

        Raises:
            ModelUnavailable: it is not a fast tokenizer.
        """
        if self._vocabulary is None:
            size = self.model.config.get_text_config().vocab_size
            self._vocabulary = Vocabulary(self.tokenizer, size, self._end_ids)
        return self._vocabulary

    @property
    def context(self) -> int:
        """Tokens of prompt and answer that the model was made for."""
        config = self.model.config.get_text_config()
        return int(getattr(config, "max_position_embeddings", None) or 1_000_000)

    def count(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text."""
        ids = self.tokenizer(list(texts), add_special_tokens=False)["input_ids"] if texts else []
        return [len(one) for one in ids]

    def run(
        self,
        prefix: str,
        prompts: Sequence[str],
        *,
        max_new_tokens: int,
        fenced: Sequence[str] | None = None,
        end_line: bool = False,
    ) -> list[str]:
        """Continue every prompt.

        Args:
            prefix: text before all prompts; may be empty.
            prompts: what follows it, one per row.
            max_new_tokens: cut an answer there.
            fenced: the fenced review of each prompt: answers then obey the `issues` grammar.
            end_line: stop at the first newline.

        Returns:
            The answers, same order, end token stripped.

        Raises:
            torch.OutOfMemoryError: not even one row fits.
        """
        ids = [self.tokenizer(p, add_special_tokens=False)["input_ids"] for p in prompts]
        out = [""] * len(prompts)
        for batch in token_batches([len(i) for i in ids], self._prompt_tokens, self._most_rows):
            reviews = [fenced[i] for i in batch] if fenced is not None else None
            texts = self._in_memory(
                prefix, [ids[i] for i in batch], reviews, max_new_tokens, end_line
            )
            for i, text in zip(batch, texts, strict=True):
                out[i] = text
        return out

    def _in_memory(
        self,
        prefix: str,
        ids: list[list[int]],
        reviews: list[str] | None,
        limit: int,
        end_line: bool,
    ) -> list[str]:
        """Run rows, as many together as the device's memory was seen to hold."""
        out: list[str] = []
        while len(out) < len(ids):
            part = slice(len(out), len(out) + self._fitting_rows)
            grammars = (
                [IssueGrammar(self.vocabulary, r) for r in reviews[part]]
                if reviews is not None
                else None
            )
            try:
                out += self._batch(prefix, ids[part], grammars, limit, end_line)
                continue
            except torch.OutOfMemoryError:
                tried = len(ids[part])
            # Outside of `except`: until there the exception's frames hold the failed batch's cache.
            gc.collect()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            if tried == 1:
                raise torch.OutOfMemoryError("not even one row fits into the device's memory")
            self._fitting_rows = tried // 2
        return out

    @torch.inference_mode()
    def _batch(
        self,
        prefix: str,
        ids: list[list[int]],
        grammars: list[IssueGrammar] | None,
        limit: int,
        end_line: bool,
    ) -> list[str]:
        device, rows = self.model.device, len(ids)
        cache, prefix_len = self._expanded(prefix, rows)
        width = max(map(len, ids))
        pad = (
            self.tokenizer.pad_token_id
            if self.tokenizer.pad_token_id is not None
            else self.tokenizer.eos_token_id
        )
        inputs = torch.tensor([[pad] * (width - len(i)) + i for i in ids], device=device)
        mask = torch.tensor(
            [[1] * prefix_len + [0] * (width - len(i)) + [1] * len(i) for i in ids], device=device
        )
        positions = (mask.cumsum(1) - 1).clamp(min=0)[:, prefix_len:]
        answers: list[list[int]] = [[] for _ in ids]
        live = list(range(rows))  # the row of `answers` that each batch row writes
        newline = (
            self.tokenizer("\n", add_special_tokens=False)["input_ids"][-1] if end_line else None
        )
        for _ in range(limit):
            logits = self.model(
                input_ids=inputs,
                attention_mask=mask,
                position_ids=positions,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            ).logits[:, -1]
            speaking = [grammars[row] for row in live] if grammars else None
            chosen = self._choose(logits, speaking)
            self._tick()
            keep = []
            for at, (row, token) in enumerate(zip(live, chosen, strict=True)):
                if token in self._end_ids or (token == newline and answers[row]):
                    continue
                answers[row].append(token)
                if speaking:
                    speaking[at].advance(token)
                    if speaking[at].done:
                        continue
                keep.append(at)
            self.tokens_out += len(chosen)
            if not keep:
                break
            inputs = torch.tensor([[t] for t in chosen], device=device)
            positions = positions[:, -1:] + 1
            mask = torch.cat([mask, mask.new_ones(len(live), 1)], dim=1)
            if len(keep) < len(live):  # one copy of the cache
                index = torch.tensor(keep, device=device)
                cache.batch_select_indices(index)
                live, inputs, mask, positions = (
                    [live[k] for k in keep],
                    inputs[index],
                    mask[index],
                    positions[index],
                )
        if grammars:
            # The limit may cut an answer: then what is whole is the answer.
            for row in live:
                answers[row] = answers[row][: grammars[row].whole]
        return [
            self.tokenizer.decode(a, skip_special_tokens=True, clean_up_tokenization_spaces=False)
            for a in answers
        ]

    def _expanded(self, prefix: str, rows: int) -> tuple[Any, int]:
        """A cache that holds the prefix for `rows` rows, and the prefix's length in tokens."""
        cache = roomy_cache()
        if not prefix:
            return cache, 0
        if prefix not in self._prefix:
            ids = self.tokenizer(prefix, add_special_tokens=False, return_tensors="pt")[
                "input_ids"
            ].to(self.model.device)
            ran = self.model(input_ids=ids, use_cache=True, logits_to_keep=1).past_key_values
            self._tick()
            self._prefix[prefix] = [(layer.keys, layer.values) for layer in ran.layers]
        kept = self._prefix[prefix]
        for number, (keys, values) in enumerate(kept):
            cache.update(keys.expand(rows, -1, -1, -1), values.expand(rows, -1, -1, -1), number)
        return cache, kept[0][0].shape[2]

    def _choose(self, logits: torch.Tensor, grammars: list[IssueGrammar] | None) -> list[int]:
        """Greedy choice per row among the tokens its grammar allows."""
        if grammars:
            # On CUDA `logits` are still being computed while the masks are made.
            allowed = torch.from_numpy(self.vocabulary.masks(grammars)).to(logits.device)
            logits.masked_fill_(~allowed[:, : logits.shape[1]], -torch.inf)
        # Of equals the first, as by `argmax`, which takes four times as long in bf16 on a CPU.
        chosen: list[int] = logits.max(-1).indices.tolist()
        return chosen


def _end_ids(model: Any, tokenizer: Any) -> set[int]:
    """Tokens that end an answer, by the tokenizer and by the model's own configuration."""
    named = model.generation_config.eos_token_id if model.generation_config else None
    return {tokenizer.eos_token_id, *(named if isinstance(named, list) else [named])} - {None}
