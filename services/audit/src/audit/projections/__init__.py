"""The read models, one module each. A change of any of them needs the next version in `audit.generations`."""
