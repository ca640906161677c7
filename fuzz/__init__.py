"""Fuzzing of a running Memlog over its doors: `python -m fuzz`."""
