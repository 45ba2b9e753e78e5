"""Where normals come from, one way a file."""
