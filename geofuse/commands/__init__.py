"""One module for each group of commands; each has `add(commands)`. Heavy imports are inside functions."""
