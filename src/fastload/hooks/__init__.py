"""What changes an import that a program makes, for programs that opted in."""
