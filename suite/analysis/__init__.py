"""From records to frames, scores, summaries, rankings and comparisons; nothing here writes a table."""
