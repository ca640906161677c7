"""The commands of `memlog`, a module each."""
