"""One file a command: ``add_parser(subparsers)`` declares it, ``run(args) -> int`` does it and returns the exit code.

A module here is imported to build the help, so its own imports are light: pandas, scipy, torch and whatever loads them
are imported inside ``run``. A new file is a new command; what several commands share is in ``leakybench.console``.
"""
