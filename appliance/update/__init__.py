"""Updates without a network: a signed bundle is laid beside the program, tried, and kept or taken back.

See ``docs/update.md`` for how it is used and ``docs/decisions/0010-update.md`` for why it is so.
"""
