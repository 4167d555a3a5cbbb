"""Is it better than the base model, how sure are we, and where."""
