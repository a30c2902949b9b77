"""What main.py does without a window, one file a command. No Qt: it runs where there is none."""
