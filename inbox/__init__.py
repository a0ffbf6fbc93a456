"""Who wrote and whose turn it is: messages, contacts, conversations, the log, agents' work."""
