"""The bundle of a run, and recommending from it."""
