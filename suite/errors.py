"""The errors that a user can cause, each of which carries one clear line."""


class LeakybenchError(Exception):
    """Base of every error that the suite raises on purpose."""


class UsageError(LeakybenchError, ValueError):
    """A wrong argument: the message names the value and what is allowed (exit code 2)."""


class RegistrationError(UsageError):
    """A malformed id or an id that is registered twice."""


class UnknownIdError(UsageError):
    """An id that no registry holds; the message names the nearest ids and the versions that exist."""


class PluginError(LeakybenchError):
    """An entry point of somebody's package that could not be loaded; the message names the plugin."""


class DivergedError(LeakybenchError):
    """Training that left the finite numbers; ``evaluate`` turns it into status ``diverged``."""


class CollapsedError(LeakybenchError):
    """Training that ended at a constant function; ``evaluate`` turns it into status ``collapsed``."""
