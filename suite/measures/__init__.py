"""Pure functions on float64 arrays that measure a trained network. Rows are samples."""
