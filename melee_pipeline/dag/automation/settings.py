"""How often things happen by themselves: environment variables, read when the code is loaded."""

import os


def _number(name: str, default: int) -> int:
    return int(os.environ.get(name, default))


SENSOR_SECONDS = _number("MELEE_SENSOR_SECONDS", 30)  # between two looks
RETRY_SECONDS = _number("MELEE_RETRY_SECONDS", 300)  # before the second try, doubled for the third
TRIES = _number("MELEE_TRIES", 3)  # of the same work, until somebody changes what it is made from
MOST_RUNS = 10  # that one look may ask for
RETRAIN_CRON = os.environ.get("MELEE_RETRAIN_CRON", "0 5 * * 1")  # UTC; Mondays
RETRAIN = os.environ.get("MELEE_RETRAIN", "")  # experiments, comma-separated; none: all trained
