"""What admins write: schema, loading with file:line errors, live reload, shipped examples."""
