"""Reading, grouping and handling of Postfix's mail queue."""
