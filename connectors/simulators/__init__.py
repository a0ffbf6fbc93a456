"""Strict stand-ins for the platforms: they check signatures, windows and limits as the platform does, and misbehave on demand."""
