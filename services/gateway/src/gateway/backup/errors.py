"""What is wrong with a file that shall be imported."""

from contracts.errors import MemlogError


class BrokenBackup(MemlogError):
    """The file is no backup in OpenMemory's format, is damaged, or holds what cannot be imported. Nothing was."""

    code = "broken_backup"
    status = 400
    remedy = (
        "The message names the part that is wrong. Export the backup again; if you made the file yourself, correct it."
    )
