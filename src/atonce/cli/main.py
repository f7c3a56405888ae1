"""The program's entry: `main` runs a command line and gives its exit code, `process` does so as a whole process."""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence

from atonce._runtime.terminal import say, visible
from atonce.cli.exits import BUG, INTERRUPTED, OK, USAGE, Refusal

NEEDED = ("click", "rich", "aiohttp")
#: New objects after which garbage is looked for: more than are made by the imports, of which none is garbage.
YOUNG = 50_000


def process() -> int:
    """Run the process's own command line; nobody looks for garbage where there is none: at its start and its end."""
    gc.set_threshold(YOUNG, *gc.get_threshold()[1:])
    code = main()
    gc.freeze()
    return code


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line (the process's own by default)."""
    try:
        from atonce.cli.program import program
    except ModuleNotFoundError as error:
        return _missing(error)
    import click

    try:
        code = program.main(arguments, prog_name="atonce", standalone_mode=False)
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.ClickException as error:
        return _wrong(error)
    except Refusal as error:
        _complain(str(error))
        return error.code
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    except ModuleNotFoundError as error:
        return _missing(error)
    except Exception:
        import traceback  # for a bug alone

        _complain(f"this is a bug in atonce; please report it with what follows\n{traceback.format_exc()}")
        return BUG
    return code if isinstance(code, int) else OK


def _missing(error: ModuleNotFoundError) -> int:
    """A package of the extra is not there: say which to install; anything else is a bug and is shown as one."""
    if error.name not in NEEDED:
        raise error
    _complain(f"the program needs {error.name}: pip install 'atonce[cli]'")
    return USAGE


def _wrong(error: Exception) -> int:
    """A mistake on the command line, in one sentence, and where to read more."""
    import click

    assert isinstance(error, click.ClickException)
    ctx = error.ctx if isinstance(error, click.UsageError) else None
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        say(error.format_message())
        return USAGE
    _complain(error.format_message())
    if ctx is not None:
        say(f"  {ctx.command_path} --help shows what can be given")
    return error.exit_code


def _complain(text: str) -> None:
    say("atonce: " + "\n".join(visible(line) for line in text.split("\n")))


if __name__ == "__main__":
    sys.exit(process())
