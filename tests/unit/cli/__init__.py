"""The command line: what is decided and printed, and every command against a fake API server."""
