"""The commands, one module each: ``add_parser(subparsers)`` declares it, ``run(args)`` executes it.

``run`` returns the exit code. The help imports every module here, so module-level imports must be light: pandas, scipy,
torch and anything that loads them are imported inside ``run``. Adding a file adds a command. Code shared by several
commands belongs to ``leakybench.console``; no command imports another.
"""
