"""Source to twin: read what the files say; build no model, trace and run no function."""
