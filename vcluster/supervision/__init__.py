"""Long-running programs under supervisord: declared, kept running, forgotten."""
