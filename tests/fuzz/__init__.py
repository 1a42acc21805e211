"""Whatever a client may send: never an exception, never growth, always a documented close.

Short in ``make test``; ``make fuzz`` looks for minutes. What is sent is made from the golden conversations: their
requests and messages as they are, damaged, mixed and repeated, and plain noise.
"""
