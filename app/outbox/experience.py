"""What the carriers of one worker learn from servers and share, as long as the worker lives."""

from collections import Counter
from time import monotonic

_CUTS = 2  # sessions in a row that broke at their first group: the third does without groups
_REFUSED_S = 60.0


class Experience:
    """Of one worker."""

    def __init__(self) -> None:
        self._cuts: Counter[str] = Counter()
        self._refused_at: dict[str, float] = {}

    def note_groups(self, account_id: str, *, cut: bool, proven: bool) -> None:
        """Learn whether a session broke at its first group of commands, or groups work."""
        if cut:
            self._cuts[account_id] += 1
        elif proven:
            self._cuts.pop(account_id, None)

    def may_group(self, account_id: str) -> bool:
        """Whether groups of commands are worth a try."""
        return self._cuts[account_id] < _CUTS

    def note_refused(self, login: str) -> None:
        """Learn that a message's own password was refused. login: a digest."""
        self._refused_at[login] = monotonic()

    def was_refused(self, login: str) -> bool:
        """Whether that was within the last minute: a batch with a wrong password must not make a
        login of every message, and a person who releases one later is to have his try."""
        least = monotonic() - _REFUSED_S
        self._refused_at = {each: at for each, at in self._refused_at.items() if at > least}
        return login in self._refused_at
