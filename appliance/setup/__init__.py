"""What the owner writes on the card's FAT partition, applied to the system at every start. See ``docs/setup.md``."""
