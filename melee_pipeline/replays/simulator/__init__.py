"""A small deterministic Melee, so that the demo and the tests need no outside replays.

arena.py    stages, characters and moves: figures only
fighter.py  a fighter's state, as a replay records it, and a controller
turn.py     one fighter's frame: what the actions share
ground.py   actions on the ground        air.py  actions in the air, landing, death
hits.py     attacks meeting fighters     step.py  a whole frame
pilot.py    scripted players
"""
