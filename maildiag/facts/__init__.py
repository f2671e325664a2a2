"""What is known of a host, a module per noun: typed values, the gatherers that ask for them, pure parsers beside them."""
