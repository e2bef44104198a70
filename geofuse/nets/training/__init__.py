"""How networks learn: what from, by which losses, step by step, in one process or several."""
