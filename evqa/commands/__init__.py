"""The subcommands of ``evqa``, a module each."""
