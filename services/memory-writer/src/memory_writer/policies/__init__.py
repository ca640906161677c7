"""Policies: what Memlog does by itself when time has passed."""
