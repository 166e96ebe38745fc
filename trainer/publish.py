"""`beyond publish REPO`: an adapter and its model card to a model hub.

It does not know training.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from shared.errors import Misconfigured, TemporaryFailure
from shared.inference.adapters import Manifest, Registry

# What hub and card call the bases that we know; any other is named as the manifest names it.
_HUB_BASES = {
    "smollm2-135m-instruct": "HuggingFaceTB/SmolLM2-135M-Instruct",
    "phi-2": "microsoft/phi-2",
}


def card(manifest: Manifest) -> str:
    """The model card (README.md) of an adapter: data, licence, task, scores."""
    scores = "\n".join(f"| {name} | {value} |" for name, value in sorted(manifest.scores.items()))
    tasks = {manifest.task: manifest.prompt_version} | manifest.also
    return f"""---
base_model: {_HUB_BASES.get(manifest.base, manifest.base)}
library_name: peft
tags: [lora, beyond-sentiment, {manifest.task}]
---
# {manifest.id}

LoRA adapter of [{manifest.base}] for Beyond Sentiment. Tasks and prompt versions: {tasks}.
It reads customer reviews and writes drafts for a business to check; it can be wrong and must not publish by itself.

- Training data: {manifest.data or "not stated"}
- Licence: {manifest.licence or "not stated"}
- Created: {manifest.created_at:%Y-%m-%d}

| measure on the fixed holdout | value |
|---|---|
{scores}
"""


def publish(
    registry: Registry,
    name: str,
    repo: str,
    *,
    endpoint: str | None = None,
    token: str | None = None,
) -> str:
    """Upload an adapter with its card; returns the commit's URL.

    Args:
        registry: where the adapter is.
        name: its id.
        repo: ORG/NAME on the hub; created (private) where it does not exist.
        endpoint: another hub than the default one.
        token: access token; default: what `huggingface-cli login` stored, or HF_TOKEN.

    Raises:
        BadAdapter: there is no such adapter or it is corrupt.
        Misconfigured: the hub refuses (no token, no right, bad name).
        TemporaryFailure: the hub cannot be reached.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    folder, manifest = registry.fetch(name), registry.manifest(name)
    api: Any = HfApi(endpoint=endpoint, token=token)
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / "adapter"
        shutil.copytree(folder, copy)
        (copy / "README.md").write_text(card(manifest))
        try:
            _create(api, repo)
            done = api.upload_folder(
                repo_id=repo, folder_path=str(copy), commit_message=f"Adapter {manifest.id}"
            )
        except HFValidationError as error:
            raise Misconfigured(f"{repo}: {error}") from None
        except HfHubHTTPError as error:
            status = error.response.status_code if error.response is not None else 0
            kind = TemporaryFailure if status >= 500 else Misconfigured
            raise kind(
                f"the hub refused to publish to {repo}: {error}; check HF_TOKEN and the repository's name"
            ) from error
        except Exception as error:  # connection errors of whatever HTTP library the client uses
            raise TemporaryFailure(
                f"the hub cannot be reached: {type(error).__name__}: {error}"
            ) from error
    return str(getattr(done, "commit_url", done))


def _create(api: Any, repo: str) -> None:
    """Create the repository unless it exists.

    The client's own `exist_ok` hides a refusal on hubs other than the default.
    """
    from huggingface_hub.errors import HfHubHTTPError

    try:
        api.create_repo(repo, private=True)
    except HfHubHTTPError as error:
        if error.response is None or error.response.status_code != 409:
            raise
