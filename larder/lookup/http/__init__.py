"""HTTP requests, their checks, and the API's description."""
