"""Recognisers: one adapter per file, the contract is ``appliance.core.ports.Recognizer``; and the model packs."""
