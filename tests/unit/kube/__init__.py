"""The client against an API server that behaves like a real one, and misbehaves on request."""
