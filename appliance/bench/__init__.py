"""Measurements of the appliance on this machine. Only ``appliance bench`` uses them."""
