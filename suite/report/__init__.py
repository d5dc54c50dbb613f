"""From frames of runs and typed rows to tables, pages and plots.

``table``, ``leaderboard`` and ``comparison`` have one interface: ``FORMATS``, and ``render(content, format)``, which
returns the text without a final newline. ``page`` makes the HTML file.
"""
