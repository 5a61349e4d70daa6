"""Without touching the program: the environment's opt-in, and hooks on what is imported."""
