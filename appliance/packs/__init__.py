"""Model packs: what is published, what is installed, and which of it serves a language."""
