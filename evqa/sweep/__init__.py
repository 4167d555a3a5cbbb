"""Sweeps that ask the memory planner first, survive any trial's death, and continue."""
