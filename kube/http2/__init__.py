"""HTTP/2 for the hot path: one connection carries all requests and watches of an API server."""
