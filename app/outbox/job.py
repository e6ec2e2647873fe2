"""A message in a carrier's hands, as the wire knows it (``wire.job.Job``)."""

from dataclasses import dataclass

from app.errors import Unavailable
from app.outbox.office import Office
from app.outbox.queue import Claimed, Mark, mark
from app.wire.envelope import Envelope


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """A claimed message, ready to go."""

    office: Office
    claimed: Claimed
    envelope: Envelope
    body: bytes

    def is_wanted(self) -> bool:
        """Tell whether it is not too late."""
        not_after = self.claimed.message.not_after
        return not_after is None or self.office.clock() < not_after

    async def before_dot(self, accepted: tuple[int, ...]) -> bool:
        """Commit that these recipients may have it now."""
        ids = [each.id for each in self.claimed.recipients]
        marked = ids if self.office.settings.redirect_to else [ids[index] for index in accepted]
        try:
            return await self.office.db.write_merged(mark, Mark(self.claimed.id, tuple(marked)))
        except Unavailable:
            return False  # without a durable mark no dot: handed back untried
