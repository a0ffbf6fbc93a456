"""Strict stand-ins for the platforms: they check what the platform checks, and misbehave on demand."""
