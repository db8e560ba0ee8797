"""What must stay when something else changes: relations between runs, in `relations.py`."""
