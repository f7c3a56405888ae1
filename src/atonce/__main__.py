"""`python -m atonce`: the program."""

from atonce.cli.main import process

if __name__ == "__main__":
    raise SystemExit(process())
