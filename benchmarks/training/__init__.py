"""Programs that make the trained files which come with the package."""
