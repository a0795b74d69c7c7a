"""The `ossa` command. Its exit codes are in `ossa.cli.terminal`."""


def main() -> None:
    """Entry point; what a command needs is imported when it runs."""
    from ossa.cli.application import app

    app()
