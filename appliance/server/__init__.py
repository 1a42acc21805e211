"""Sockets: HTTP routes, and the one loop that joins a socket, a dialect and a session."""
