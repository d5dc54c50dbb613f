"""From records to frames, scores, summaries, rankings and comparisons; ``leakybench.report`` writes them."""
