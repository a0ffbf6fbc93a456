"""What we owe people: deliveries, receipts, dead letters."""
