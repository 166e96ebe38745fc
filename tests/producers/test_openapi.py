"""The webhook against its own description: schemathesis makes requests of it, right and wrong; none may be a 5xx."""

from __future__ import annotations

import pytest
import schemathesis
from hypothesis import HealthCheck, given
from hypothesis import settings as bounded
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from pydantic import SecretStr
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error

from producers.webhook import create_app
from shared.settings import Settings
from shared.stream.broker import connect, release
from tests.conftest import CACHE


@pytest.fixture(scope="module")
def described(tmp_path_factory):  # type: ignore[no-untyped-def]
    home = tmp_path_factory.mktemp("openapi")
    settings = Settings(
        home=home,
        cache=CACHE,
        webhook_token=SecretStr("secret"),
        platform_secrets={"judgeme": [SecretStr("hush")], "trustpilot": [SecretStr("hush")]},
        webhook_address_rate=0,
        webhook_source_rate=0,
    )
    yield schemathesis.openapi.from_asgi("/openapi.json", create_app(settings, connect(settings)))
    release(home)


def statuses(operation, mode):  # type: ignore[no-untyped-def]
    """Answers to thirty requests of one operation, half of them with a token."""
    seen = []

    @bounded(max_examples=30, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode), told=st.booleans())
    def probe(case, told):  # type: ignore[no-untyped-def]
        token = {"Authorization": "Bearer secret"} if told else {}
        answer = case.call(headers={**dict(case.headers or {}), **token})
        case.validate_response(answer, checks=[not_a_server_error])
        seen.append(answer.status_code)

    probe()
    return seen


@pytest.mark.parametrize("mode", list(GenerationMode))
def test_no_request_is_a_server_error(described, mode):
    """Directly, not by schemathesis' plugin, which does not know this pytest."""
    operations = [found.ok() for found in described.get_all_operations()]
    assert {o.path for o in operations} >= {"/reviews", "/reviews/{platform}", "/readyz"}
    for operation in operations:
        try:
            seen = statuses(operation, mode)
        except Unsatisfiable:  # of an operation without parameters there is no wrong request
            assert mode is GenerationMode.NEGATIVE and operation.path != "/reviews"
        else:
            assert seen and max(seen) < 500, (operation.path, set(seen))
