"""The rules, pure: Events / Fold / Decisions of each aggregate. No I/O, no clock, no ids made here."""
