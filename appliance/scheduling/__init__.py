"""Who computes when: processes forked from a warm template run the sessions; the event loop only carries bytes."""
