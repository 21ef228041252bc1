"""The programs that come with the package, and the scripts that run them.

A script starts a program in its own place, so this module imports next to nothing.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NoReturn

__all__ = ["native_program", "run_server", "run_simulator"]


def native_program(name: str) -> Path:
    """Path of a program that is installed with the package: ``pabal-server`` or ``pabal-sim``.

    Raises
    ------
    PabalError
        If the installation does not have it.

    Examples
    --------
    >>> native_program("pabal-sim").name
    'pabal-sim'
    """
    program = Path(__file__).parent / "bin" / name
    if not program.exists():
        from pabal.errors import PabalError

        raise PabalError(f"this installation of pabal has no {program}; install it again")
    return program


def run_server() -> NoReturn:
    """Become ``pabal-server``, with the arguments of this process."""
    _become("pabal-server")


def run_simulator() -> NoReturn:
    """Become ``pabal-sim``, with the arguments of this process."""
    _become("pabal-sim")


def _become(name: str) -> NoReturn:
    program = native_program(name)
    os.execv(program, [str(program), *sys.argv[1:]])
