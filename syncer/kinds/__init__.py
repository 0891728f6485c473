"""Pure translation, one file per mirrored kind; no I/O."""
