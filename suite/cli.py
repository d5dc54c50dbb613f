"""The command line: find the commands in ``leakybench.commands``, run one, and turn errors into exit codes.

Exit codes: 0 fine; 1 a real regression or a failed check; 2 wrong usage; 3 nothing measured, or runs failed.
"""

from __future__ import annotations

import argparse
import importlib
import os
import pkgutil
import sys
import traceback
from collections.abc import Sequence
from typing import Any, NoReturn

from leakybench import commands
from leakybench.errors import LeakybenchError, UsageError

OK, FAILED_CHECK, USAGE, FAILED_RUNS = 0, 1, 2, 3

ORDER = (
    "tasks",
    "baselines",
    "check",
    "run",
    "table",
    "show",
    "compare",
    "audit",
    "ladder",
    "leaderboard",
    "regress",
    "figures",
    "submit",
    "validate",
    "export",
    "verify",
)
"""Order of the commands in the help; commands that are not listed here follow."""

DESCRIPTION = (
    "Train networks and reference methods on low-rank regression tasks whose bottleneck rank is known, and compare "
    "test error, bottleneck rank and training time."
)

EPILOG = """\
a first session:
  leakybench tasks                              list the tasks
  leakybench baselines                          list the baselines
  leakybench run --task LowRank-k3-v0 --baseline 'LeakyResNet-*' --preset smoke --seeds 0:3
  leakybench table                              print the results
  leakybench show RUN_ID                        print one run with the evidence for its rank

exit codes: 0 fine; 1 a regression or a failed check; 2 wrong usage; 3 nothing measured, or runs failed
'leakybench COMMAND --help' describes a command and its defaults.
"""


class Parser(argparse.ArgumentParser):
    """Argument parser whose errors are one line and whose help keeps line breaks and shows defaults."""

    def __init__(self, **settings: Any) -> None:
        settings.setdefault("formatter_class", HelpFormatter)
        settings.setdefault("allow_abbrev", False)
        super().__init__(**settings)

    def error(self, message: str) -> NoReturn:
        """Raise a UsageError, which ``main`` prints as one line."""
        raise UsageError(f"{message} (see '{self.prog} --help')")


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Help formatter that keeps description and epilog as written and appends defaults to the help texts."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=30, width=min(_columns(), 120) - 2)

    def _get_help_string(self, action: argparse.Action) -> str | None:
        text = action.help or ""
        has_default = action.option_strings and action.default not in (None, False, argparse.SUPPRESS, [], "")
        return f"{text} (default: %(default)s)" if has_default and "(default" not in text else text


def _columns() -> int:
    import shutil

    return shutil.get_terminal_size().columns


def command_names() -> list[str]:
    """Return the names of the available commands, in the order of the help."""
    names = {module.name for module in pkgutil.iter_modules(commands.__path__) if not module.name.startswith("_")}
    return [name for name in ORDER if name in names] + sorted(names - set(ORDER))


def build_parser(names: Sequence[str]) -> Parser:
    """Build the parser of the commands ``names``, importing only their modules."""
    parser = Parser(prog="leakybench", description=DESCRIPTION, epilog=EPILOG)
    parser.add_argument("--version", action="version", version=f"leakybench {_installed_version()}")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    for name in names:
        module = importlib.import_module(f"leakybench.commands.{name}")
        module.add_parser(subparsers)
    return parser


def _installed_version() -> str:
    import importlib.metadata

    try:
        return importlib.metadata.version("leakybench")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. User errors are printed as one line and never raised.

    Args:
        argv: the words behind ``leakybench``; None for those of this process, which ends after the command.
    """
    if argv is not None:
        return _main(argv)
    code = _main(sys.argv[1:])
    _close_output()
    return code


def _close_output() -> None:
    """Send what is still printed to standard error: a plugin's handler at exit must not spoil a table or JSON."""
    try:
        sys.stdout.flush()
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    except (OSError, ValueError, AttributeError):
        pass  # closed already, or replaced by something that is no file


def _main(argv: Sequence[str]) -> int:
    words = list(argv)
    debug = "--debug" in words
    arguments = [word for word in words if word != "--debug"]  # accepted before and after the command
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a name that the terminal cannot encode must not end a command
            stream.reconfigure(errors="backslashreplace")
    try:
        names = command_names()
        # import only the requested command, so that a listing stays fast whatever the others import
        chosen = [word for word in arguments[:2] if word in names][:1]
        parser = build_parser(chosen or names)
        parsed = parser.parse_args(arguments)
        if parsed.command is None:
            parser.print_help()
            return USAGE
        parsed.argv = arguments
        module = importlib.import_module(f"leakybench.commands.{parsed.command}")
        code = int(module.run(parsed))
        sys.stdout.flush()
        return code
    except SystemExit as error:  # --help and --version
        return error.code if isinstance(error.code, int) else USAGE
    except BrokenPipeError:
        # the reader of the pipe has closed it (| head); redirect, so that the interpreter reports nothing at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except KeyboardInterrupt:
        return _fail("interrupted", FAILED_RUNS, debug)
    except LeakybenchError as error:
        return _fail(str(error), USAGE if isinstance(error, UsageError) else FAILED_RUNS, debug)
    except OSError as error:
        return _fail(f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}", FAILED_RUNS, debug)
    except Exception as error:
        traceback.print_exc()
        return _fail(f"internal error, please report it: {type(error).__name__}: {error}", FAILED_RUNS, False)


def _fail(message: str, code: int, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    print(f"leakybench: {one_line(message)}", file=sys.stderr)
    return code


def one_line(text: str, limit: int = 600) -> str:
    """Return ``text`` without line breaks and control characters, truncated to ``limit`` characters."""
    flat = " ".join(text.split())
    flat = "".join(char if char.isprintable() else "?" for char in flat)
    return flat if len(flat) <= limit else flat[: limit - 3] + "..."


if __name__ == "__main__":
    sys.exit(main())
