"""The environment variables of the processes that compute runs and checks."""

from __future__ import annotations

import os
import sys

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
"""Variables from which numerical libraries take their number of threads when they are loaded."""


def child_environment(threads: int) -> dict[str, str]:
    """Return the environment of a child process whose numerical libraries use ``threads`` threads.

    The import path of this process is passed on, so that the child can import the same modules, including those in a
    folder that was added to ``sys.path`` by hand.
    """
    return {
        **os.environ,
        **dict.fromkeys(THREAD_VARIABLES, str(threads)),
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(path or os.getcwd() for path in sys.path)),
    }
