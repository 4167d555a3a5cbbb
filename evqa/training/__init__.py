"""QLoRA training in Lightning."""
