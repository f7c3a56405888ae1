"""`python -m atonce`: the program."""

from atonce.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
