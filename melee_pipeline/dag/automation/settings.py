"""How often things happen by themselves: environment variables, read when the code is loaded."""

import os

from melee_pipeline.errors import ConfigError


def _number(name: str, default: int) -> int:
    """A whole number from 0 on. Raises ConfigError naming the variable."""
    text = os.environ.get(name, str(default))
    try:
        number = int(text)
    except ValueError:
        number = -1
    if number < 0:
        raise ConfigError(
            f"environment variable {name} is {text!r}; expected a whole number from 0 on, such as "
            f"{default}"
        )
    return number


SENSOR_SECONDS = _number("MELEE_SENSOR_SECONDS", 30)  # between two looks
RETRY_SECONDS = _number("MELEE_RETRY_SECONDS", 300)  # before the second try, doubled for the third
TRIES = _number("MELEE_TRIES", 3)  # of the same work, until somebody changes what it is made from
MOST_RUNS = 10  # that one look may ask for
RETRAIN_CRON = os.environ.get("MELEE_RETRAIN_CRON", "0 5 * * 1")  # UTC; Mondays
RETRAIN = os.environ.get("MELEE_RETRAIN", "")  # experiments, comma-separated; none: all trained
