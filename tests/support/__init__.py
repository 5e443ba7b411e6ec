"""What several tests share: waiting, clocks, recordings and the servers that hear them."""
