"""`towpath`, also as `python -m service.cli`: Ctrl-C ends it in one sentence from here on, whatever it was doing."""

import sys


def main() -> None:
    """Run the command of this process."""
    try:
        from service.cli.main import main as run  # which takes longer than many a command
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        sys.exit(130)
    run()


if __name__ == "__main__":
    main()
