"""Sample arithmetic: pure functions and small machines. Inside, audio is int16, mono, 16 kHz."""
