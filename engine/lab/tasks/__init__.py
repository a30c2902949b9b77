"""What the laboratory's models learn: one file a task, found by scanning."""
