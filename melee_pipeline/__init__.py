"""Slippi replays to trained world models, as Dagster assets with lineage."""
