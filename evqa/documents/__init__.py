"""Clean, filter, deduplicate, split and chunk documents."""
