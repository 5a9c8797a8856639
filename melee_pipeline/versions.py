"""Versions of the steps' code. Raise one when the same input would give another output.

They stand together, away from what they describe, so that Dagster can show them without loading
it: an asset whose code version has changed is shown as out of date.
"""

FETCHER_VERSION = "2"  # what is recorded of an archive
EXTRACTOR_VERSION = "2"  # which replays come out of an archive, under which names
PARSER_VERSION = "2"  # a replay's tables and verdict
ENCODER_VERSION = "4"  # packed bytes, or what a shard's header says
JOIN_VERSION = "4"  # which games make the training set, and their split
TRAINER_VERSION = "3"  # weights, from the same data and settings
EVALUATOR_VERSION = "2"  # numbers, from the same checkpoint and games
