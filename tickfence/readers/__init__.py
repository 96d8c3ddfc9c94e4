"""What every reader shares: reports, symbols and the cluster's state, read from Redis. Readers write nothing."""
