"""The assets: `data.py` by source, `models.py` by experiment."""
