"""The window: Qt, pyqtgraph and numpy. Talks to the engine through frozen values only."""
