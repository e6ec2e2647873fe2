"""What a conveyor carries: the caller's own class, as far as the wire needs to know it."""

from collections.abc import Awaitable
from typing import Protocol, TypeVar

from app.wire.body import Body
from app.wire.envelope import Envelope


class Job(Protocol):
    """A message to be carried. body: bytes are checked and prepared each time they are carried."""

    @property
    def envelope(self) -> Envelope:
        """Sender, recipients and DSN wishes."""

    @property
    def body(self) -> Body | bytes:
        """The finished message."""

    def is_wanted(self) -> bool:
        """Tell whether it may still go: not cancelled, not too late, the claim still ours.

        Asked before MAIL and again before the body is written.
        """

    def before_dot(self, accepted: tuple[int, ...], /) -> Awaitable[bool]:
        """Commit that these recipients (indices) may have it now; False: it must not go.

        Awaited while the body travels, once for every final dot: usually once, more often where
        the server takes fewer recipients at a time than there are.
        """


J = TypeVar("J", bound=Job)
