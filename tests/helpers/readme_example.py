"""Print the first Python example of a Markdown file, as a program.

    python tests/helpers/readme_example.py README.md > example.py

The workflow runs the example from the wheel, where nothing of the repository is left; so this file needs no package.
"""

import re
import sys
from pathlib import Path

CODE = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def first_example(text: str) -> str:
    """Return the first fenced block of Python in ``text``.

    Raises:
        ValueError: there is none.
    """
    match = CODE.search(text)
    if match is None:
        raise ValueError("no block of Python in this file")
    return match[1]


if __name__ == "__main__":
    print(first_example(Path(sys.argv[1]).read_text(encoding="utf-8")), end="")
