"""What a node does of egress gateways: builds its part, speaks BFD, hands traffic over. Knows nothing of OVN's rows."""
