"""From an adapter to weights that stand alone, proved to say the same."""
