"""Voice detectors: one adapter per file, the contract is ``appliance.core.ports.Vad``."""
