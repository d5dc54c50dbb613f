"""What can be wrong with a stored file."""

from __future__ import annotations

from dataclasses import dataclass

from leakybench.errors import LeakybenchError, UsageError


class DamagedError(LeakybenchError):
    """A file is not what its name promises; the message is the reason."""


class NewerSchemaError(UsageError):
    """A record was written by a later version; it is left in place."""


class ConflictError(LeakybenchError):
    """A run has a record with another result, and nothing asked for its replacement; the earlier record stays."""


@dataclass(frozen=True)
class DamagedFile:
    """A file that could not be used.

    Attributes:
        name: its name in the folder.
        reason: why it could not be used.
        moved_to: its present place, relative to the folder; None if it was left in place.
    """

    name: str
    reason: str
    moved_to: str | None = None

    def __str__(self) -> str:
        place = f"set aside as {self.moved_to}" if self.moved_to else "left in place"
        return f"{self.name}: {self.reason}; {place}"
