"""Who asks, and what they may see: every query of the record takes a Scope and keeps to it.

It does not know tokens, cookies or HTTP (consumers/dashboard/access.py makes a Scope of them).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sqlalchemy import ColumnElement, true

from shared.errors import Forbidden

Role = Literal["read", "write", "admin"]
ROLES: tuple[Role, ...] = ("read", "write", "admin")


@dataclass(frozen=True)
class Scope:
    """A signed-in reader. `business` None: all businesses. `name` is what history shows as "by"."""

    name: str
    role: Role = "read"
    business: str | None = None
    token_id: str = ""

    def limits(self, column: ColumnElement[str]) -> ColumnElement[bool]:
        """The condition that keeps a query to this scope, over a table's business column."""
        return true() if self.business is None else column == self.business

    def require(self, role: Role) -> None:
        """Check the role: read < write < admin.

        Raises:
            Forbidden: it is not enough.
        """
        if ROLES.index(self.role) < ROLES.index(role):
            raise Forbidden(f"this needs a token with the role {role}; yours has {self.role}")

    def narrow(self, business: str | None) -> str | None:
        """The business to ask for: the scope's own where it has one.

        Raises:
            Forbidden: another business was asked for.
        """
        if self.business is not None and business not in (None, self.business):
            raise Forbidden("your token is for another business")
        return self.business if self.business is not None else business


def owner_scope(name: str = "owner") -> Scope:
    """Everything: for commands that the owner of the machine runs."""
    return Scope(name, "admin")
