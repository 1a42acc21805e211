"""Decoding of audio files and containers in a child process, away from the daemon and from everything it can reach."""
