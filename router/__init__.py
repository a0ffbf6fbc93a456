"""Which team, and why: pure rules, the reader that applies them, assignment."""
