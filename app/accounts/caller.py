"""Who is calling: the one value that every verb with a right attached takes.

Made by the doors from an API key or a JWT; the rules of the role table (contract §1) are its
methods, so that a door asks and does not decide.
"""

from dataclasses import dataclass
from typing import Literal

from app.errors import Denied, Missing

Role = Literal["admin", "sender", "user", "probe"]
SENDERS: tuple[Role, ...] = ("admin", "sender", "user")  # who sends, and reads what was sent


@dataclass(frozen=True, slots=True)
class Caller:
    """One authenticated caller.

    owner_id: the key and all rotated from it, or ``jwt:<issuer>:<subject>``. user: the bound user
    id, exactly for role ``user``. key_id: the API key, absent for a JWT.
    """

    owner_id: str
    role: Role
    name: str
    user: str | None = None
    key_id: str | None = None
    request_id: str | None = None

    @property
    def is_admin(self) -> bool:
        """Whether the role is ``admin``."""
        return self.role == "admin"

    def require(self, *roles: Role) -> None:
        """Raise ``Denied`` unless the role is one of ``roles``."""
        if self.role not in roles:
            raise Denied(
                f"A key of role {self.role} may not do this; it needs {' or '.join(roles)}.",
                code="role_forbids",
            )

    def acts_as(self, user: str | None) -> str | None:
        """Return the user this call is for: the bound one, else ``user`` (null: nobody, global)."""
        if self.role != "user":
            return user
        if user is not None and user != self.user:
            raise Denied(
                "This key is bound to one user and acts only as that one.", code="other_user"
            )
        return self.user

    def may_see(self, *, owner_id: str, user: str | None) -> bool:
        """Whether a message of ``owner_id`` sent as ``user`` is this caller's to see."""
        if self.role in ("admin", "sender"):
            return True
        return self.role == "user" and user == self.user

    def require_own(self, user: str) -> None:
        """Raise ``Missing`` for somebody else's object (a user sees only their own)."""
        if self.role == "user" and user != self.user:
            raise Missing("There is no such user.", code="not_found")
