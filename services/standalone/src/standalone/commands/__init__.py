"""The commands of `memlog`, a module each.

`memlog` reads all of these modules, whichever command is given. So they import for all what says how each is used, and
what only the work of one needs, where it works: `memlog --help` and `memlog add` do not wait for NATS, PostgreSQL or
the gateway to be loaded. A test names what must not be.
"""
