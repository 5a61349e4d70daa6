"""keras2to3."""
