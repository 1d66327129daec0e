"""The parser, the errors as sentences, and the exit codes."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TextIO

from ecomrec._version import __version__
from ecomrec.cli import demo, evaluate, recommend, tune, warmup
from ecomrec.cli.errors import InputError
from ecomrec.cli.progress import Progress
from ecomrec.exceptions import EcomrecError

OK, UNEXPECTED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130

_EPILOG = """\
exit codes:
  0    done (also when whoever read the output stopped reading)
  1    unexpected: a bug, or the machine ran out of something
  2    an option or a file that cannot be used; the message says which and why
  130  interrupted; no file was changed
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments behind the command's name; None takes those of the process.

    Returns
    -------
    int
        Exit code: 0 done, 1 unexpected, 2 an option or file that cannot be used, 130 interrupted.

    Examples
    --------
    >>> from ecomrec.cli import main
    >>> main(["--version"])
    ecomrec ...
    0
    """
    parser = _parser()
    try:
        args = parser.parse_args(argv)
    except SystemExit as stop:
        return int(stop.code or 0)
    if args.command is None:
        sys.stderr.write(parser.format_help())
        return BAD_INPUT
    progress = Progress(quiet=args.quiet)
    return _guarded(lambda: args.run(args, progress))


def _guarded(run: Callable[[], None]) -> int:
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _warn
            run()
            sys.stdout.flush()
    except (InputError, EcomrecError, OSError) as error:
        if isinstance(error, BrokenPipeError):
            _drop_output()
            return OK
        _complain(f"error: {_sentence(error)}")
        return BAD_INPUT
    except KeyboardInterrupt:
        _complain("interrupted; no file was changed.")
        return INTERRUPTED
    except MemoryError:
        _complain("error: the machine ran out of memory. Use fewer events, or a larger machine.")
        return UNEXPECTED
    except Exception:
        _complain(traceback.format_exc())
        _complain(f"unexpected error in ecomrec {__version__}: please report the lines above.")
        return UNEXPECTED
    return OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ecomrec",
        description="Recommenders for shops: try them, compare them on your events, use them.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"ecomrec {__version__}")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "-q", "--quiet", action="store_true", help="no progress on stderr, errors only"
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    for name, module in (
        ("demo", demo),
        ("evaluate", evaluate),
        ("tune", tune),
        ("recommend", recommend),
        ("warmup", warmup),
    ):
        command = commands.add_parser(
            name,
            help=module.HELP,
            description=module.DESCRIPTION,
            parents=[common],
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return parser


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        place = f": {error.filename}" if error.filename is not None else ""
        return f"{error.strerror}{place}"
    return str(error)


def _warn(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Show a warning as a sentence, without the place in the code."""
    _complain(f"warning: {message}")


def _complain(text: str) -> None:
    with suppress(BrokenPipeError):
        sys.stderr.write(f"{text.rstrip()}\n")
        sys.stderr.flush()


def _drop_output() -> None:
    """Point stdout nowhere, so that the interpreter can flush it when it ends."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
