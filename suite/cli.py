"""The command line. One file a command in ``suite/commands``; here they are found, and errors become exit codes.

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
    "leaderboard",
    "regress",
    "figures",
    "submit",
    "validate",
    "export",
    "verify",
)
"""How the commands are listed; one that is not named here comes after them."""

DESCRIPTION = (
    "Low-rank tasks of known bottleneck rank, networks and references to train on them, and tables of the results."
)

EPILOG = """\
a first session:
  leakybench tasks                              what can be learnt
  leakybench baselines                          what can learn it
  leakybench run --task LowRank-k3-v0 --baseline 'LeakyResNet-*' --preset smoke --seeds 0:3
  leakybench table                              the results so far
  leakybench show RUN_ID                        one run, with the evidence behind its rank

exit codes: 0 fine; 1 a regression or a failed check; 2 wrong usage; 3 nothing measured, or runs failed
'leakybench COMMAND --help' explains a command and its defaults.
"""


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, and whose help keeps line breaks and shows defaults."""

    def __init__(self, **settings: Any) -> None:
        settings.setdefault("formatter_class", HelpFormatter)
        settings.setdefault("allow_abbrev", False)
        super().__init__(**settings)

    def error(self, message: str) -> NoReturn:
        """Raise what :func:`main` prints in one line."""
        raise UsageError(f"{message} ('{self.prog} --help' shows what is allowed)")


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Raw description and epilog; the default is added to every help text that has one to show."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=30, width=min(_columns(), 120) - 2)

    def _get_help_string(self, action: argparse.Action) -> str | None:
        text = action.help or ""
        shown = action.option_strings and action.default not in (None, False, argparse.SUPPRESS, [])
        return f"{text} (default: %(default)s)" if shown and "(default" not in text else text


def _columns() -> int:
    import shutil

    return shutil.get_terminal_size().columns


def command_names() -> list[str]:
    """The commands that exist, in the order of the help."""
    found = {module.name for module in pkgutil.iter_modules(commands.__path__) if not module.name.startswith("_")}
    return [name for name in ORDER if name in found] + sorted(found - set(ORDER))


def build_parser(names: Sequence[str]) -> Parser:
    """The parser with the commands ``names``; their modules are imported, and only theirs."""
    parser = Parser(prog="leakybench", description=DESCRIPTION, epilog=EPILOG)
    parser.add_argument("--version", action="version", version=f"leakybench {_version()}", help="print the version")
    parser.add_argument("--debug", action="store_true", help="show the traceback behind an error")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    for name in names:
        module = importlib.import_module(f"leakybench.commands.{name}")
        module.add_parser(subparsers)
    return parser


def _version() -> str:
    import importlib.metadata

    try:
        return importlib.metadata.version("leakybench")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code. Never raises for what a user can cause."""
    given = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in given
    arguments = [word for word in given if word != "--debug"]  # welcome before and after the command
    try:
        names = command_names()
        # only the command that is asked for is imported, so that a listing stays quick whatever the others need
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
        # the reader of a pipe left (| head): not an error of ours, and the interpreter must not complain at exit
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
    """``text`` without line breaks and control characters, cut at ``limit`` characters."""
    flat = " ".join(text.split())
    flat = "".join(char if char.isprintable() else "?" for char in flat)
    return flat if len(flat) <= limit else flat[: limit - 3] + "..."
