"""Where twins are kept: found by content, written by one process at a time, evicted by last use."""
