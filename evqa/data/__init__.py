"""Tokenised samples: dataset, batches and Lightning data module."""
