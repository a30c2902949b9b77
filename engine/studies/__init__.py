"""In-context learning measured: k-shot curves, loss by position, heads that look back."""
