"""Load, measured side by side with the direct path."""
