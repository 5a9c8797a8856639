"""Hints of the command line name commands that can be run as they stand."""

from __future__ import annotations

import re
import shlex
import sys
from itertools import zip_longest

# The commands that work on a data root.
_COMMAND = re.compile(
    r"melee-pipeline (sources (?:list|add|remove)|run|train|evaluate|checkpoints|describe)\b"
    r"(?! --data)"
)


def runnable(text: str) -> str:
    """The text with this call's --data, if it was given, in every command that it names.

    What is raised deep in the library does not know how the data root was named.
    """
    data = _option(sys.argv[1:], "--data")
    if data is None:
        return text
    return _COMMAND.sub(lambda found: f"{found[0]} --data {shlex.quote(data)}", text)


def _option(words: list[str], name: str) -> str | None:
    for word, following in zip_longest(words, words[1:]):
        if word == name:
            return following
        if word.startswith(f"{name}="):
            return word.partition("=")[2]
    return None


def say(text: str) -> None:
    """Print a line in which commands may be named."""
    print(runnable(text), flush=True)  # a reader that has gone is noticed here, not at the exit
