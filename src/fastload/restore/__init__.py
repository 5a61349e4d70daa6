"""Twin to live object."""
