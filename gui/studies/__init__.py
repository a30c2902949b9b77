"""Studies as figures and numbers, one file a study; matplotlib, no Qt, no torch."""
