"""The dashboard's API against its own description: requests of every route, right and wrong; none may be a 5xx.

More of them by hand: BEYOND_PROBES=2000 python -m pytest tests/consumers/dashboard/test_openapi.py
"""

from __future__ import annotations

import os

import pytest
import schemathesis
from hypothesis import HealthCheck, given
from hypothesis import settings as bounded
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from sqlalchemy import select

from consumers.record.database import writing
from consumers.record.schema import alerts, issues
from tests.consumers.dashboard.conftest import NOW, OURS

PROBES = int(os.environ.get("BEYOND_PROBES", 12))
MODES = list(GenerationMode)


@pytest.fixture(scope="module")
def described(dashboard):  # type: ignore[no-untyped-def]
    return schemathesis.openapi.from_asgi("/v1/openapi.json", dashboard.app)


@pytest.fixture(scope="module")
def tokens(dashboard):  # type: ignore[no-untyped-def]
    """Headers of an admin, of a writer of one business, of a reader, of nobody."""
    secrets = [dashboard.secret(), dashboard.secret("write", OURS), dashboard.secret("read")]
    return [{}, *({"Authorization": f"Bearer {secret}"} for secret in secrets)]


@pytest.fixture(scope="module")
def there(dashboard):  # type: ignore[no-untyped-def]
    """Path parameters that lead to something: made-up ones alone would test 404 and nothing behind it."""
    with writing(dashboard.engine) as connection:
        of_ours = select(issues.c.id, issues.c.review_id).where(issues.c.business == OURS)
        issue_id, review_id = connection.execute(of_ours.limit(1)).one()
        row = {"rule": "urgent", "business": OURS, "text": "an alert", "raised_at": int(NOW)}
        connection.execute(alerts.insert().values(id="an-alert", **row))
    return {
        "review_id": review_id,
        "issue_id": issue_id,
        "alert_id": "an-alert",
        "theme": "staff",
        "number": 1,
        "business": OURS,
    }


def statuses(operation, mode, tokens, there):  # type: ignore[no-untyped-def]
    """Answers to requests of one operation, with every kind of token."""
    seen = []

    @bounded(
        max_examples=PROBES, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(
        case=operation.as_strategy(generation_mode=mode),
        token=st.sampled_from(tokens),
        known=st.booleans(),
    )
    def probe(case, token, known):  # type: ignore[no-untyped-def]
        if known and case.path_parameters:
            for name in set(case.path_parameters) & set(there):
                case.path_parameters[name] = there[name]
        answer = case.call(headers={**dict(case.headers or {}), **token})
        case.validate_response(answer, checks=[not_a_server_error])
        seen.append(answer.status_code)

    probe()
    return seen


@pytest.mark.parametrize("mode", MODES)
def test_no_request_is_a_server_error(described, tokens, there, mode):
    """Directly, not by schemathesis' plugin, which does not know this pytest."""
    operations = [found.ok() for found in described.get_all_operations()]
    assert {o.path for o in operations} >= {"/v1/reviews", "/v1/reviews/{review_id}/reply"}
    every = set()
    for operation in operations:
        if operation.path == "/v1/feed":  # it does not end: test_feed.py
            continue
        try:
            seen = statuses(operation, mode, tokens, there)
        except Unsatisfiable:  # of an operation without parameters there is no wrong request
            assert mode is GenerationMode.NEGATIVE
        else:
            assert seen and max(seen) < 500, (operation.method, operation.path, set(seen))
            every |= set(seen)
    assert {401, 404} < every and (200 in every or mode is GenerationMode.NEGATIVE)
