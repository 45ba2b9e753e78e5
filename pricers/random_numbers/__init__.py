"""From a seed and an address to normals."""
