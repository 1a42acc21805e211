"""What the operating system does for a process: nothing here knows of speech."""
