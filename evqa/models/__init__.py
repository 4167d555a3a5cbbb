"""Base models: chat template, loading in 4 bits, generation, and the embedded tiny base."""
