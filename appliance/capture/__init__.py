"""The microphone of the appliance itself: a card read by its own process, supervised here, never a reason to stop."""
