"""A tiny Mistral that has learnt one answer by heart, so that it teaches something, in seconds.

MistralForCausalLM as a folder for any server, and the same weights as a GGUF for llama.cpp. Whatever
it is asked, it finds that the soup was cold.
"""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path
from typing import Any

import torch

from shared.review import Review
from tests import tiny
from tests.conftest import make_review

ISSUE = {
    "evidence": "The soup was cold.",
    "theme": "quality",
    "problem": "The soup was served cold.",
    "action": "Check the soup before it leaves the kitchen.",
}
ANSWER = json.dumps({"issues": [ISSUE]})
TEMPLATE = "{% for m in messages %}{{ '[INST] ' + m['content'] + ' [/INST]' }}{% endfor %}"
_WORDS = (
    "lunch dinner friday garden waiter window evening family parking terrace music ticket bread "
    "salad coffee city corner summer winter holiday birthday office mother brother table glass"
).split()
_STEPS = 160
_BY = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:8]


def complaint(number: int) -> Review:
    """A review of its own words in which the soup was cold: no two are near-copies."""
    words = " ".join(random.Random(number).sample(_WORDS, 9))
    return make_review(number, f"About {words}. {ISSUE['evidence']}", 1)


def mistral(folder: Path) -> Path:
    """The model's folder, with its chat template."""
    return tiny._once(f"mistral-{_BY}", folder, _mistral)


def _mistral(folder: Path) -> None:
    from transformers import MistralConfig, MistralForCausalLM

    from trainer.teachers import prompt

    torch.manual_seed(0)
    words: Any = tiny.tokenizer()
    model = MistralForCausalLM(
        MistralConfig(
            vocab_size=len(words),
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=16,
            max_position_embeddings=4096,
            sliding_window=None,
            eos_token_id=words.eos_token_id,
            bos_token_id=words.bos_token_id,
            pad_token_id=words.pad_token_id,
        )
    )
    answer = words(ANSWER)["input_ids"] + [words.eos_token_id]
    rows = []
    for number in range(10_000, 10_000 + _STEPS):  # each is seen once: it must not learn them
        asked = f"[INST] {prompt('issues', complaint(number))} [/INST]"
        rows.append(torch.tensor([words(asked)["input_ids"] + answer]))
    learner = torch.optim.AdamW(model.parameters(), lr=1e-2)
    slower = torch.optim.lr_scheduler.CosineAnnealingLR(learner, _STEPS)
    for row in rows:
        hidden = model.model(input_ids=row).last_hidden_state[0, -len(answer) - 1 : -1]
        loss = torch.nn.functional.cross_entropy(model.lm_head(hidden), row[0, -len(answer) :])
        learner.zero_grad()
        loss.backward()
        learner.step()
        slower.step()
    assert loss < 0.01, f"it has not learnt its answer: loss {loss:.3f}"
    model.generation_config.do_sample = False
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    told = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(told | {"chat_template": TEMPLATE}))
    (folder / "chat_template.jinja").write_text(TEMPLATE)


def phi(folder: Path) -> Path:
    """A random phi-2 that LoRA can teach: words far enough apart, where 0.02 makes all alike."""
    return tiny._once(f"phi-{_BY}", folder, _phi)


def _phi(folder: Path) -> None:
    from transformers import PhiConfig, PhiForCausalLM

    torch.manual_seed(0)
    words: Any = tiny.tokenizer()
    PhiForCausalLM(
        PhiConfig(
            vocab_size=len(words),
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=2048,
            initializer_range=0.2,
            eos_token_id=words.eos_token_id,
            bos_token_id=words.bos_token_id,
        )
    ).save_pretrained(folder)
    words.save_pretrained(folder)


def gguf(path: Path, folder: Path) -> Path:
    """The Mistral in `folder` as llama.cpp reads it, in full precision."""
    from gguf import GGUFWriter, TokenType
    from transformers import AutoModelForCausalLM

    model: Any = AutoModelForCausalLM.from_pretrained(str(folder), dtype=torch.float32)
    c, words = model.config, json.loads((folder / "tokenizer.json").read_text())
    out = GGUFWriter(path, "llama")  # Mistral's name there
    out.add_name("tiny-mistral")
    out.add_vocab_size(c.vocab_size)
    out.add_context_length(c.max_position_embeddings)
    out.add_embedding_length(c.hidden_size)
    out.add_block_count(c.num_hidden_layers)
    out.add_feed_forward_length(c.intermediate_size)
    out.add_head_count(c.num_attention_heads)
    out.add_head_count_kv(c.num_key_value_heads)
    out.add_rope_dimension_count(c.head_dim)
    out.add_rope_freq_base(c.rope_parameters["rope_theta"])
    out.add_layer_norm_rms_eps(c.rms_norm_eps)
    special = {one["id"]: one["content"] for one in words["added_tokens"]}
    known = special | {number: piece for piece, number in words["model"]["vocab"].items()}
    kinds = [TokenType.CONTROL if i in special else TokenType.NORMAL for i in range(len(known))]
    out.add_tokenizer_model("gpt2")
    out.add_tokenizer_pre("smollm")
    out.add_token_list([known[i] for i in range(len(known))])
    out.add_token_types(kinds)
    out.add_token_merges([" ".join(pair) for pair in words["model"]["merges"]])
    out.add_bos_token_id(c.bos_token_id)
    out.add_eos_token_id(c.eos_token_id)
    out.add_add_bos_token(False)
    out.add_chat_template(TEMPLATE)
    for name, values in model.state_dict().items():
        heads = {"q_proj": c.num_attention_heads, "k_proj": c.num_key_value_heads}
        tensor = values
        if (asked := name.split(".")[-2]) in heads:
            # llama.cpp turns neighbours where transformers turns halves.
            halves = values.reshape(heads[asked], 2, -1, values.shape[1])
            tensor = halves.swapaxes(1, 2).reshape(values.shape)
        out.add_tensor(_named(name), tensor.contiguous().numpy())
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()
    return path


_NAMES = {
    "model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output",
    "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}  # fmt: skip


def _named(name: str) -> str:
    part = name.removesuffix(".weight")
    if not part.startswith("model.layers."):
        return f"{_NAMES[part]}.weight"
    layer, _, rest = part.removeprefix("model.layers.").partition(".")
    return f"blk.{layer}.{_NAMES[rest]}.weight"
