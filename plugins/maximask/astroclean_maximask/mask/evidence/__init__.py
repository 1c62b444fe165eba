"""What must speak for a flag of the network beside the network: rules, one module a kind."""
