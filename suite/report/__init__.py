"""From frames of runs to tables, pages and plots."""
