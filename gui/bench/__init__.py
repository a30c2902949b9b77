"""``main.py bench``: what the program costs, measured through its own window."""
