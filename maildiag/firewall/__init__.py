"""What the packet filter of a host does with a packet: rules of nftables and iptables as values, and their evaluation."""
