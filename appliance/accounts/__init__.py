"""Who may stream, and how much: keys, the tokens issued for them, what they have used, and who guesses."""
