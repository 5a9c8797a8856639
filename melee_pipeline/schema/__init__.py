"""What a replay records and what a model sees, declared once: see `table.py`."""
