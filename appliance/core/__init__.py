"""The session: pure, without sockets, files, threads or a clock. Time is counted in samples at 16 kHz."""
