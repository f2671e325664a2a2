"""A real test message, sent as users' mail is sent and followed hop by hop until it is seen in the mailbox."""
