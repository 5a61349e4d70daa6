"""`python -m fastload`."""

from fastload.cli.main import main

if __name__ == "__main__":
    main()
