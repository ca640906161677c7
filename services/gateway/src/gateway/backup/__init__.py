"""Files of backups in OpenMemory's format: reading what may be broken or hostile, and writing."""
