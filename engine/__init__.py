"""Everything that touches a model: torch and numpy, no Qt, usable from a plain Python prompt."""
