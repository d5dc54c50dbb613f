"""The built-in tasks, one file a family; ``leakybench.tasks.catalogue`` registers them."""
