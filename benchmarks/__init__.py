"""How fast fastload is against the stock loaders; see README.md. Not part of the package."""
