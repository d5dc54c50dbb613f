"""The errors that a user can cause; each carries one clear line."""

from __future__ import annotations

MAX_LINE = 500


def describe(error: BaseException) -> str:
    """Return an exception as one line, ``Type: text``, also where its text cannot be read."""
    try:
        text = " ".join(str(error).split())
    except Exception:  # an exception of a plugin may be unable to say anything
        text = "its text cannot be read"
    line = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return line if len(line) <= MAX_LINE else line[: MAX_LINE - 3] + "..."


class LeakybenchError(Exception):
    """Base class of every error that leakybench raises on purpose."""


class UsageError(LeakybenchError, ValueError):
    """A wrong argument; the message names the value and the allowed ones (exit code 2)."""


class RegistrationError(UsageError):
    """A malformed id or an id that is registered twice."""


class UnknownIdError(UsageError):
    """An id that no registry holds; the message names the nearest ids and the versions that exist."""


class PluginError(LeakybenchError):
    """An entry point that cannot be loaded; the message names the plugin."""


class BaselineError(LeakybenchError):
    """A baseline whose model or report breaks the contract; the message names what, and a sweep records it."""


class DivergedError(LeakybenchError):
    """Training that diverged; ``evaluate`` turns it into the status ``diverged``."""


class CollapsedError(LeakybenchError):
    """Training that ended at a constant function; ``evaluate`` turns it into the status ``collapsed``."""
