"""Does a pair ask what the benchmark asks: questions compared by what they are about."""
