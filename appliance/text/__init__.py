"""From recogniser words to readable text."""
