"""Slippi replays: reading, judging, parsing; and writing and simulating sample games."""
