"""Channels: connectors speak a platform's protocol and return events; they know no other package of ours."""
