"""Make question-answer pairs from chunks, validate them, and keep the benchmark out of them."""
