"""The plugin's own tests need it installed: test_connectors_registry does that and runs them in their own process."""

collect_ignore = ["tests"]
