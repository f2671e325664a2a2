"""Reading, classifying, counting and tracing of Postfix and Dovecot logs."""
