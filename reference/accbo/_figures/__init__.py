"""Pictures of ours: as data (``panel``), drawn in one style (``draw``), as files (``files``)."""
