from __future__ import annotations

import pytest

from shared.errors import Misconfigured
from trainer.sources import Recorded, Taught, open_source


class Unread:
    """A store that must not be read."""

    def all(self):  # type: ignore[no-untyped-def]
        raise AssertionError("a mistyped teacher was found out only after the store was read")


@pytest.mark.parametrize(
    "spec, says",
    [
        ("magic:x", "file:PATH, gguf:PATH_OR_HUB_ID or openai:URL"),
        ("mistral", "file:PATH, gguf:PATH_OR_HUB_ID or openai:URL"),
        ("gguf:/nowhere/mistral.gguf", "does not exist"),
        ("openai:localhost:8000", "http://"),
        ("file:nowhere.jsonl", "no such labels file"),
    ],
)
def test_a_mistyped_teacher_is_found_before_the_store_is_read(settings, spec, says):
    with pytest.raises(Misconfigured, match=says):
        open_source(spec, "issues", settings, Unread()).choose(10)  # type: ignore[arg-type]


def test_the_error_offers_only_what_is_taken(settings):
    """make_teacher used to refuse file: with an error that offered file:."""
    with pytest.raises(Misconfigured) as wrong:
        open_source("?", "issues", settings, Unread())  # type: ignore[arg-type]
    offered = [part.split(":")[0] for part in str(wrong.value).split("use ")[1].split(" ")]
    for kind in {"file", "gguf", "openai"} & set(offered):
        rest = "http://127.0.0.1:9/v1" if kind == "openai" else "hub"
        found = open_source(f"{kind}:{rest}", "issues", settings, Unread())  # type: ignore[arg-type]
        assert isinstance(found, Recorded if kind == "file" else Taught)
    assert {"file", "gguf", "openai"} <= set(offered)
