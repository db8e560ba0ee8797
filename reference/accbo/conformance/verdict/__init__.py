"""What to make of observations: where they depart, by which mistake, and what a report says."""
