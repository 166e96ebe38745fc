"""Settings: the only reader of the environment (prefix BEYOND_).

Commands that start others hand the environment on; nothing else reads it (tests/test_architecture).
It knows names, types and defaults; it does not connect, load or create anything.
"""

from __future__ import annotations

import secrets
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import ByteSize, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.errors import Misconfigured
from shared.presets import PRESETS
from shared.privacy import REGIONS, Policy
from shared.stream.lua import FEED_ENTRIES

MATCHER_BASE = "all-minilm-l6-v2"  # how manifests call what a matcher (shared/inference/matcher.py) was trained from


class Settings(BaseSettings):
    """Effective settings.

    Durations are in seconds. `preset` fills what the environment leaves unset.
    """

    model_config = SettingsConfigDict(env_prefix="BEYOND_", env_file=".env", extra="ignore")

    preset: Literal["laptop", "gpu"] = "laptop"
    home: Path = Field(
        default_factory=lambda: Path.home() / ".beyond", description="server data, caches, adapters"
    )
    server_config: str = Field(
        default="", description="of the embedded server, beside our own: 'name value;name value'"
    )
    redis_url: SecretStr | None = Field(
        default=None, description="redis://, rediss://, unix://, sentinel://; else embedded"
    )
    role_passwords: dict[str, SecretStr] = Field(
        default={},
        description='of the server\'s users, for `beyond acl`; JSON: {"producer": "..."}',
    )
    database_url: SecretStr | None = Field(
        default=None,
        description="of the record: postgresql://USER:PASSWORD@HOST/DATABASE; else SQLite under HOME",
    )
    cache: Path = Field(
        default_factory=lambda: Path.home() / ".cache" / "beyond-sentiment",
        description="fetched weights",
    )

    emotion_model: str = ""
    insight_writer: Literal["", "matched", "generated"] = Field(
        default="", description="or set BEYOND_INSIGHT_MODEL"
    )
    confidence: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="matched issues are shown from this probability of being right; default: the model's own",
    )
    insight_model: str = Field(
        default="", description="language model of the generated writer, of replies; or none"
    )
    reply_writer: Literal["composed", "generated"] = Field(
        default="composed",
        description="of written parts; or by the language model, composed where the guard holds it",
    )
    insight_adapter: str = Field(
        default="promoted", description="promoted | packaged | none | a folder"
    )
    merge_adapter: bool = Field(
        default=True, description="merge into a copy of the base: faster, needs twice its memory"
    )
    nf4: Literal["auto", "never", "always"] = Field(
        default="auto",
        description="4-bit weights by bitsandbytes; auto: where the GPU's memory is short; adapters stay beside",
    )
    adapters_url: str | None = Field(
        default=None, description="folder or fsspec URL; default: HOME/adapters"
    )
    openai_url: str | None = Field(
        default=None, description="write insights on an OpenAI-compatible server instead"
    )
    openai_model: str = "default"
    openai_key: SecretStr | None = None
    openai_route: Literal["chat", "completions"] = Field(
        default="chat",
        description="completions: the bare prompt, as adapters learned it; for a model without chat template",
    )
    openai_grammar: str = Field(
        default="auto",
        pattern="^(auto|none|vllm-lark|vllm-gbnf|vllm-guided|llama|sglang)$",
        description="how the server takes a grammar; auto: asked once, by a grammar of one odd word",
    )
    openai_adapters: str = Field(
        default="",
        description="vLLM only: folder in which the server itself finds the registry's adapters; "
        "promoted ones are loaded while it serves. Empty: openai_model as it is",
    )
    openai_seconds: float = Field(
        default=120, gt=0, description="one request may take this long, and 0.8 of HANG_SECONDS"
    )
    device: str = ""
    device_share: float = Field(1, gt=0, le=1, description="of the GPU's memory, a worker's")
    threads: int = Field(default=0, ge=0, description="CPU threads per worker; 0: all cores")

    max_queued: int = Field(
        default=1_000_000, ge=1, description="reviews waiting before intake says Overloaded"
    )
    batch_reviews: int = Field(default=0, ge=0, description="live jobs that run as one batch")
    chunk_reviews: int = Field(default=64, ge=1, le=1000, description="reviews per backfill job")
    generate_batch: int = Field(
        default=0,
        ge=0,
        description="reviews that generate together, or are in flight at BEYOND_OPENAI_URL",
    )
    linger_seconds: float = Field(
        default=0.01, ge=0, le=1, description="wait for more jobs when idle"
    )
    lease_seconds: int = Field(
        default=20, ge=2, description="a silent worker's jobs restart after this"
    )
    hang_seconds: int = Field(
        default=300, ge=1, description="one model call may take this long; then the worker exits"
    )
    emotion_tokens: int = Field(default=1024, ge=64, description="padded tokens per emotion batch")

    teacher: str = Field(
        default="gguf:hub:TheBloke/Mistral-7B-Instruct-v0.2-GGUF",
        description="or openai:URL, file:PATH",
    )
    # Four: what small servers work on at once; then a call waits for no other within its time limit.
    # Hosted teachers take 32 and more.
    teacher_parallel: int = Field(
        default=4, ge=1, le=256, description="reviews an openai: teacher is asked at once"
    )
    teacher_price: str = Field(
        default="",
        pattern=r"^(\d+(\.\d+)?(,\d+(\.\d+)?)?)?$",
        description="per million tokens: PRICE, or PROMPT,ANSWER; in your currency",
    )
    bertscore_model: str = ""
    bleurt_checkpoint: str = Field(
        default="", description="folder or hub:ORG/NAME of a PyTorch BLEURT checkpoint"
    )

    redact: bool = Field(
        default=True,
        description="intake replaces e-mail addresses, phone and card numbers in texts",
    )
    phone_regions: str = Field(
        default=",".join(REGIONS),
        pattern=r"^[A-Z]{2}(,[A-Z]{2})*$",
        description="countries whose phone numbers are found without their prefix",
    )

    categories: dict[str, str] = Field(
        default={},
        description='trade of a source\'s reviews, JSON: {"yelp": "food"}; food, lodging, product, clothing, '
        "attraction, travel, app, service",
    )
    webhook_secret: SecretStr | None = Field(
        default=None, description="whsec_...; Standard Webhooks"
    )
    webhook_token: SecretStr | None = Field(default=None, description="bearer token")
    platforms: Path | None = Field(
        default=None,
        description="folder of your own platforms (NAME.toml) and NAME.secret files; read again as they change",
    )
    platform_secrets: dict[str, list[SecretStr]] = Field(
        default={}, description='JSON: {"judgeme": ["new secret", "old secret"]}'
    )
    sources: Path | None = Field(None, description="pull sources (TOML); none: HOME/sources.toml")
    source_secrets: dict[str, SecretStr] = Field(
        default={}, description='JSON: {"our-blog": "token"}; or secret_file in the file of sources'
    )
    tenants: dict[str, dict[str, list[SecretStr]]] = Field(
        default={},
        description="secrets that write one business's reviews alone, JSON: "
        '{"Harbour Grill": {"token": ["..."], "webhook": ["whsec_..."], "judgeme": ["..."]}}',
    )
    webhook_max_bytes: int = Field(default=256 * 1024, ge=1024)
    webhook_waiting: int = Field(
        default=200, ge=1, description="deliveries at work at once; more are answered 503"
    )
    webhook_seconds: float = Field(
        default=10,
        gt=0,
        description="a request's headers must arrive within; then its body again",
    )
    webhook_address_rate: float = Field(
        default=100, ge=0, description="requests per second of one address, 10 s at once; 0: any"
    )
    webhook_source_rate: float = Field(
        default=500, ge=0, description="the same of one platform, genuine ones only"
    )
    trusted_proxies: str = Field(
        default="",
        description="addresses or networks, comma-separated, whose X-Forwarded-For is believed",
    )
    durable_seconds: float = Field(
        default=5, gt=0, description="how long a 202 may wait for the disk"
    )
    record: bool = Field(
        default=True, description="`beyond work` keeps the record for reading up to date as well"
    )
    feed_entries: int = Field(
        default=FEED_ENTRIES,
        ge=1000,
        description="changes that the feed keeps; a reader further behind starts over",
    )
    metrics_port: int | None = None
    alerts: Path | None = Field(
        default=None, description="rules and targets (docs/ALERTS.md); default: HOME/alerts.toml"
    )
    keep_days: int | None = Field(
        default=None, ge=1, description="reviews written longer ago are removed; default: keep all"
    )
    max_memory: ByteSize | None = Field(
        default=None,
        description="e.g. 8GB: intake refuses past it; else at 90% of the server's own",
    )
    log_format: Literal["console", "json"] = "console"
    log_level: str = "INFO"

    @cached_property
    def author_key(self) -> bytes:
        """32 random bytes of this installation, made on first use: authors are stored as hashes keyed with it."""
        path = self.home / "author.key"
        if not path.exists():
            self.home.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600, exist_ok=True)
            if not path.read_bytes():
                path.write_bytes(secrets.token_bytes(32))
        return path.read_bytes()

    @property
    def privacy(self) -> Policy:
        """What intake redacts (shared/privacy.py)."""
        return Policy(self.redact, tuple(self.phone_regions.split(",")))

    def model_post_init(self, _context: Any) -> None:
        """Fill in the preset's values for whatever neither the environment nor the caller has set."""
        for name, value in PRESETS[self.preset].items():
            if name not in self.model_fields_set:
                object.__setattr__(self, name, value)
        if (
            "insight_model" in self.model_fields_set
            and "insight_writer" not in self.model_fields_set
        ):
            object.__setattr__(
                self, "insight_writer", "generated"
            )  # who names a language model wants it to write

    def shown(self) -> dict[str, str]:
        """Every setting as text, secrets masked; a URL's password too."""
        out = {}
        for name in type(self).model_fields:
            value = getattr(self, name)
            if name == "redis_url" and value is not None:
                url = value.get_secret_value()
                value = (
                    url if "@" not in url else url.split("//")[0] + "//***@" + url.rsplit("@", 1)[1]
                )
            out[name] = "" if value is None else str(value)
        return out


def load_settings(**overrides: Any) -> Settings:
    """Read the environment once.

    Raises:
        Misconfigured: a variable has the wrong form; the text names it.
    """
    try:
        return Settings(**overrides)
    except ValidationError as error:
        lines = [
            f"BEYOND_{'_'.join(map(str, e['loc'])).upper()}: {e['msg']} (got {e['input']!r})"
            for e in error.errors()
        ]
        raise Misconfigured(
            "bad settings; set these environment variables right:\n  " + "\n  ".join(lines)
        ) from None


def base_name(settings: Settings) -> str:
    """How manifests call the language model: its source without kind or folder, e.g. `smollm2-135m-instruct`, `phi-2`."""
    return (
        settings.insight_model.rsplit(":", 1)[-1]
        .rstrip("/")
        .rsplit("/", 1)[-1]
        .partition("@")[0]
        .lower()
    )
