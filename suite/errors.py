"""The errors that a user can cause; each carries one clear line."""


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


class DivergedError(LeakybenchError):
    """Training that diverged; ``evaluate`` turns it into the status ``diverged``."""


class CollapsedError(LeakybenchError):
    """Training that ended at a constant function; ``evaluate`` turns it into the status ``collapsed``."""
